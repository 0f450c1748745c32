"""A standalone cluster of Spark: a master and two workers, each a container of the same image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dcs.errors import ContainerEnded
from pytest_dcs.execution import Execution, describe_exit
from pytest_dcs.node import HOST_NAME, SPARK_HOME
from pytest_dcs.probe import last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dcs.engines import Container

_CLUSTER = HOST_NAME.rpartition("-")[0]
MASTER_HOST = f"{_CLUSTER}-3"
WORKER_HOSTS = (f"{_CLUSTER}-4", f"{_CLUSTER}-5")
PORT = 7077
MASTER_URL = f"spark://{MASTER_HOST}:{PORT}"

MASTER_CLASS = "org.apache.spark.deploy.master.Master"
WORKER_CLASS = "org.apache.spark.deploy.worker.Worker"
WORK_DIRECTORY = "/local_disk0/tmp/pytest-dcs-work"
EXECUTOR_LOGS = f"tail -n 40 {WORK_DIRECTORY}/*/*/stderr"
EXECUTOR_LOGS_TIMEOUT = 10.0
TOLD_LINES = 3
LOG_LIMIT = 100_000
"""Bytes of each log that are kept, the last ones."""

SETTINGS = {
    "spark.driver.host": HOST_NAME,
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.cores.max": str(len(WORKER_HOSTS)),
    # Executors look for a pyspark.zip of their own, which the injected Spark has unpacked.
    "spark.executorEnv.PYTHONPATH": f"{SPARK_HOME}/python",
    # No task before both are there: else one executor might do all the work of so small a job.
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "40s",
}
"""What the driver needs: one executor with one core on each worker."""


class Daemon:
    """One of Spark's own daemons in its container."""

    def __init__(self, host: str, container: Container, execution: Execution) -> None:
        self.host = host
        self.container = container
        self._execution = execution

    @property
    def ended(self) -> str:
        """How the daemon has ended; empty while it runs."""
        if not self._execution.wait(0):
            return ""
        status = self._execution.returncode
        return f"died {describe_exit(status)}" if status else "has ended"

    @property
    def log(self) -> str:
        """The end of what the daemon wrote."""
        return self._execution.stderr.text()

    @property
    def told(self) -> list[str]:
        """The last lines that it wrote."""
        return self.log.strip().splitlines()[-TOLD_LINES:]

    def executor_logs(self) -> str:
        """Return the end of what the executors of a worker wrote; empty where there is none."""
        with suppress(ContainerEnded):
            asked = _execute(self.container, ["/bin/sh", "-c", EXECUTOR_LOGS], "executor logs", {})
            asked.wait(EXECUTOR_LOGS_TIMEOUT)
            return asked.stdout.text()
        return ""


class SparkCluster:
    """The members while they run."""

    def __init__(self, daemons: list[Daemon]) -> None:
        self.daemons = daemons

    @property
    def workers(self) -> tuple[str, ...]:
        """The host names of the workers."""
        return WORKER_HOSTS

    @property
    def is_whole(self) -> bool:
        """Whether all members still run."""
        return not any(daemon.ended for daemon in self.daemons)

    def hopeless(self) -> str:
        """Return why no job can come to its end any more, or an empty text."""
        master, *workers = self.daemons
        is_lost = master.ended or all(worker.ended for worker in workers)
        return "has lost the nodes that it was to run on" if is_lost else ""

    def log(self) -> str:
        """Return the end of every member's log, with its executors' if it is a worker."""
        parts = []
        for daemon in self.daemons:
            parts += [f"--- {daemon.host}", *last_lines(daemon.log)]
            if executors := last_lines(daemon.executor_logs()):
                parts += [f"--- executors of {daemon.host}", *executors]
        return "\n".join(parts)

    def end(self) -> None:
        """End all members; never raises."""
        for daemon in reversed(self.daemons):
            daemon.container.end()


def start(
    launch: Callable[[str], Container], *, environment: Mapping[str, str], java_options: str
) -> SparkCluster:
    """Start a master and two workers side by side.

    `launch` returns the container that is the node of a host name. Raises what it raises, and
    `ContainerEnded`; then no member is left.
    """
    hosts = (MASTER_HOST, *WORKER_HOSTS)
    containers: list[Container] = []

    def member(host: str) -> Daemon:
        container = launch(host)
        containers.append(container)
        added = {"SPARK_DAEMON_JAVA_OPTS": java_options} if java_options else {}
        command = [f"{SPARK_HOME}/bin/spark-class", *_daemon(host)]
        return Daemon(host, container, _execute(container, command, host, {**environment, **added}))

    try:
        with ThreadPoolExecutor(len(hosts)) as pool:
            return SparkCluster(list(pool.map(member, hosts)))
    except BaseException:
        for container in containers:
            container.end()
        raise


def _execute(
    container: Container, argv: list[str], name: str, environment: Mapping[str, str]
) -> Execution:
    limits = (LOG_LIMIT, LOG_LIMIT)
    return Execution.start(container, argv, name=name, limits=limits, environment=environment)


def _daemon(host: str) -> list[str]:
    if host == MASTER_HOST:
        return [MASTER_CLASS, "--host", host, "--port", str(PORT)]
    sizes = ["--cores", "1", "--memory", "1g", "--work-dir", WORK_DIRECTORY]
    return [WORKER_CLASS, "--host", host, *sizes, MASTER_URL]
