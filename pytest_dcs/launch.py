"""A launch: starting an image the way a node of Databricks Container Services does."""

from __future__ import annotations

import io
import logging
import tarfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_dcs import fuse, spark
from pytest_dcs.engines import ContainerSpec, LaunchFailed
from pytest_dcs.errors import ContainerEnded, SparkNotForeseen
from pytest_dcs.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.image import Image, ImageConfig
    from pytest_dcs.runtimes import Runtime

logger = logging.getLogger(__name__)

PLATFORM_ENVIRONMENT = {
    "DB_HOME": "/databricks",
    "SPARK_HOME": "/databricks/spark",
    "SPARK_LOCAL_DIRS": "/local_disk0",
    "DATABRICKS_LIBS_NFS_ROOT_DIR": ".ephemeral_nfs",
    "DATABRICKS_CLUSTER_LIBS_ROOT_DIR": "cluster_libraries",
    "PYTHONHASHSEED": "0",
}
"""Variables that were seen on clusters, with their values.

https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh
"""

PLATFORM_DIRECTORIES = {
    "/local_disk0": 0o755,
    "/local_disk0/tmp": 0o1777,
    "/local_disk0/.ephemeral_nfs": 0o755,
    "/local_disk0/.ephemeral_nfs/cluster_libraries": 0o755,
    "/local_disk0/.ephemeral_nfs/envs": 0o755,
    "/databricks": 0o755,
    "/databricks/driver": 0o755,
}
"""What the platform makes in a container before anything of the user's runs, with its modes."""

PLATFORM_LINKS = {"/databricks/python": "/databricks/python3"}
"""Links that the platform makes where the image has nothing in their place."""

PLATFORM_PATHS = (*PLATFORM_DIRECTORIES, *PLATFORM_LINKS, "/databricks/spark")
HOST_NAME = "1123-093000-dcslocal-10-0-0-2"
"""A name of the form that nodes have: the cluster's id, then the address with dashes."""

SPARK_MOUNT = "/opt/pytest-dcs/spark"
DEFAULT_PYTHON = "/databricks/python3/bin/python3"
JVM_DIRECTORY = "/usr/lib/jvm"
SPARK_TIMEOUT = 300.0
"""Seconds that the Spark smoke job may take; it takes about ten on two cores."""
EMULATION_FACTOR = 5
"""How much longer everything may take where the engine emulates linux/amd64."""


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be launched, and which slow probes the selected checks will read."""

    image: Image
    runtime: Runtime
    features: frozenset[str]
    run_id: str
    timeout: float
    cache_directory: Path
    java_options: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the cluster's `spark_env_vars` would add."""
    keep: bool = False
    with_spark: bool = False


class Launch:
    """One launched image, or the reason why it could not be launched."""

    def __init__(self, engine: Engine, request: LaunchRequest) -> None:
        self.request = request
        self.failure: str | None = None
        """Why the image could not be started; a fault of the image."""
        self.seconds = 0.0
        self._engine = engine
        self._container: Container | None = None
        self._shell: Shell | None = None
        self._smoke: spark.SmokeProbe | None = None

    @property
    def container(self) -> Container:
        """The running container; raises `LaunchFailed` where there is none."""
        if self._container is None:
            raise LaunchFailed(self.failure or "the container has ended")
        return self._container

    @property
    def shell(self) -> Shell:
        """The one long-lived shell of the container; raises `LaunchFailed` where there is none."""
        if self._shell is None:
            raise LaunchFailed(self.failure or "the container has ended")
        return self._shell

    @property
    def time_factor(self) -> int:
        """How much longer than usual things may take here."""
        return EMULATION_FACTOR if self.container.emulated else 1

    def start(self) -> None:
        """Start the container; raises `SetupError` where the fault is not the image's."""
        started = time.monotonic()
        try:
            self._start_container()
            self._shell = Shell(self.container, timeout=self.request.timeout * self.time_factor)
            self._lay_out_node()
            if self.request.with_spark:
                self._start_spark()
        except (LaunchFailed, ContainerEnded, AssertionError) as error:
            # An AssertionError is a shell or a probe that the image could not run.
            self.end()
            self.failure = str(error)
        except BaseException:
            self.end()
            raise
        self.seconds = time.monotonic() - started
        logger.info("launched %s in %.1f s", self.request.image.reference, self.seconds)

    def end(self) -> None:
        """End the container and all that runs in it."""
        if self._shell is not None:
            self._shell.close()
        if self._container is not None:
            self._container.end()
        self._shell = self._container = None

    def spark_smoke(self) -> spark.Smoke:
        """Return what the Spark job found, waiting for its end.

        Raises `SparkNotForeseen` for a launch that was not asked to run it.
        """
        if self._smoke is None:
            raise SparkNotForeseen
        return self._smoke.result(SPARK_TIMEOUT * self.time_factor)

    def fuse_smoke(self) -> fuse.FuseMount | None:
        """Return what a real FUSE mount found; None where the engine grants no `/dev/fuse`."""
        if not self.container.fuse:
            return None
        return fuse.mount(self.container, DEFAULT_PYTHON, self.request.timeout * self.time_factor)

    def _start_container(self) -> None:
        volumes = {}
        if self.request.with_spark:
            name = spark.volume_name(self.request.runtime.pyspark)
            with self._spark_archive().open("rb") as archive:
                self._engine.fill_volume(name, self.request.image, archive)
            volumes[name] = SPARK_MOUNT
        self._container = self._engine.launch(
            self.request.image,
            ContainerSpec(
                run_id=self.request.run_id,
                environment=platform_environment(self.request),
                hostname=HOST_NAME,
                fuse="fuse" in self.request.features,
                volumes=volumes,
                keep=self.request.keep,
            ),
        )

    def _spark_archive(self) -> Path:
        version = self.request.runtime.pyspark
        return spark.provision(version, self.request.cache_directory, logger.info)

    def _lay_out_node(self) -> None:
        present = {path for path in PLATFORM_PATHS if self._exists(path)}
        self.container.put_archive("/", node_layout(present, with_spark=self.request.with_spark))
        if self.request.with_spark and "/databricks/spark" in present:
            # The platform copies its runtime code over what the image has there.
            self.shell.run(f"cp -a {SPARK_MOUNT}/. /databricks/spark/")

    def _exists(self, path: str) -> bool:
        return self.shell.run(f"[ -e {path} ] || [ -L {path} ]").returncode == 0

    def _start_spark(self) -> None:
        has_python = "python" in self.request.features
        self._smoke = spark.start_smoke(
            self.container,
            python=python_of(self.request.image.config) if has_python else None,
            environment={},
            java_options=self.request.java_options,
        )
        self.shell.protect(self._smoke.pid)


def python_of(config: ImageConfig) -> str:
    """Return the interpreter that Spark and notebooks would take.

    Up to runtime 8.x it may be that of a conda environment.
    https://github.com/databricks/containers/tree/release-9.1-LTS/ubuntu/python-conda
    """
    conda = config.environment.get("DATABRICKS_ROOT_CONDA_ENV")
    default = f"/databricks/conda/envs/{conda}/bin/python" if conda else DEFAULT_PYTHON
    return config.environment.get("PYSPARK_PYTHON", default)


def platform_environment(request: LaunchRequest) -> Mapping[str, str]:
    """Return what the platform adds to the image's own environment."""
    chosen = {**request.image.config.environment, **request.environment}
    java_home = {"JAVA_HOME": f"{JVM_DIRECTORY}/{chosen['JNAME']}"} if chosen.get("JNAME") else {}
    return {
        **PLATFORM_ENVIRONMENT,
        "DATABRICKS_RUNTIME_VERSION": request.runtime.version,
        **java_home,
        **request.environment,
    }


def node_layout(present: set[str], *, with_spark: bool) -> bytes:
    """Return a tar of the directories and links of a node that the image does not have.

    Made outside, so that laying them out needs no tool of the image.
    """
    links = {**PLATFORM_LINKS, **({"/databricks/spark": SPARK_MOUNT} if with_spark else {})}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, mode in PLATFORM_DIRECTORIES.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, mode
            if path not in present:
                archive.addfile(member)
        for path, target in links.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
            if path not in present:
                archive.addfile(member)
    return buffer.getvalue()
