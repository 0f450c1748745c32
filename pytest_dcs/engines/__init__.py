"""Where a launch happens: the small interfaces that every engine offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from pytest_dcs.gpu_request import GpuRequest
    from pytest_dcs.image import Image

PullPolicy = Literal["missing", "always", "never"]
Stream = Literal["stdout", "stderr"]

STARTER = ("/bin/sh", "-c", 'read -r _ && exec "$@"', "sh")
"""Holds a command back until the first input has come, when its output has a reader."""
KILLED = 137
"""The exit status of a command that ended with its container."""


class Chunk(NamedTuple):
    """Bytes that a process wrote, and where it wrote them."""

    stream: Stream
    data: bytes


class Process(Protocol):
    """One command in a container, attached to its three streams.

    The command starts only with the first `write`, so that no output is lost before there is a
    reader for it.
    """

    def write(self, data: bytes) -> None:
        """Send bytes to the command's stdin.

        Raises `BrokenPipeError` when the command has ended, `EngineLost` when the engine is gone.
        """

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return what comes next, None at the end; raises `TimeoutError` after so many seconds."""

    def returncode(self) -> int | None:
        """Return the exit status once the command has ended, else None."""

    def close(self) -> None:
        """Let go of the connection; a command that still reads its stdin sees the end of it."""


class Container(Protocol):
    """One launched image."""

    name: str
    emulated: bool
    """The engine's machine is not linux/amd64, so all takes several times as long."""
    fuse: bool
    """`/dev/fuse` and the right to mount were granted."""
    gpu_refusal: str
    """Why there are no GPUs although some were asked for; else empty."""
    adopter: int
    """The process that adopts orphans, as the container counts."""

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a command as root, beside all others; `environment` adds to the container's.

        Raises `ContainerEnded` when the container no longer runs.
        """

    def put_archive(self, directory: str, tar: bytes | IO[bytes]) -> None:
        """Unpack an uncompressed tar into an existing directory."""

    def read_file(self, path: str) -> bytes:
        """Return a file's content; raises `FileNotFoundError`."""

    def logs(self) -> str:
        """Return what the main process wrote last, for messages."""

    def end(self) -> None:
        """End the container and remove it, its anonymous volumes and its network; never raises."""


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is to be started with."""

    run_id: str
    environment: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    fuse: bool = False
    """Ask for `/dev/fuse` and the right to mount; left out where the engine has none."""
    gpus: GpuRequest | None = None
    """Ask for GPUs; left out where the engine has none to give."""
    node_memory: bool = False
    """Let /dev/shm have half of the machine's memory, as it has outside of containers."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Named volumes by the absolute path where they are mounted, read-only."""
    open_network: bool = False
    """Let the container reach what its engine's machine reaches, not only those beside it."""
    shared_directory: str = ""
    """Where to have a volume of its own, writable, which containers `beside` this one see too."""
    beside: str = ""
    """The name of a container whose network and volumes this one has as well."""
    keep: bool = False


class LaunchFailed(Exception):
    """The image could not be started as a container: a fault of the image, not of the set-up."""


class Engine(Protocol):
    """What starts containers."""

    emulated: bool
    """Its machine is not linux/amd64, so all takes several times as long."""

    def resolve(self, reference: str, pull: PullPolicy) -> Image:
        """Return the image, pulled where the policy says so.

        Raises a `SetupError` when it cannot be had.
        """

    def save(self, images: Sequence[Image]) -> AbstractContextManager[IO[bytes]]:
        """Open images with all their layers, as a tar in the format of `docker save`."""

    def launch(self, image: Image, spec: ContainerSpec) -> Container:
        """Start the image.

        Raises `LaunchFailed` for the image's faults, a `SetupError` for the engine's.
        """

    def fill_volume(self, name: str, image: Image, tar: IO[bytes]) -> None:
        """Make a named volume with the tar's content unless it is there and complete."""

    def close(self) -> None:
        """Let go of the connection and of all that this engine started."""
