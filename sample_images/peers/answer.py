"""What a tool says of an image, and the containers that tools are given."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIME_LIMIT = 120
"""Seconds that a tool may take for an image; none needs a quarter of it."""


@dataclass(frozen=True)
class Answer:
    """What a tool says of an image."""

    red: tuple[str, ...]
    """The checks that are not green, or what kept the tool from running them."""
    seconds: float


def run(command: Sequence[str], **more: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; raises `TimeoutExpired`."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=TIME_LIMIT,
        check=False,
        **more,
    )


@contextmanager
def started(reference: str, command: Sequence[str]) -> Iterator[str | None]:
    """Yield the name of a container of an image, as `docker run` starts it; None if it cannot."""
    name = f"pytest-dcs-peer-{uuid4().hex[:12]}"
    try:
        done = run(["docker", "run", "--detach", f"--name={name}", reference, *command])
        yield name if done.returncode == 0 else None
    finally:
        run(["docker", "rm", "--force", "--volumes", name])
