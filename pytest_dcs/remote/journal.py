"""What was launched and what is known to be gone, on this machine's disk.

A name is written before the request that makes a cluster of it, so that even a run that is killed
in between leaves a trace by which the cluster can be found. No secret is ever written.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path

from pytest_dcs.remote import errors, tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAUNCHES = 2
"""Clusters that one run may launch for one image: the image's, and one without the image."""


@dataclass(frozen=True)
class Launched:
    """Something that a run has launched, or was about to."""

    name: str
    run_id: str
    host: str
    mode: str
    cluster_id: str = ""
    job_run_id: int | None = None
    folder: str = ""


class Journal:
    """The journal of this process; another process of the same run has one of its own.

    Raises `JournalUnusable` where it cannot be written.
    """

    def __init__(self, run_id: str, directory: Path | None = None, cap: int = LAUNCHES) -> None:
        self.run_id = run_id
        self.directory = directory or default_directory()
        self.path = self.directory / f"{run_id}-{os.getpid()}.jsonl"
        self.cap = cap
        self.told_of_earlier = False
        self._lock = FileLock(lock_of(self.path))
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(blocking=False)
            self.path.touch(mode=0o600)
        except (OSError, Timeout) as error:
            raise errors.JournalUnusable(self.path, str(error)) from None

    def launching(self, name: str, host: str, mode: str, timeout: float) -> None:
        """Write down a name that the next request will use; raises `TooManyLaunches`."""
        if len(list(self._launches())) >= self.cap:
            raise errors.TooManyLaunches(self.cap)
        self._write("launching", name, host=host, mode=mode, tags=tags.own(self.run_id, timeout))

    def note(self, event: str, name: str, **facts: Any) -> None:
        """Write down what happened to it; what cannot be written must not end a teardown."""
        with suppress(errors.JournalUnusable):
            self._write(event, name, **facts)

    def close(self) -> None:
        """Let go of the journal, and of its file where all that it names is gone."""
        left = list(unfinished_in(self.path))
        self._lock.release()
        if not left:
            discard(self.path)

    def earlier(self) -> list[tuple[Path, Launched]]:
        """Return what runs that have ended left without having seen it removed."""
        return [
            (path, launched)
            for path in sorted(self.directory.glob("*.jsonl"))
            if path != self.path and not is_alive(path)
            for launched in unfinished_in(path)
        ]

    def _launches(self) -> Iterator[dict[str, Any]]:
        for path in self.directory.glob(f"{self.run_id}-*.jsonl"):
            yield from (line for line in lines_of(path) if line.get("event") == "launching")

    def _write(self, event: str, name: str, **facts: Any) -> None:
        entry = {"event": event, "name": name, "run": self.run_id, "at": time.time(), **facts}
        append(self.path, entry)


def default_directory() -> Path:
    """Return where journals are kept."""
    return user_state_path("pytest-dcs", appauthor=False) / "remote"


def append(path: Path, entry: dict[str, Any]) -> None:
    """Write one line so that it survives a crash of the machine; raises `JournalUnusable`."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise errors.JournalUnusable(path, str(error)) from None


def finish(path: Path, name: str) -> None:
    """Note in a journal of a run that has ended that something is gone after all."""
    with suppress(errors.JournalUnusable):
        append(path, {"event": "removed", "name": name, "at": time.time()})
    if not list(unfinished_in(path)):
        discard(path)


def discard(path: Path) -> None:
    """Remove a journal and its lock."""
    for file in (path, lock_of(path)):
        with suppress(OSError):
            file.unlink()


def lock_of(path: Path) -> Path:
    """Return the file that the owner of a journal holds locked while it lives."""
    return path.with_suffix(".lock")


def is_alive(path: Path) -> bool:
    """Tell whether the process that writes a journal still lives; a lock dies with its owner."""
    lock = FileLock(lock_of(path))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """Return a journal's lines; one that a crash has cut short is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def unfinished_in(path: Path) -> list[Launched]:
    """Return what a journal names without saying that it was removed."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines_of(path):
        name = str(line.get("name", ""))
        if line.get("event") == "removed":
            found.pop(name, None)
        elif line.get("event") == "launching":
            found[name] = dict(line)
        elif name in found:
            found[name] |= line
    return [
        Launched(
            name=name,
            run_id=str(line.get("run", "")),
            host=str(line.get("host", "")),
            mode=str(line.get("mode", "")),
            cluster_id=str(line.get("cluster_id", "")),
            job_run_id=line.get("job_run_id"),
            folder=str(line.get("folder", "")),
        )
        for name, line in found.items()
    ]
