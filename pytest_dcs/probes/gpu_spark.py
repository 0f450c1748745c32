"""Lets Spark give each of several tasks one GPU, and looks at what a process of the task finds.

Runs inside the container with the image's own Python: standard library and pyspark, Python 3.7's
grammar. Spark schedules GPUs on a cluster only, so the driver's JVM has a master and a worker in
it, and the executor is a process of its own. The process that a task starts is this file with the
name of what it does behind it.
"""

import glob
import json
import os
import shutil
import sys
import tempfile
import time

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_cuda import Driver
from dcs_gpu_work import copy, visible
from dcs_nvml import Nvml
from dcs_processes import CommandFailed, explain, run_command
from dcs_session import MASTER, local_directory, open_session
from dcs_stages import Report, need

OPTIONS = "PYTEST_DCS_GPU_SPARK"
"""The variable with a JSON object of options; `pytest_dcs/gpu_spark.py` writes it."""

STAGES = ("discovery", "tasks", "devices")
MEMORY = 512
"""Mebibytes of the executor, and of the worker that it fills."""
WORK = "work"
"""The folder below SPARK_HOME in which a worker within the driver's JVM keeps its executors."""
DRIVER_AND_EXECUTOR = 2
"""How many executors Spark tells of: the driver is one of them."""
POLL_SECONDS = 0.1
ANNOUNCED = ("Spark Executor Command:", "======")
"""How lines begin that a worker writes into an executor's log before it starts that."""

SCRIPT = """#!/bin/sh
numbers=$(nvidia-smi --query-gpu=index --format=csv,noheader) || {
    status=$?
    echo "$numbers" >&2
    exit $status
}
list=
for number in $numbers; do
    list="$list${list:+, }\\"$number\\""
done
echo "{\\"name\\": \\"gpu\\", \\"addresses\\": [$list]}"
"""
"""What a worker asks for its GPUs; it stands for the platform's, whose text is not public.

https://spark.apache.org/docs/latest/configuration.html#custom-resource-scheduling-and-configuration-overview
"""


class Trial:
    """Spark and the GPUs while they are tried."""

    def __init__(self, options, report, folder):
        self.options = options
        self.report = report
        self.folder = folder
        self.script = os.path.join(folder, "get_gpus.sh")
        self.addresses = []
        self.spark = None
        self.results = []

    def discover(self):
        """Ask for the GPUs as a worker does."""
        with open(self.script, "w") as file:
            file.write(SCRIPT)
        os.chmod(self.script, 0o755)
        try:
            told = run_command([self.script], self.options["seconds"])
        except CommandFailed as error:
            raise AssertionError("%s, PATH is %r" % (error, os.environ.get("PATH"))) from None
        found = addresses_in(told)
        text = "nvidia-smi lists no GPUs, and of what it says the script makes %s"
        need(found, text % told.strip())
        self.report.facts["addresses"] = found
        if len(found) > self.options["devices"]:
            # A part of a GPU, or a machine whose other GPUs are not this run's to use.
            text = "nvidia-smi lists %d GPUs, of which CUDA shows %d here"
            self.report.leave_out("discovery", text % (len(found), self.options["devices"]))
        self.addresses = found

    def run_tasks(self):
        """Let as many tasks as there are GPUs run at once, each of which must have one of them."""
        self.open()
        count = len(self.addresses)
        tasks = self.spark.sparkContext.parallelize(range(count), count)
        work = of_task(os.path.abspath(__file__), self.options["seconds"])
        self.results = tasks.mapPartitions(work).collect()
        given = self.report.facts["given"] = sorted(addresses for addresses, _, _ in self.results)
        text = "%d tasks that want one GPU each of %s have %s"
        wanted = sorted([each] for each in self.addresses)
        need(given == wanted, text % (count, ", ".join(self.addresses), given))

    def look_at_devices(self):
        """Each task's process must have found the GPU whose address the task has."""
        for (address,), status, said in self.results:
            ended = "did not end" if status is None else "ended with status %d" % status
            what = "the process of the task that has GPU %s %s" % (address, ended)
            need(status == 0, explain(what, said))

    def open(self):
        """Open a session on a cluster in the driver's JVM, and wait for its executor."""
        home = home_for_writing(self.folder)
        count = str(len(self.addresses))
        os.environ["SPARK_HOME"] = home
        os.environ[MASTER] = "local-cluster[1,%s,%d]" % (count, MEMORY)
        settings = {
            "spark.executor.memory": "%dm" % MEMORY,
            "spark.task.maxFailures": "1",
            "spark.worker.resource.gpu.amount": count,
            "spark.worker.resource.gpu.discoveryScript": self.script,
            "spark.executor.resource.gpu.amount": count,
            "spark.task.resource.gpu.amount": "1",
        }
        settings.update(self.options["settings"])
        self.spark = open_session(self.report.facts, settings)
        tracker = self.spark.sparkContext._jsc.sc().statusTracker()
        deadline = time.time() + self.options["seconds"]
        while len(tracker.getExecutorInfos()) < DRIVER_AND_EXECUTOR:
            if time.time() > deadline:
                raise AssertionError(explain("the worker has sent no executor", logs(home)))
            time.sleep(POLL_SECONDS)


def addresses_in(text):
    """Return the addresses that a script lists in Spark's form; none where they are no numbers."""
    try:
        found = json.loads(text)["addresses"]
    except ValueError:
        return []
    return found if all(each.isdigit() for each in found) else []


def home_for_writing(folder):
    """Return a SPARK_HOME of links to the platform's, below which a worker can write."""
    platform = os.environ.get("SPARK_HOME", "/databricks/spark")
    home = os.path.join(folder, "spark")
    os.makedirs(os.path.join(home, WORK))
    for name in os.listdir(platform):
        if name != WORK:
            os.symlink(os.path.join(platform, name), os.path.join(home, name))
    return home


def logs(home):
    """Return what executors wrote."""
    lines = []
    for path in sorted(glob.glob(os.path.join(home, WORK, "*", "*", "std*"))):
        with open(path, errors="replace") as file:
            lines += [line for line in file if not line.startswith(ANNOUNCED)]
    return "".join(lines)


def of_task(path, seconds):
    """Return what a task does: it starts a process that sees the task's GPUs alone.

    It is sent by value, and imports what it needs itself.
    """

    def work(_):
        import os
        import subprocess
        import sys

        from pyspark import TaskContext

        given = TaskContext.get().resources().get("gpu")
        addresses = list(given.addresses) if given else []
        # The addresses are numbers of nvidia-smi, which counts by the bus; CUDA may do otherwise.
        # https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html
        environment = dict(
            os.environ,
            CUDA_VISIBLE_DEVICES=",".join(addresses),
            CUDA_DEVICE_ORDER="PCI_BUS_ID",
        )
        command = [sys.executable, "-I", "-X", "faulthandler", path, "look", *addresses]
        try:
            ended = subprocess.run(
                command,
                check=False,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            return [(addresses, None, (error.stderr or b"").decode(errors="replace"))]
        return [(addresses, ended.returncode, ended.stderr.decode(errors="replace"))]

    return work


def look(address):
    """Use the one GPU that CUDA shows, and raise unless it is the one of this number."""
    driver = Driver()
    driver.start()
    devices = driver.devices()
    text = "CUDA sees %d GPUs in the task that has GPU %s, %s"
    need(len(devices) == 1, text % (len(devices), address, visible()))
    nvml = Nvml()
    found = devices[0].identifier
    if not nvml.is_mig_device(found):
        is_same = found == nvml.identifier(int(address))
        need(is_same, "the task that has GPU %s finds another one, %s" % (address, visible()))
    copy(driver, devices[0])
    driver.close()


def try_tasks(trial):
    """Run the stages, each of which builds on the one before."""
    functions = (trial.discover, trial.run_tasks, trial.look_at_devices)
    needed = ""
    for name, function in zip(STAGES, functions):
        if needed:
            trial.report.skip(name, "it builds on the stage %s" % needed)
        elif not trial.report.run(name, function):
            needed = name


def main():
    """Try Spark with the GPUs and report."""
    report = Report(STAGES)
    folder = tempfile.mkdtemp(prefix="pytest-dcs-gpu-", dir=local_directory())
    trial = Trial(json.loads(os.environ[OPTIONS]), report, folder)
    try_tasks(trial)
    report.write(complete=True)
    if trial.spark is not None:
        trial.spark.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        look(*sys.argv[2:])
    else:
        main()
