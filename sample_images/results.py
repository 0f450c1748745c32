"""Results of long runs, kept in the user's cache, so that a second run only does what is left."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_dcs.options import default_cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Task = TypeVar("Task")
Result = TypeVar("Result")

LANES = min(os.cpu_count() or 1, 8)
"""How many things are measured at a time."""
CONTINUOUS_INTEGRATION = "CI"


class Kept:
    """Results of one kind, by name, each with a key that stands for all that it depends on."""

    def __init__(self, kind: str, *, fresh: bool = False) -> None:
        self.folder = default_cache_directory() / "corpus" / kind
        self._fresh = fresh or bool(os.environ.get(CONTINUOUS_INTEGRATION))

    def read(self, name: str, key: str) -> Any | None:
        """Return a result, None where there is none of this key or all is to be done afresh."""
        try:
            kept = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_it = isinstance(kept, dict) and kept.get("key") == key and not self._fresh
        return kept["result"] if is_it else None

    def write(self, name: str, key: str, result: object) -> None:
        """Keep a result in place of the one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self._path(name).with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({"key": key, "result": result}), encoding="utf-8")
        half.replace(self._path(name))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace(':', '-')}.json"


def key_of(*parts: object) -> str:
    """Return a key for values that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def key_of_files(*folders: Path) -> str:
    """Return a key for all files below folders; what Python compiles of them does not count."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def in_lanes(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Do tasks in their order, a few at a time, and yield each result as soon as it is there.

    After the first exception nothing more is begun.
    """
    with ThreadPoolExecutor(LANES) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
