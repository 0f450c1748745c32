"""Nodes that really are containers of the image, launched as the plugin launches them."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from pytest_dcs import node, runtimes, spark
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.errors import SetupError
from pytest_dcs.execution import Execution
from pytest_dcs.init_scripts import InitScript
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import RUNNER, LaunchRequest
from tests.remote.standin.files import on_node
from tests.remote.standin.lives import pull_message
from tests.remote.standin.nodes import NodeFailed
from tests.remote.standin.notebook import DockerContext
from tests.remote.standin.refusals import Refusal
from tests.remote.standin.run import LOG_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.runtimes import Runtime
    from tests.remote.standin.files import Files
    from tests.remote.standin.nodes import Context, Running, Task

RUN_ID = "standin-workspace"
PROFILE = "standard"
"""Nodes give all containers the same, so that of the largest profile."""
TIMEOUT = 60.0
TASK_TIMEOUT = 570.0
"""Real seconds that a task may take before it is killed."""
MOUNTS = ("/Workspace/", "/dbfs/", "/Volumes/")
DRIVER_DIRECTORY = "/databricks/driver"
START_TASK = f'cd {DRIVER_DIRECTORY} || exit; echo "$$"; exec "$@" </dev/null 2>&1'


@dataclass
class DockerNodes:
    """Launches images of this machine's Docker engine."""

    images: dict[str, str] = field(default_factory=dict)
    """By the URL that a cluster names: the image that the engine has for it, if not the same."""
    mounted: bool = True
    """Whether a node sees what lies in the workspace below /Workspace, /dbfs and /Volumes."""
    _engine: DockerEngine | None = None

    def launch(self, spec: Mapping[str, Any], files: Files) -> DockerNode:
        """Launch a node with this specification's image; raises `NodeFailed`."""
        if self._engine is None:
            self._engine = DockerEngine()
        url = spec["docker_image"]["url"]
        try:
            image = self._engine.resolve(self.images.get(url, url), "never")
        except SetupError as error:
            raise NodeFailed("DOCKER_IMAGE_PULL_FAILURE", pull_message(url)) from error
        version = spec["spark_version"]
        catalogue = runtimes.load()
        runtime = next(each for each in catalogue.runtimes.values()
                       if version in each.spark_version_keys)  # fmt: skip
        cache = user_cache_path("pytest-dcs")
        launch = Launch(
            self._engine,
            LaunchRequest(
                image=image,
                runtime=runtime,
                features=catalogue.features(PROFILE),
                needs=catalogue.needs_of(runtime),
                run_id=RUN_ID,
                timeout=TIMEOUT,
                cache_directory=cache,
                tuned=False,
                environment=spec.get("spark_env_vars") or {},
                init_scripts=_init_scripts(spec, files),
                probes=frozenset({RUNNER} if _has_spark(runtime) else ()),
            ),
        )
        launch.start()
        if launch.failure is not None:
            raise NodeFailed("DOCKER_CONTAINER_CREATION_EXCEPTION", launch.failure)
        statuses = ["SUCCEEDED" if run.returncode == 0 else "FAILED_EXECUTION"
                    for run in launch.script_runs]  # fmt: skip
        if launch.stopped:
            launch.end()
            scripts = spec.get("init_scripts") or ()
            rest = ["NOT_EXECUTED"] * (len(scripts) - len(statuses))
            raise NodeFailed("INIT_SCRIPT_FAILURE", launch.stopped, (*statuses, *rest))
        place = DockerNode(launch, tuple(statuses), files if self.mounted else None)
        place.lay_out(version)
        return place

    def close(self) -> None:
        """Remove all containers that are left."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None


class DockerNode:
    """One container of the image, with all that a node has."""

    def __init__(self, launch: Launch, scripts: tuple[str, ...], mounted: Files | None) -> None:
        self.scripts = scripts
        self._launch = launch
        self._mounted = mounted
        self._python = node.python_of(launch.request.image.config)
        self._contexts: list[DockerContext] = []

    @property
    def name(self) -> str:
        """The container's name."""
        return self._launch.container.name

    def lay_out(self, version: str) -> None:
        """Add what tells programs that they are on a cluster."""
        self._put({"/databricks/DBR_VERSION": version.partition("-")[0].encode()})

    def start_task(self, task: Task) -> Running:
        """Start a Python file with the image's own Python."""
        self._mount()
        path = f"{DRIVER_DIRECTORY}/{task.name}"
        self._put({path: task.content})
        return _DockerTask(
            Execution.start(
                self._launch.container,
                [self._python, path, *task.parameters],
                name=task.name,
                limits=(2 * LOG_LIMIT, LOG_LIMIT),
                environment=task.environment,
                announce=START_TASK,
            )
        )

    def open_context(self) -> Context:
        """Open a notebook's context in the image's own Python."""
        self._mount()
        context = DockerContext(self._launch.container, self._python)
        self._contexts.append(context)
        return context

    def end(self) -> None:
        """Remove the container; never raises."""
        for context in self._contexts:
            context.close()
        self._launch.end()

    def _mount(self) -> None:
        if self._mounted is not None:
            self._put(self._mounted.content)

    def _put(self, files: Mapping[str, bytes]) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path, content in files.items():
                member = tarfile.TarInfo(path.lstrip("/"))
                member.size, member.mode = len(content), 0o755
                archive.addfile(member, io.BytesIO(content))
        self._launch.container.put_archive("/", buffer.getvalue())


@dataclass
class _DockerTask:
    execution: Execution

    def wait(self) -> tuple[int, str]:
        if not self.execution.wait(TASK_TIMEOUT):
            self.execution.kill()
        self.execution.linger(TIMEOUT)
        self.execution.raise_fault()
        status = self.execution.returncode
        return (1 if status is None else status), self.execution.stdout.text()

    def kill(self) -> None:
        self.execution.kill()


def _has_spark(runtime: Runtime) -> bool:
    """Whether the runtime's Spark is in the cache: nothing is fetched for a workspace."""
    name = f"{spark.volume_name(runtime.pyspark)}.tar.size"
    return (user_cache_path("pytest-dcs") / name).is_file()


def _init_scripts(spec: Mapping[str, Any], files: Files) -> tuple[InitScript, ...]:
    """Return the scripts as they lie in the workspace or in the image.

    Raises `NodeFailed` where one cannot be fetched.
    """
    scripts = spec.get("init_scripts") or []
    found = []
    for number, script in enumerate(scripts):
        ((kind, place),) = script.items()
        path = place["destination"]
        if kind == "file":
            plain = "/" + path.removeprefix("file:").lstrip("/")
            found.append(InitScript("cluster", plain, in_image=True))
            continue
        try:
            content = files.read(path)
        except (FileNotFoundError, Refusal):
            statuses = ["NOT_EXECUTED"] * len(scripts)
            statuses[number] = "FAILED_FETCH"
            message = f"Cluster scoped init script {path} failed: could not fetch it"
            raise NodeFailed("INIT_SCRIPT_FAILURE", message, tuple(statuses)) from None
        found.append(InitScript("cluster", on_node(path), in_image=False, content=content))
    return tuple(found)
