"""The engine that starts nothing: the machine on which pytest runs is inside the image."""

from __future__ import annotations

import fcntl
import os
import platform
import pwd
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from pytest_dcs import errors
from pytest_dcs.engines.local_container import Files, LocalContainer
from pytest_dcs.engines.local_process import Steward
from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.image.described import read_description

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dcs.engines import ContainerSpec, PullPolicy
    from pytest_dcs.image import SeenFrom

VOLUMES = Path("/opt/pytest-dcs/volumes")
"""Where volumes are unpacked: all users must be able to read them, unlike root's cache."""
CLUSTER_MARK = "DATABRICKS_RUNTIME_VERSION"
CLUSTER_FOLDER = Path("/databricks/spark")
"""What the platform sets, and where it lays its code, in every container that it has started."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What engines set where an image sets no PATH:
https://github.com/moby/moby/blob/v24.0.0/oci/defaults.go"""
OWN_VARIABLES = ("PYTEST_", "DCS_")
"""How variables begin that are this run's and none of the image's."""
OUTER_VARIABLES = ("PYTHON", "VIRTUAL_ENV", "COVERAGE_", "COV_CORE_", "UV_")
"""How variables begin that are the image's only where its first process has them too."""
OF_GPUS = ("NVIDIA_", "CUDA_VISIBLE_DEVICES")
"""How variables begin that an engine adds to a container with GPUs."""
OF_SHELLS = frozenset({"_", "OLDPWD", "PWD", "SHLVL"})

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The names that images have for machines."""
TAKEN_TIMEOUT = 30.0
"""Seconds that a launch waits for another one on this machine to end."""
PAUSE = 0.1


class LocalEngine:
    """The machine itself; one launch at a time."""

    def __init__(self, description: Path | None) -> None:
        """Take the file that describes the image, if there is one."""
        self.emulated = platform.machine() != "x86_64"
        self._description = description
        self._containers: list[LocalContainer] = []
        self._volumes: Steward | None = None
        self._filled: dict[str, Path] = {}

    def resolve(self, reference: str, pull: PullPolicy) -> Image:  # noqa: ARG002
        """Return what is known of the image: by its description, else by this machine alone.

        Raises `DescriptionUnreadable`.
        """
        seen: SeenFrom = "node" if is_node() else "inside"
        if self._description is not None:
            return read_description(reference, self._description, seen)
        config = ImageConfig(
            architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
            environment=machine_environment(),
        )
        return Image(reference, id="", config=config, config_known=False, seen_from=seen)

    def save(self, images: Sequence[Image]) -> NoReturn:  # noqa: ARG002
        """Raise `LayersOutOfReach`: a running image does not show what its layers were."""
        raise errors.LayersOutOfReach

    def launch(self, image: Image, spec: ContainerSpec) -> LocalContainer:
        """Take this machine for a container of the image.

        Raises `LaunchFailed` where its `/bin/sh` does not answer, and `MachineTaken`.
        """
        lock = lock_machine()
        try:
            steward = Steward()
        except BaseException:
            os.close(lock)
            raise
        container = LocalContainer(
            image.reference,
            steward,
            environment_of(image, spec),
            fuse=spec.fuse,
            release=lambda: os.close(lock),
        )
        self._containers.append(container)
        try:
            container.refuse_silence()
            for volume, path in spec.volumes.items():
                container.put_link(path, str(self._filled[volume]))
        except BaseException:
            container.end()
            raise
        return container

    def fill_volume(self, name: str, image: Image, tar: IO[bytes]) -> None:  # noqa: ARG002
        """Unpack a tar where all users can read it, until this engine is closed."""
        if name in self._filled:
            return
        if self._volumes is None:
            self._volumes = Steward()
        target = VOLUMES / f"{name}-{os.getpid()}"
        with unpacking(target):
            files = Files(self._volumes)
            files.make_folder(target)
            files.unpack(target, tar)
        self._filled[name] = target

    def close(self) -> None:
        """End all launches, and take back what they made; never raises."""
        for container in self._containers:
            container.end()
        self._containers.clear()
        self._filled.clear()
        if self._volumes is not None:
            self._volumes.end()
            self._volumes = None


def is_node() -> bool:
    """Tell whether this is a node of a cluster: the platform has been here."""
    return CLUSTER_MARK in os.environ and CLUSTER_FOLDER.exists()


def machine_environment() -> dict[str, str]:
    """Return the environment that this machine gives to processes, without what is of this run."""
    first = first_environment()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OWN_VARIABLES)
        and name not in OF_SHELLS
        and not (name.startswith(OUTER_VARIABLES) and first.get(name) != value)
    }
    outer = os.environ.get("VIRTUAL_ENV")
    if outer and "VIRTUAL_ENV" not in kept:
        folders = kept.get("PATH", DEFAULT_PATH).split(":")
        kept["PATH"] = ":".join(each for each in folders if each != f"{outer}/bin")
    return {**kept, "HOME": home_of_root()}


def first_environment() -> Mapping[str, str]:
    """Return what this machine's first process was started with; nothing where nobody may know."""
    try:
        text = os.fsdecode(Path("/proc/1/environ").read_bytes())
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def environment_of(image: Image, spec: ContainerSpec) -> dict[str, str]:
    """Return the environment that a container of the image would have."""
    gpus = {name: value for name, value in os.environ.items() if name.startswith(OF_GPUS)}
    if spec.gpus is not None and spec.gpus.visible:
        gpus["CUDA_VISIBLE_DEVICES"] = spec.gpus.visible
    return {
        "PATH": DEFAULT_PATH,
        "HOSTNAME": socket.gethostname(),
        "HOME": home_of_root(),
        **image.config.environment,
        **gpus,
        **spec.environment,
    }


def home_of_root() -> str:
    """Return root's home directory, `/` where /etc/passwd names none."""
    try:
        return pwd.getpwuid(0).pw_dir
    except KeyError:
        return "/"


def lock_machine() -> int:
    """Return a descriptor that holds this machine until it is closed; raises `MachineTaken`."""
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + TAKEN_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise errors.MachineTaken from None
            time.sleep(PAUSE)
        else:
            return descriptor


@contextmanager
def unpacking(target: Path) -> Iterator[None]:
    """Turn a disk that is full or read-only into `MachineReadOnly`."""
    try:
        yield
    except OSError as error:
        raise errors.MachineReadOnly(target, error.strerror or str(error)) from error
