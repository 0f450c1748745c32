"""A launch: starting an image the way a node of Databricks Container Services does."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_dcs import (
    elf,
    fuse,
    gpu_device,
    gpu_libraries,
    init_scripts,
    local_run,
    node,
    notebook,
    r,
    spark_cluster,
    spark_jobs,
)
from pytest_dcs.engines import ContainerSpec, LaunchFailed
from pytest_dcs.errors import ContainerEnded, ProbeNotForeseen
from pytest_dcs.launch_request import (
    DEEP,
    GPU,
    GPU_SPARK,
    LANGUAGE_SERVER,
    NOTEBOOK,
    R_SESSION,
    RUNNER,
    SPARK,
)
from pytest_dcs.shell import Shell
from pytest_dcs.spark_jobs import SparkJobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.class_data import Wish
    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.init_scripts import ScriptRun
    from pytest_dcs.launch_request import LaunchRequest
    from pytest_dcs.probe import Probe
    from pytest_dcs.spark_cluster import SparkCluster
    from pytest_dcs.spark_runner import SparkRunner
    from pytest_dcs.stages import Smoke, StagedProbe

logger = logging.getLogger(__name__)

NOTEBOOK_TIMEOUT = 180.0
"""Seconds that a notebook's kernel, language server or R may take for everything; about five."""

STEP_STAGES = {
    NOTEBOOK: ("cluster-libraries", "notebook-environment", "notebook-user", "kernel"),
    LANGUAGE_SERVER: ("language-server",),
    R_SESSION: ("r-session",),
}
"""Steps of the launch that are stages of a probe, by the same names."""


class Launch:
    """One launched image, or the reason why it could not be launched."""

    def __init__(self, engine: Engine, request: LaunchRequest) -> None:
        self.request = request
        self.failure: str | None = None
        """Why the image could not be started; a fault of the image."""
        self.script_runs: list[ScriptRun] = []
        """How the init scripts ended; where the last one failed, no later step was taken."""
        self.platform_paths: list[str] = []
        """What the image itself has at paths that are the platform's."""
        self.seconds: dict[str, float] = {}
        """How long each step took that has ended."""
        self.cluster: SparkCluster | None = None
        """The further nodes, in cluster mode."""
        self._engine = engine
        self._container: Container | None = None
        self._shell: Shell | None = None
        self._probes: dict[str, StagedProbe] = {}
        self._compiled_files: Probe | None = None
        self._gpu_libraries: Probe | None = None
        self._spark: SparkJobs | None = None
        self._notes: list[str] = []

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
    def notes(self) -> list[str]:
        """What a reader of the verdict should know and what is no fault of the image."""
        local = local_run.notes_of(self.request.image)
        return [*local, *self._notes, *(self._spark.notes if self._spark else ())]

    @property
    def wish(self) -> Wish | None:
        """The class-data archive that the reference job has missed, once it has passed."""
        return self._spark.wish if self._spark else None

    @property
    def time_factor(self) -> int:
        """How much longer than usual things may take here."""
        return node.time_factor(self.container)

    @property
    def stopped(self) -> str | None:
        """Why the launch went no further than the init scripts; None where it did."""
        failed = next((run for run in self.script_runs if run.failed), None)
        return f"the init script {failed.script.path} has ended the launch" if failed else None

    def start(self) -> None:
        """Start the container; raises `SetupError` where the fault is not the image's."""
        started = time.monotonic()
        try:
            with self._step("container"):
                self._start_container()
            if not self.request.on_node:
                with self._step("runtime-code"):
                    self._lay_out_node()
            with self._step("init-scripts"):
                if not self.request.on_node:
                    self.script_runs = self._run_init_scripts(self.container)
                # The shell opens now, so that what scripts leave running is none of its commands.
                self.shell.run(":")
            if self.request.with_cluster and not self.stopped:
                with self._step("cluster"):
                    self._start_cluster()
            if not self.stopped:
                self._start_probes()
        except (LaunchFailed, ContainerEnded, AssertionError) as error:
            # An AssertionError is a shell or a probe that the image could not run.
            self.end()
            self.failure = str(error)
        except BaseException:
            self.end()
            raise
        seconds = time.monotonic() - started
        logger.info("launched %s in %.1f s", self.request.image.reference, seconds)

    def end(self) -> None:
        """End the container and all that runs in it."""
        if self.cluster is not None:
            self.cluster.end()
        if self._shell is not None:
            self._shell.close()
        if self._container is not None:
            self._container.end()
        self._shell = self._container = None

    def spark_smoke(self) -> Smoke:
        """Return what the reference job found, waiting for its end."""
        smoke = self._spark_jobs(SPARK).reference()
        self.seconds.setdefault("driver", smoke.stage("start").seconds)
        return smoke

    def spark_deep_smoke(self) -> Smoke:
        """Return what the deep job found; it starts when the reference job has ended."""
        return self._spark_jobs(DEEP).deep()

    def spark_runner(self) -> SparkRunner:
        """Return what runs code of the user's with the runtime's Spark."""
        return self._spark_jobs(RUNNER).runner()

    def notebook_smoke(self) -> Smoke:
        """Return what the environments of libraries and notebook, and its kernel, did."""
        return self._result(NOTEBOOK)

    def language_server_smoke(self) -> Smoke:
        """Return what the language server answered."""
        return self._result(LANGUAGE_SERVER)

    def r_smoke(self) -> Smoke:
        """Return what an R session did."""
        if r.SWITCH in self.request.without:
            return r.nothing()
        return self._result(R_SESSION)

    def compiled_files_smoke(self) -> elf.CompiledFiles:
        """Return which compiled files of the Python environment could not be loaded."""
        if self._compiled_files is None:
            raise ProbeNotForeseen(elf.COMPILED_FILES)
        pinned = spark_jobs.known_packages(self.request.runtime)
        found = elf.result(self._compiled_files, elf.TIMEOUT * self.time_factor, pinned)
        if found.left_out:
            self._notes.append(f"{found.left_out} compiled files could not be looked at")
        return found

    def gpu_libraries_smoke(self) -> gpu_libraries.GpuLibraries:
        """Return which of CUDA's libraries could be loaded."""
        if self._gpu_libraries is None:
            raise ProbeNotForeseen(gpu_libraries.GPU_LIBRARIES)
        timeout = gpu_libraries.TIMEOUT * self.time_factor
        found = gpu_libraries.result(self._gpu_libraries, timeout)
        if found.left_out:
            self._notes.append(f"{found.left_out} of CUDA's libraries could not be looked at")
        return found

    def gpu_smoke(self) -> Smoke:
        """Return what the GPUs did; raises `gpu_device.NoGpu` where there is none to try."""
        request = self.request
        why = gpu_device.reason_not_to_try(request.gpus, self.container, request.features)
        if why:
            raise gpu_device.NoGpu(why)
        if GPU not in self._probes:
            raise ProbeNotForeseen(GPU)
        return gpu_device.result(self._probes[GPU], gpu_device.TIMEOUT * self.time_factor)

    def gpu_spark_smoke(self, devices: int) -> Smoke:
        """Return what Spark's tasks did with a GPU each of the `devices` that CUDA shows."""
        return self._spark_jobs(GPU_SPARK).on_gpus(devices)

    def fuse_smoke(self) -> fuse.FuseMount | None:
        """Return what a real FUSE mount found; None where the engine grants no `/dev/fuse`."""
        if not self.container.fuse:
            return None
        timeout = self.request.timeout * self.time_factor
        return fuse.mount(self.container, node.DEFAULT_PYTHON, timeout)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    def _start_container(self) -> None:
        shared = spark_jobs.SHARED_DIRECTORY if self.request.with_cluster else ""
        volumes = (
            spark_jobs.volumes(self.request, self._engine, self._notes)
            if self.request.with_spark and not self.request.on_node
            else {}
        )
        spec = self._spec(node.HOST_NAME, shared_directory=shared, volumes=volumes)
        self._container = self._engine.launch(self.request.image, spec)
        self._shell = self._shell_of(self._container)

    def _spec(self, host_name: str, **more: Any) -> ContainerSpec:
        """Return what one node is started with."""
        request = self.request
        return ContainerSpec(
            run_id=request.run_id,
            environment=request.environment
            if request.on_node
            else node.platform_environment(
                request.image.config,
                request.runtime,
                request.environment,
                as_seen="platform-variables" not in request.without,
            ),
            hostname="" if "host-name" in request.without else host_name,
            fuse="fuse" in request.features,
            gpus=request.gpus,
            node_memory="shared-memory" not in request.without,
            open_network=request.open_network,
            keep=request.keep,
            **more,
        )

    def _shell_of(self, container: Container) -> Shell:
        return Shell(container, timeout=self.request.timeout * self.time_factor)

    def _lay_out_node(self) -> None:
        present = self._lay_out(self.container, self.shell)
        self.platform_paths = [path for path in present if path not in node.PATHS_OF_IMAGES]

    def _lay_out(self, container: Container, shell: Shell) -> list[str]:
        """Lay out a node and return what the image had at paths of the platform."""
        present = node.paths_of_platform(shell)
        kept = list(present)
        if "merged-runtime" in self.request.without and node.SPARK_HOME in present:
            shell.run(f"rm -rf {node.SPARK_HOME}")
            kept.remove(node.SPARK_HOME)
        with_spark = self.request.with_spark
        container.put_archive("/", node.node_layout(kept, with_spark=with_spark))
        if with_spark and node.SPARK_HOME in kept:
            # The platform copies its runtime code over what the image has there.
            shell.run(f"cp -a {node.SPARK_MOUNT}/. {node.SPARK_HOME}/")
        return present

    def _run_init_scripts(self, container: Container) -> list[ScriptRun]:
        return init_scripts.run(
            container,
            self.request.init_scripts,
            timeout=self.request.timeout * self.time_factor,
            by_first_line="script-interpreter" not in self.request.without,
            driver=None if container is self.container else self.container,
        )

    def _start_cluster(self) -> None:
        options = spark_jobs.java_options(self.request, tuned=spark_jobs.is_tuned(self.request))
        self.cluster = spark_cluster.start(
            self._launch_member, environment={}, java_options=options
        )

    def _launch_member(self, host_name: str) -> Container:
        """Launch a further node of the cluster; raises `LaunchFailed`."""
        spec = self._spec(host_name, beside=self.container.name)
        container = self._engine.launch(self.request.image, spec)
        try:
            shell = self._shell_of(container)
            self._lay_out(container, shell)
            shell.close()
            self.script_runs += self._run_init_scripts(container)
        except BaseException:
            container.end()
            raise
        return container

    def _start_probes(self) -> None:
        request = self.request
        if request.with_spark:
            self._spark = SparkJobs(request, self.shell, self.cluster)
        if self._spark and SPARK in request.probes:
            self._spark.start_reference()
        if NOTEBOOK in request.probes:
            probe = notebook.start(
                self.container,
                features=request.features,
                needs=request.needs,
                without=request.without,
                gateway=self._spark is not None and self._spark.has_gateway,
            )
            self._add(NOTEBOOK, probe)
        if LANGUAGE_SERVER in request.probes:
            probe = notebook.start_language_server(self.container, without=request.without)
            self._add(LANGUAGE_SERVER, probe)
        if R_SESSION in request.probes and r.SWITCH not in request.without:
            self._add(R_SESSION, r.start(self.container, without=request.without))

        if (
            GPU in request.probes
            and request.gpus is not None
            and not gpu_device.reason_not_to_try(request.gpus, self.container, request.features)
        ):
            self._add(GPU, gpu_device.start(self.container, request.gpus))
        if gpu_libraries.GPU_LIBRARIES in request.probes:
            self._gpu_libraries = gpu_libraries.start(
                self.container, architectures=request.asks_architectures
            )
            self.shell.protect(self._gpu_libraries.pid)
        if elf.COMPILED_FILES in request.probes:
            self._compiled_files = elf.start(self.container)
            self.shell.protect(self._compiled_files.pid)

    def _add(self, name: str, probe: StagedProbe) -> None:
        self.shell.protect(probe.pid)
        self._probes[name] = probe

    def _spark_jobs(self, fixture: str) -> SparkJobs:
        """Raise `ProbeNotForeseen` for a launch that was not asked to have Spark."""
        if self._spark is None:
            raise ProbeNotForeseen(fixture)
        return self._spark

    def _result(self, name: str) -> Smoke:
        """Raise `ProbeNotForeseen` for a launch that was not asked to run the probe."""
        if name not in self._probes:
            raise ProbeNotForeseen(name)
        smoke = self._probes[name].result(NOTEBOOK_TIMEOUT * self.time_factor)
        for stage in map(smoke.stage, STEP_STAGES[name]):
            if stage.outcome != "not-run":
                self.seconds.setdefault(stage.name, stage.seconds)
        return smoke
