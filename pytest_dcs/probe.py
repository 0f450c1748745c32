"""Probes: files of ours that run inside a container and print what they found as JSON."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_dcs.execution import ANNOUNCE, KILL_TREE, Execution, Tail, describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.abc import Traversable

    from pytest_dcs.engines import Chunk, Container

__all__ = [
    "ANNOUNCE",
    "KILL_TREE",
    "Document",
    "Probe",
    "ProbeFailed",
    "Tail",
    "describe_exit",
    "last_lines",
]

DIRECTORY = "/opt/pytest-dcs/probes"
"""Where each probe has a folder of its own: a probe that starts while another still imports what
they share must not write over it."""
PACKAGES = "packages"
"""The folder in a probe's own where packages lie that it brings: no code of the image's finds them
there."""
SHARED = "dcs_*.py"
"""Modules that every probe finds beside itself."""
LOG_LIMIT = 200_000
"""Bytes of a probe's log that are kept, the last ones."""
OUTPUT_LIMIT = 1_000_000
TAIL_LINES = 15
"""How much of the log a message shows."""

WATCH_SECONDS = 0.5
"""How often it is asked whether there still is hope."""
LINGER = 0.05
"""Seconds that the last lines of a log have after the last report."""


class ProbeFailed(AssertionError):
    """A probe died, hung or reported nothing; the message ends with the end of its log."""

    def __init__(self, what: str, log: str, data: Mapping[str, Any] | None) -> None:
        super().__init__("\n".join([what, *last_lines(log)]))
        self.what = what
        self.log = log
        self.data = data
        """The last report that it had printed, None if there is none."""


@dataclass(frozen=True)
class Document:
    """What a probe reported."""

    data: Mapping[str, Any]
    log: str
    """The end of what it wrote to stderr, at most `LOG_LIMIT` bytes."""


class Probe:
    """One probe running in the background, beside the container's shell.

    A probe prints JSON objects on stdout, one a line, of which the last one counts, and exits
    with 0 whatever it found.
    """

    def __init__(self, execution: Execution, name: str) -> None:
        self._execution = execution
        self._name = name

    @classmethod
    def start(
        cls,
        container: Container,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        source: str,
        package: str = "",
    ) -> Probe:
        """Copy a file of `pytest_dcs/probes` in and start it: `argv` followed by the file's path.

        What probes share lies beside it, and in its folder `packages` the Python code of a package
        of this process, if one is named.

        Raises `ProbeFailed` when nothing starts, `ContainerEnded` and `EngineLost`.
        """
        path = put_probe(container, source)
        if package:
            put_package(container, package, PurePosixPath(path).parent)
        execution = Execution.start(
            container,
            [*argv, path],
            name=source,
            limits=(OUTPUT_LIMIT, LOG_LIMIT),
            environment=environment,
            announce=ANNOUNCE,
            is_over=_is_complete,
        )
        probe = cls(execution, source)
        if not probe.pid:
            execution.raise_fault()
            probe._fail("could not be started by /bin/sh")
        return probe

    @property
    def pid(self) -> int:
        """Its root process, as the container counts."""
        return self._execution.pid

    def wait(self, timeout: float, hopeless: Callable[[], str] = str) -> Document:
        """Return what the probe has reported, at its end or as soon as it says that this is all.

        `timeout` counts in seconds from the start; then the probe's whole tree is killed, as it is
        when `hopeless` names a reason for it. Raises `ProbeFailed`, and `EngineLost`.
        """
        execution = self._execution
        while not execution.wait(min(timeout, execution.seconds + WATCH_SECONDS)):
            is_late = execution.seconds >= timeout
            reason = f"did not end within {timeout:.0f} s" if is_late else hopeless()
            if reason:
                execution.kill()
                self._fail(f"{reason} and was killed")
        execution.raise_fault()
        data = _last_report(execution.stdout)
        if data is not None and data.get("complete"):
            execution.linger(LINGER)
            return Document(data, execution.stderr.text())
        if execution.returncode is None:
            self._fail("has ended without an exit status")
        if execution.returncode != 0:
            self._fail(f"died {describe_exit(execution.returncode)}")
        if data is None:
            self._fail("ended without a report")
        return Document(data, execution.stderr.text())

    def _fail(self, what: str) -> NoReturn:
        execution = self._execution
        message = f"the probe {self._name} {what}"
        raise ProbeFailed(message, execution.stderr.text(), _last_report(execution.stdout))


def last_lines(log: str) -> list[str]:
    """Return the end of a log, for a message."""
    return log.strip().splitlines()[-TAIL_LINES:]


def _last_report(stdout: Tail) -> Mapping[str, Any] | None:
    for line in reversed(stdout.text().splitlines()):
        with suppress(ValueError):
            data = json.loads(line)
            if isinstance(data, dict):
                return data
    return None


def _is_complete(execution: Execution, chunk: Chunk) -> bool:
    if chunk.stream != "stdout" or not chunk.data.endswith(b"\n"):
        return False
    return bool((_last_report(execution.stdout) or {}).get("complete"))


def put_probe(container: Container, source: str) -> str:
    """Copy a file of `pytest_dcs/probes`, and what probes share, and return the file's path."""
    probes = resources.files("pytest_dcs") / "probes"
    shared = [each.name for each in probes.iterdir() if fnmatch(each.name, SHARED)]
    names = (source, *shared)
    folder = f"{DIRECTORY}/{PurePosixPath(source).stem}"
    container.put_archive("/", _archive(folder, {each: probes / each for each in names}))
    return f"{folder}/{source}"


def put_package(container: Container, package: str, folder: PurePosixPath) -> None:
    """Copy the Python files of a package of this process into the folder of a probe."""
    files = dict(_python_files(package, resources.files(package)))
    container.put_archive("/", _archive(str(folder / PACKAGES), files))


def _python_files(path: str, folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        inner = f"{path}/{each.name}"
        if each.is_dir():
            yield from _python_files(inner, each)
        elif each.name.endswith(".py"):
            yield inner, each


def _archive(directory: str, files: Mapping[str, Traversable]) -> bytes:
    """Return a tar with files below a directory, and with their folders.

    The engine would else make the folders itself.
    """
    top = PurePosixPath(directory.lstrip("/"))
    paths = {top / name: file for name, file in files.items()}
    folders = {top, *(each for path in paths for each in path.parents if top in each.parents)}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folders):
            folder = tarfile.TarInfo(str(path))
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for path, file in paths.items():
            content = file.read_bytes()
            member = tarfile.TarInfo(str(path))
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
