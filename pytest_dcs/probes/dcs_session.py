"""A session on the platform's Spark, for the probes that run jobs.

Lies beside every probe inside the container: standard library and pyspark, Python 3.7 grammar.
"""

import glob
import json
import os
import signal
import subprocess
import sys
import threading
import time

from dcs_stages import Report

SETTINGS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}

JARS_OF_IMAGE = "/databricks/jars"

MASTER = "PYTEST_DCS_SPARK_MASTER"
"""The variable that names the cluster's master; without it Spark runs in this very process."""
MORE_SETTINGS = "PYTEST_DCS_SPARK_SETTINGS"
"""The variable with further settings, as a JSON object."""
SHARED_DIRECTORY = "PYTEST_DCS_SHARED_DIRECTORY"
"""The variable with a directory that all nodes of a cluster see."""
EXECUTORS_SECONDS = 40.0
"""How long a cluster's executors may take to come."""
HANDOVER = "PYTEST_DCS_GATEWAY_FILE"
"""The variable that names the file through which another process is let into this session."""
HANDOVER_SECONDS = 120.0


def use_injected_spark():
    """Put the platform's pyspark before any that the image has, here and in the Python workers."""
    home = os.environ.setdefault("SPARK_HOME", "/databricks/spark")
    paths = [home + "/python", *glob.glob(home + "/python/lib/py4j-*-src.zip")]
    sys.path[:0] = paths
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + inherited)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def open_session(facts, settings=None):
    """Return a session on the platform's Spark; `facts` get its version and which JVM it has."""
    use_injected_spark()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(os.environ.get(MASTER, "local[2]")).appName("pytest-dcs")
    more = json.loads(os.environ.get(MORE_SETTINGS, "{}"))
    for each in (SETTINGS, jars_of_image(), more, settings or {}):
        for key, value in each.items():
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    watch_jvm(spark)
    if "spark.cores.max" in more:
        facts["executors"] = wait_for_executors(spark, int(more["spark.cores.max"]))
        if not facts["executors"]:
            raise RuntimeError("no worker of the cluster has sent an executor")
    facts["spark"] = spark.version
    properties = spark.sparkContext._jvm.java.lang.System
    facts["java"] = properties.getProperty("java.version")
    facts["java_home"] = properties.getProperty("java.home")
    return spark


def jars_of_image():
    """Return the settings that put the image's own jars on the class paths; nothing without any.

    On a node they lie in one folder with the runtime's, and the JVM takes a folder's jars in no
    certain order: a class that both have may be of either. Here it always is the image's, so that
    such a jar is found. Spark puts its `extraClassPath` before its own jars.
    https://docs.oracle.com/en/java/javase/17/docs/specs/man/java.html
    """
    if not glob.glob(JARS_OF_IMAGE + "/*.jar"):
        return {}
    paths = JARS_OF_IMAGE + "/*"
    return {"spark.driver.extraClassPath": paths, "spark.executor.extraClassPath": paths}


def watch_jvm(spark):
    """Log how the driver's JVM ends while Python still runs: py4j then only says that it is gone.

    The host side reads this line of the log.
    """
    process = getattr(spark.sparkContext._gateway, "proc", None)
    if process is not None:
        threading.Thread(target=say_how_it_ended, args=(process,), daemon=True).start()


def say_how_it_ended(process):
    """Wait for the end of a JVM and log it."""
    status = process.wait()
    how = "by signal %d" % -status if status < 0 else "with status %d" % status
    if status == -signal.SIGKILL:
        how += " (killed, most likely by the out-of-memory killer)"
    print("pytest-dcs: the driver's JVM has ended %s" % how, file=sys.stderr, flush=True)


def wait_for_executors(spark, wanted):
    """Return the hosts of a cluster's executors as soon as all are there, or what has come late."""
    tracker = spark.sparkContext._jsc.sc().statusTracker()
    driver = spark.conf.get("spark.driver.host")
    deadline = time.time() + EXECUTORS_SECONDS
    hosts = []
    while len(hosts) < wanted and time.time() < deadline:
        time.sleep(0.1)
        hosts = [info.host() for info in tracker.getExecutorInfos() if info.host() != driver]
    return sorted(hosts)


def is_alive(spark):
    """Whether a session can still run jobs."""
    try:
        return not spark.sparkContext._jsc.sc().isStopped()
    except Exception:
        return False


def local_directory():
    """Return the directory that all nodes see, else the disk that the platform gives to Spark.

    None stands for the system's temporary folder.
    """
    shared = os.environ.get(SHARED_DIRECTORY)
    if shared:
        return shared
    first = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return first if os.path.isdir(first) else None


def ask_java():
    """Log what the JDK alone answers, which tells a broken JDK from a Spark that does not start."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"
    try:
        asked = subprocess.run(
            [java, "-version"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        answer = str(error)
    else:
        lines = asked.stdout.decode(errors="replace").splitlines()
        answer = "exit %d, %s" % (asked.returncode, lines[0] if lines else "no output")
    print("%s -version: %s" % (java, answer), file=sys.stderr)


class Job:
    """A session, and the report of the stages that use it; the first stage opens it."""

    def __init__(self, stages):
        self.spark = None
        self.stages = stages
        self.report = Report([name for name, _ in stages])

    def run(self):
        """Run all stages; the report says how each one went."""
        for number, (name, function) in enumerate(self.stages):
            if number and not is_alive(self.spark):
                self.report.skip(name, "Spark was not running any more")
            elif not self.report.run(name, function, self) and not number:
                ask_java()
        self.report.write(complete=True)


def let_in(spark):
    """Let a notebook into the running driver, as the platform does.

    It reads the gateway's port and secret from the file that `HANDOVER` names. Nothing is done
    where the variable is not set.
    """
    path = os.environ.get(HANDOVER)
    if not path:
        return
    parameters = spark.sparkContext._gateway.gateway_parameters
    with open(path + ".part", "w") as file:
        json.dump({"port": parameters.port, "secret": parameters.auth_token}, file)
    os.chmod(path + ".part", 0o600)
    os.rename(path + ".part", path)


def wait_for_guest():
    """Wait until the notebook that was let in has left, and removed the file."""
    path = os.environ.get(HANDOVER)
    deadline = time.time() + HANDOVER_SECONDS
    while path and os.path.exists(path) and time.time() < deadline:
        time.sleep(0.05)
