"""A Spark job that uses what notebooks and jobs use, and compares every value with plain Python's.

Runs inside the container with the image's own Python: standard library, pyspark and what a stage
imports; the grammar is Python 3.7's. Each line of stdout is the whole report as it stands, so the
last one counts, also when the JVM or this process dies in a stage. Logs go to stderr.

The job is the reference of benchmarks: a change of what it does makes older times incomparable.
"""

import faulthandler
import glob
import json
import operator
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

FORMAT_VERSION = 1
DETAIL_LIMIT = 2000
TRACEBACK_LINES = 12
PYTHON_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*\S.*")

SETTINGS = {
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def use_injected_spark():
    """Put the platform's pyspark before any that the image has, here and in the Python workers."""
    home = os.environ.setdefault("SPARK_HOME", "/databricks/spark")
    paths = [home + "/python", *glob.glob(home + "/python/lib/py4j-*-src.zip")]
    sys.path[:0] = paths
    inherited = [path for path in [os.environ.get("PYTHONPATH")] if path]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + inherited)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)


def start(job):
    """Start a session on the platform's Spark, and say which JVM it runs on."""
    use_injected_spark()
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("pytest-dcs")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    job.spark = builder.getOrCreate()
    job.facts["spark"] = job.spark.version
    properties = job.spark.sparkContext._jvm.java.lang.System
    job.facts["java"] = properties.getProperty("java.version")
    job.facts["java_home"] = properties.getProperty("java.home")


def sql(job):
    """Aggregate in the JVM alone."""
    row = job.spark.sql("SELECT count(*) AS rows, sum(id * id) AS squares FROM range(1000)").first()
    expect((row["rows"], row["squares"]), (1000, sum(n * n for n in range(1000))))


def shuffle(job):
    """Group over several partitions, so that data moves between them."""
    from pyspark.sql import functions

    numbers = job.spark.range(0, 1000, 1, 4)
    sums = numbers.groupBy((numbers.id % 7).alias("key")).agg(functions.sum("id").alias("sum"))
    found = {row["key"]: row["sum"] for row in sums.collect()}
    expect(found, {key: sum(range(key, 1000, 7)) for key in range(7)})


def python_udf(job):
    """Run a function of Python on text, some of it not ASCII, in a worker process."""
    from pyspark.sql.functions import udf

    words = ["Spark", "gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", ""]
    reverse = udf(lambda text: text[::-1], "string")
    # Not `createDataFrame`, which imports pandas: that is tried after all that needs none.
    values = ", ".join("('%s')" % word for word in words)
    frame = job.spark.sql("SELECT word FROM VALUES %s AS words(word)" % values)
    found = [row["reversed"] for row in frame.select(reverse("word").alias("reversed")).collect()]
    expect(found, [word[::-1] for word in words])


def rdd(job):
    """Run lambdas in Python workers on both sides of a shuffle."""
    numbers = job.spark.sparkContext.parallelize(range(100), 4)
    found = dict(numbers.map(lambda n: (n % 3, n)).reduceByKey(operator.add).collect())
    expect(found, {key: sum(range(key, 100, 3)) for key in range(3)})


def parquet(job):
    """Write and read compressed files, by native libraries that the JVM unpacks."""
    directory = tempfile.mkdtemp(prefix="pytest-dcs-", dir=local_directory())
    try:
        path = "file://" + directory + "/numbers"
        numbers = job.spark.range(0, 1000, 1, 2).selectExpr("id", "concat('row ', id) AS name")
        numbers.write.parquet(path)
        row = job.spark.read.parquet(path).selectExpr("sum(id)", "max(length(name))").first()
        expect(tuple(row), (sum(range(1000)), len("row 999")))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def local_directory():
    """Return the disk that the platform gives to Spark, None for the system's temporary folder."""
    first = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0]
    return first if os.path.isdir(first) else None


def pandas_udf(job):
    """Exchange columns with a worker by Arrow."""
    import pandas
    from pyspark.sql import functions

    # The hints are what pyspark reads, so they must be types and not strings.
    @functions.pandas_udf("long")
    def square(numbers: pandas.Series) -> pandas.Series:
        return numbers * numbers

    frame = job.spark.range(0, 100, 1, 2).select(square("id").alias("square"))
    expect(sorted(row["square"] for row in frame.collect()), [n * n for n in range(100)])


def to_pandas(job):
    """Bring rows of several types to the driver by Arrow."""
    rows = [(n, n / 4, "row %d" % n, n % 2 == 0) for n in range(100)]
    frame = job.spark.createDataFrame(rows, "n long, quarter double, name string, even boolean")
    found = frame.toPandas()
    columns = zip(("n", "quarter", "name", "even"), zip(*rows))
    expect({name: found[name].tolist() for name in found}, {k: list(v) for k, v in columns})


STAGES = [
    ("start", start),
    ("sql", sql),
    ("shuffle", shuffle),
    ("python-udf", python_udf),
    ("rdd", rdd),
    ("parquet", parquet),
    ("pandas-udf", pandas_udf),
    ("to-pandas", to_pandas),
]
"""In this order, as a library that crashes takes all later stages with it."""


def expect(found, needed):
    """Raise `AssertionError` unless Spark found what plain Python did."""
    if found != needed:
        raise AssertionError("Spark answered %r, plain Python %r" % (found, needed))


class Job:
    """The session, and the report that grows stage by stage."""

    def __init__(self, channel):
        self.channel = channel
        self.spark = None
        self.facts = {}
        self.stages = [
            {"name": name, "outcome": "not-run", "detail": "", "seconds": 0.0} for name, _ in STAGES
        ]

    def run(self):
        """Run all stages; the report says how each one went."""
        for stage, (_, function) in zip(self.stages, STAGES):
            if function is start or self.is_alive():
                self.run_stage(stage, function)
            else:
                stage["detail"] = "Spark was not running any more"
        self.report(complete=True)

    def run_stage(self, stage, function):
        """Run one stage and note its outcome and time."""
        stage["outcome"] = "running"
        self.report(complete=False)
        started = time.time()
        try:
            function(self)
        except (Exception, SystemExit) as error:
            stage["outcome"] = "failed"
            stage["detail"] = describe(error)
            if function is start:
                ask_java()
        else:
            stage["outcome"] = "passed"
        stage["seconds"] = round(time.time() - started, 3)

    def is_alive(self):
        """Whether the session can still run jobs."""
        try:
            return not self.spark.sparkContext._jsc.sc().isStopped()
        except Exception:
            return False

    def report(self, complete):
        """Print the report as it stands."""
        document = {"version": FORMAT_VERSION, "complete": complete, "stages": self.stages}
        document.update(self.facts)
        self.channel.write(json.dumps(document) + "\n")
        self.channel.flush()


def describe(error):
    """Return the line that says most, then the Python worker's traceback or the Java causes."""
    text = str(error)
    worker = PYTHON_TRACEBACK.findall(text)
    if worker:
        lines = worker[-1].splitlines()
        lines = [lines[-1], *lines[-TRACEBACK_LINES:-1]]
    else:
        lines = [line for line in text.splitlines() if line.strip() and not is_java_frame(line)]
        causes = [line for line in lines if line.startswith("Caused by: ")]
        lines = ["%s: %s" % (type(error).__name__, " ".join(lines[:2])), *causes[-1:]]
    return "\n".join(lines)[:DETAIL_LIMIT]


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


def is_java_frame(line):
    """Whether the line is a frame of a Java stack trace."""
    return line.startswith(("\tat ", "\t... "))


def take_stdout():
    """Return stdout for the report alone: what others print there goes to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


if __name__ == "__main__":
    faulthandler.enable(all_threads=False)
    job = Job(take_stdout())
    job.run()
    if job.spark is not None and job.is_alive():
        job.spark.stop()
