"""The FUSE trial: a real mount by the image's own `fusermount`, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_dcs.probe import Probe, ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.engines import Container

TRIAL = "fuse_mount.py"


@dataclass(frozen=True)
class FuseMount:
    """How far a mount came: each step needs the one before."""

    available: bool
    """There is a `fusermount` on PATH."""
    mounted: bool
    """It has mounted a file system and handed it over."""
    read: bool
    """A file could be read through that mount."""
    written: bool
    """A new file could be written through it."""
    detail: str
    """What stopped the trial; empty when nothing did."""
    log: str
    """The end of what the trial wrote to stderr."""


def mount(container: Container, python: str, timeout: float) -> FuseMount:
    """Mount a file system, read a file and write one, by the image's interpreter.

    Needs a container with `fuse`; a trial that has not ended after `timeout` seconds is killed.
    Raises `ProbeFailed` when nothing starts, `ContainerEnded` and `EngineLost`.
    """
    probe = Probe.start(container, [python], environment={}, source=TRIAL)
    try:
        document = probe.wait(timeout)
    except ProbeFailed as failure:
        return _found(failure.data or {}, str(failure), failure.log)
    return _found(document.data, document.data["detail"], document.log)


def _found(data: Mapping[str, Any], detail: str, log: str) -> FuseMount:
    return FuseMount(
        available=bool(data.get("available")),
        mounted=bool(data.get("mounted")),
        read=bool(data.get("read")),
        written=bool(data.get("written")),
        detail=detail.strip(),
        log=log,
    )
