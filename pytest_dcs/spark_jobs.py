"""The jobs of one launch on the runtime's Spark: with what each is started, and what it found."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pytest_dcs import class_data, gpu_spark, node, notebook, runtimes, spark, spark_cluster
from pytest_dcs.errors import ProbeNotForeseen, SetupError
from pytest_dcs.launch_request import DEEP, NOTEBOOK, RUNNER, SPARK
from pytest_dcs.spark_runner import SparkRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.launch_request import LaunchRequest
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.shell import Shell
    from pytest_dcs.spark_cluster import SparkCluster
    from pytest_dcs.stages import Smoke, StagedProbe

logger = logging.getLogger(__name__)

TIMEOUT = 300.0
"""Seconds that a job may take; the reference job takes about five on two cores."""

JAR_DIRECTORY = "/opt/pytest-dcs/jars"
SHARED_DIRECTORY = "/opt/pytest-dcs/shared"
"""What all nodes of a cluster see; cloud storage has this part on a real one."""


class SparkJobs:
    """The jobs of one launch; the tuning of their JVMs is left out where it may have broken one."""

    def __init__(self, request: LaunchRequest, shell: Shell, cluster: SparkCluster | None) -> None:
        self.request = request
        self.notes: list[str] = []
        """What a reader of the verdict should know and what is no fault of the image."""
        self.wish: class_data.Wish | None = None
        """The class-data archive that the reference job has missed, once it has passed."""
        self._tuned = is_tuned(request)
        self._java = class_data.ask(shell) if self._tuned else None
        self._shell = shell
        self._cluster = cluster
        self._probes: dict[str, StagedProbe] = {}

    @property
    def has_gateway(self) -> bool:
        """Whether the notebook is let into the reference job's driver."""
        probes, without = self.request.probes, self.request.without
        return {SPARK, NOTEBOOK} <= probes and self._has_python and "shared-driver" not in without

    def start_reference(self) -> None:
        """Start the reference job in the background."""
        probe = spark.start_smoke(
            self._container,
            python=node.python_of(self.request.image.config) if self._has_python else None,
            environment={
                **self._environment(),
                **({spark.HANDOVER: notebook.GATEWAY_FILE} if self.has_gateway else {}),
            },
            java_options=self._driver_options,
        )
        self._add(SPARK, probe)

    def reference(self) -> Smoke:
        """Return what the reference job found, waiting for its end."""
        smoke = self._result(SPARK, self.start_reference)
        if self._tuned and smoke.passed:
            job: class_data.Job = "python" if self._has_python else "sql"
            self.wish = class_data.missing(
                self.request.cache_directory, self.request.runtime.pyspark, self._java, job
            )
        return smoke

    def deep(self) -> Smoke:
        """Return what the deep job found; it starts when the reference job has ended."""
        if DEEP not in self._probes and DEEP in self.request.probes:
            self._wait_for_reference()
            self._start_deep()
        return self._result(DEEP, self._start_deep)

    def runner(self) -> SparkRunner:
        """Return what runs code of the user's.

        Raises `ProbeNotForeseen` for a launch that was not asked to have it.
        """
        if RUNNER not in self.request.probes:
            raise ProbeNotForeseen(RUNNER)
        self._wait_for_reference()
        environment = self._environment(self._own_settings())
        return SparkRunner(
            self._container,
            python=node.python_of(self.request.image.config),
            environment=spark.job_environment(environment, self._driver_options),
            timeout=TIMEOUT * node.time_factor(self._container),
        )

    def on_gpus(self, devices: int) -> Smoke:
        """Return what tasks found that were given a GPU each, of those that CUDA shows.

        It starts when the reference job has ended, and is over when it returns: who measures the
        GPUs meanwhile would see it. Raises `ProbeFailed`, `ContainerEnded` and `EngineLost`.
        """
        self._wait_for_reference()
        probe = gpu_spark.start(
            self._container,
            python=node.python_of(self.request.image.config),
            devices=devices,
            driver_options=self._options_of_driver(),
            java_options=java_options(self.request, tuned=self._tuned),
        )
        self._shell.protect(probe.pid)
        return probe.result(gpu_spark.TIMEOUT * node.time_factor(self._container))

    @property
    def _container(self) -> Container:
        return self._shell.container

    @property
    def _has_python(self) -> bool:
        return "python" in self.request.features

    @property
    def _driver_options(self) -> str:
        """The options of a job's driver, with the class-data archive."""
        java = self._java if self._tuned else None
        return self._options_of_driver(class_data.options(self.request.runtime.pyspark, java))

    def _options_of_driver(self, archive: str = "") -> str:
        """Return the options of a driver's JVM, those that the image itself sets among them."""
        own = self.request.image.config.environment.get("SPARK_SUBMIT_OPTS", "")
        options = (own, java_options(self.request, tuned=self._tuned), archive)
        return " ".join(filter(None, options))

    def _environment(self, own: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return the variables that tell a job where to run, and with which settings."""
        if self._cluster is None:
            return spark.with_settings(own) if own else {}
        settings = {**spark_cluster.SETTINGS, **(own or {})}
        options = java_options(self.request, tuned=self._tuned)
        if options:
            settings["spark.executor.extraJavaOptions"] = options
        return spark.on_cluster(spark_cluster.MASTER_URL, settings, SHARED_DIRECTORY)

    def _own_settings(self) -> Mapping[str, str]:
        """Lay the user's own jars into the container, and return the user's settings of Spark."""
        settings = dict(text.split("=", 1) for text in self.request.spark_conf)
        if self.request.jars:
            self._container.put_archive("/", node.files_archive(JAR_DIRECTORY, self.request.jars))
            jars = [f"{JAR_DIRECTORY}/{jar.name}" for jar in self.request.jars]
            settings["spark.jars"] = ",".join(jars)
        return settings

    def _start_deep(self) -> None:
        probe = spark.start_deep(
            self._container,
            python=node.python_of(self.request.image.config),
            environment=self._environment(),
            pins=known_packages(self.request.runtime),
            java_options=self._driver_options,
        )
        self._add(DEEP, probe)

    def _add(self, name: str, probe: StagedProbe) -> None:
        self._shell.protect(probe.pid)
        self._probes[name] = probe

    def _wait_for_reference(self) -> None:
        if SPARK in self._probes:
            self.reference()

    def _result(self, name: str, start_again: Callable[[], None]) -> Smoke:
        """Return what a job found; what its tuning may have broken is tried without.

        Raises `ProbeNotForeseen` for a launch that was not asked to run it.
        """
        smoke = self._wait(name)
        if self._tuned and class_data.is_suspect(smoke):
            self._tuned = False
            self.notes.append(class_data.RAN_AGAIN)
            start_again()
            smoke = self._wait(name)
        return smoke

    def _wait(self, name: str) -> Smoke:
        if name not in self._probes:
            raise ProbeNotForeseen(name)
        timeout = TIMEOUT * node.time_factor(self._container)
        if self._cluster is None:
            return self._probes[name].result(timeout)
        smoke = self._probes[name].result(timeout, self._cluster.hopeless)
        if smoke.passed and self._cluster.is_whole:
            return smoke
        return smoke.with_log(self._cluster.log())


def is_tuned(request: LaunchRequest) -> bool:
    """Tell whether Spark's JVMs get what makes them quick."""
    return request.tuned and class_data.goes_with(request.spark_conf)


def java_options(request: LaunchRequest, *, tuned: bool) -> str:
    """Return the options of every JVM of Spark's."""
    return " ".join(filter(None, (class_data.FLAGS if tuned else "", request.java_options)))


def known_packages(runtime: Runtime) -> frozenset[str]:
    """Return the packages that the image need not have added, none where nothing is known.

    Those of all runtimes, because the lists of some are not published in full.
    """
    known = {name for each in runtimes.load().runtimes.values() for name in each.pins}
    return frozenset({*known, *runtime.pins}) if runtime.pins else frozenset()


def volumes(request: LaunchRequest, engine: Engine, notes: list[str]) -> dict[str, str]:
    """Return the volumes that Spark needs, filled, by the paths where they are mounted.

    `notes` get why there is no class-data archive where there might be one. Raises `SetupError`
    where there is no Spark.
    """
    version = request.runtime.pyspark
    name = spark.volume_name(version)
    archive = spark.provision(version, request.cache_directory, logger.info)
    with archive.open("rb") as tar:
        engine.fill_volume(name, request.image, tar)
    return {name: node.SPARK_MOUNT, **class_data_volume(request, engine, notes)}


def class_data_volume(request: LaunchRequest, engine: Engine, notes: list[str]) -> dict[str, str]:
    """Return the volume with all archives of this Spark: the JDK is not yet known."""
    archives = class_data.find(request.cache_directory, request.runtime.pyspark)
    if not is_tuned(request) or not archives:
        return {}
    name = class_data.volume_name(request.runtime.pyspark, archives)
    try:
        with class_data.tar_of(archives) as tar:
            engine.fill_volume(name, request.image, tar)
    except SetupError as error:
        problem = str(error).partition("\n")[0].removeprefix("dcs: ")
        notes.append(f"Spark starts without its class-data archive: {problem}")
        return {}
    return {name: class_data.MOUNT}
