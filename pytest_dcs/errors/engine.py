"""What keeps a container from being started, or ends it in the middle of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.errors.base import SetupError

if TYPE_CHECKING:
    from pathlib import Path


class NoEngine(SetupError):
    """No container engine answers."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(
            f"no container engine at {address} ({detail}).",
            cause="Docker is not installed, not running, or DOCKER_HOST names another place.",
            next_step="`docker info` must work in this shell; start the engine or set DOCKER_HOST.",
        )


class EngineDenied(SetupError):
    """The engine's socket refuses this user."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"no permission to use the container engine at {address}.",
            cause="Your user is probably not in the group `docker`.",
            next_step="`docker info` must work in this shell: `sudo usermod -aG docker $USER`, "
            "then log in again.",
        )


class EngineLost(SetupError):
    """The engine stopped answering in the middle of a run."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the container engine stopped answering ({detail}).",
            cause="It was stopped or restarted, or the connection to it broke.",
            next_step="Nothing was judged after this; run again when `docker info` answers.",
        )


class EngineFault(SetupError):
    """The engine answers, but cannot do what it is asked for."""

    def __init__(self, task: str, detail: str) -> None:
        super().__init__(
            f"the container engine could not {task} ({detail}).",
            cause="It is out of disk, memory or network addresses, or its settings forbid it.",
            next_step="`docker system df` shows the disk, `docker network prune` frees addresses; "
            "`docker run --rm --init` with the same image must work.",
        )


class UnknownContext(SetupError):
    """A Docker context that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no Docker context {name!r}.",
            cause="DOCKER_CONTEXT or `currentContext` in the Docker configuration names it.",
            next_step="`docker context ls` shows the contexts; choose one with DOCKER_CONTEXT.",
        )


class UnsupportedAddress(SetupError):
    """An engine's address of a kind that cannot be used."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the container engine's address {address!r} cannot be used.",
            cause="Only unix:// and tcp:// are supported, not ssh://, npipe:// or fd://.",
            next_step="Forward the socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock "
            "HOST`, then DOCKER_HOST=unix:///tmp/docker.sock",
        )


class ContainerEnded(SetupError):
    """A container no longer runs in the middle of a run, or starts no further process."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the container ended in the middle of the run ({detail}).",
            cause="Something outside removed it, the machine ran out of memory, or a test of yours "
            "ended it.",
            next_step="What came after this was not judged; run again.",
        )


class LocalUnfit(SetupError):
    """A run that cannot take this machine for the image."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(
            f"--dcs-engine=local cannot be used here: {why}.",
            cause="It takes the machine on which pytest runs for the image, changes it as the "
            "platform would, and judges that.",
            next_step=next_step,
        )


class LocalByFile(SetupError):
    """A file of the checkout asks to take the machine of whoever runs pytest for the image."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} says `local`, which no pytest configuration may.",
            cause="Whoever runs pytest in this folder would have their own machine judged, and "
            "changed for it.",
            next_step="Ask for it where the job runs: --dcs-engine=local on the command line, or "
            "DCS_ENGINE=local in the job's environment.",
        )


class MachineTaken(SetupError):
    """Another run has taken this machine for its image."""

    def __init__(self) -> None:
        super().__init__(
            "another launch is under way on this machine.",
            cause="With --dcs-engine=local there can be one at a time: another run, or another "
            "runtime of this run under pytest-xdist.",
            next_step="Run again when it has ended, and several runtimes without -n.",
        )


class MachineReadOnly(SetupError):
    """The machine does not take what a launch has to put on it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} cannot be written ({detail}).",
            cause="The root file system is read-only or full, and --dcs-engine=local makes files "
            "on it, which it removes at the end.",
            next_step="Start the job with a writable root file system, with 1 GB to spare.",
        )
