"""Probes: files of ours that run inside a container and print what they found as JSON."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_dcs.errors import ContainerEnded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dcs.engines import Chunk, Container, Process

DIRECTORY = "/opt/pytest-dcs/probes"
LOG_LIMIT = 200_000
"""Bytes of a probe's log that are kept, the last ones."""
OUTPUT_LIMIT = 1_000_000
TAIL_LINES = 15
"""How much of the log a message shows."""

START_TIMEOUT = 60.0
"""Seconds until the container's `/bin/sh` has answered; milliseconds on an idle machine."""
KILL_TIMEOUT = 30.0
EXIT_TIMEOUT = 10.0
"""Seconds until an exit status is known after the streams have ended."""
POLL_SECONDS = 1.0

ANNOUNCE = 'echo "$$"; exec "$@" </dev/null'
"""Says the process id under which the command then runs."""

KILL_TREE = """
tree=" $1 "
grown=1
while [ "$grown" ]; do
    grown=
    kill -STOP $tree
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        pid=${line%% *}
        set -- ${line##*) }
        case $tree in
            *" $pid "*) ;;
            *" $2 "*) tree="$tree$pid " grown=1 ;;
        esac
    done
done
kill -KILL $tree
"""
"""Ends a process and all its descendants with the builtins of `/bin/sh` alone.

They are stopped first, so that none starts another one unseen. After the command's name in its
parentheses, `/proc/PID/stat` has the state and the parent:
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""


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
    returncode: int


class Probe:
    """One probe running in the background, beside the container's shell.

    A probe prints JSON objects on stdout, one a line, of which the last one counts, and exits
    with 0 whatever it found.
    """

    def __init__(self, container: Container, process: Process, name: str) -> None:
        self.pid = 0
        """Its root process, as the container counts; 0 until the container's shell has answered."""
        self._container = container
        self._process = process
        self._name = name
        self._started = time.monotonic()
        self._output = _Tail(OUTPUT_LIMIT)
        self._log = _Tail(LOG_LIMIT)
        self._returncode: int | None = None
        self._fault: Exception | None = None
        self._announced = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"dcs {name}", daemon=True)

    @classmethod
    def start(
        cls,
        container: Container,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        source: str,
    ) -> Probe:
        """Copy a file of `pytest_dcs/probes` in and start it: `argv` followed by the file's path.

        Raises `ProbeFailed` when nothing starts, `ContainerEnded` and `EngineLost`.
        """
        container.put_archive("/", _archive(source))
        command = ["/bin/sh", "-c", ANNOUNCE, "sh", *argv, f"{DIRECTORY}/{source}"]
        process = container.start(command, environment=environment)
        with suppress(BrokenPipeError):
            process.write(b"\n")
        probe = cls(container, process, source)
        probe._reader.start()
        if not probe._announced.wait(START_TIMEOUT) or not probe.pid:
            probe._raise_fault()
            probe._fail("could not be started by /bin/sh")
        return probe

    def wait(self, timeout: float) -> Document:
        """Return what the probe has reported at its end.

        `timeout` counts in seconds from the start; then the probe's whole tree is killed. Raises
        `ProbeFailed`, and `EngineLost`.
        """
        self._reader.join(max(0.0, self._started + timeout - time.monotonic()))
        if self._reader.is_alive():
            self._kill()
            self._fail(f"did not end within {timeout:.0f} s and was killed")
        self._raise_fault()
        if self._returncode is None:
            self._fail("has ended without an exit status")
        if self._returncode != 0:
            self._fail(f"died {describe_exit(self._returncode)}")
        data = self._last_report()
        if data is None:
            self._fail("ended without a report")
        return Document(data, self._log.text(), self._returncode)

    def _read(self) -> None:
        try:
            for chunk in self._chunks():
                if chunk.stream == "stderr":
                    self._log.add(chunk.data)
                else:
                    self._output.add(chunk.data)
                    self._look_for_pid()
            self._returncode = self._exit_status()
        except Exception as error:
            self._fault = error
        finally:
            self._process.close()
            self._announced.set()

    def _chunks(self) -> Iterator[Chunk]:
        while True:
            try:
                chunk = self._process.read(POLL_SECONDS)
            except TimeoutError:
                # What a probe leaves behind may hold its streams open after its own end.
                if self._process.returncode() is not None:
                    return
            else:
                if chunk is None:
                    return
                yield chunk

    def _look_for_pid(self) -> None:
        if not self.pid:
            line, end, _ = self._output.text().partition("\n")
            if end and line.isdecimal():
                self.pid = int(line)
                self._announced.set()

    def _exit_status(self) -> int | None:
        deadline = time.monotonic() + EXIT_TIMEOUT
        while (status := self._process.returncode()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return status

    def _last_report(self) -> Mapping[str, Any] | None:
        for line in reversed(self._output.text().splitlines()):
            with suppress(ValueError):
                data = json.loads(line)
                if isinstance(data, dict):
                    return data
        return None

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _fail(self, what: str) -> NoReturn:
        message = f"the probe {self._name} {what}"
        raise ProbeFailed(message, self._log.text(), self._last_report())

    def _kill(self) -> None:
        with suppress(ContainerEnded):
            killer = self._container.start(["/bin/sh", "-c", KILL_TREE, "sh", str(self.pid)])
            try:
                killer.write(b"\n")
                deadline = time.monotonic() + KILL_TIMEOUT
                with suppress(TimeoutError):
                    while killer.read(max(0.0, deadline - time.monotonic())):
                        pass
            finally:
                killer.close()
        self._reader.join(EXIT_TIMEOUT)


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    def text(self) -> str:
        return self._data[-self._limit :].decode(errors="replace")


def last_lines(log: str) -> list[str]:
    """Return the end of a log, for a message."""
    return log.strip().splitlines()[-TAIL_LINES:]


def describe_exit(status: int) -> str:
    """Return what an exit status means; shells add 128 to the number of the signal."""
    known = {126: "(it may not be executed)", 127: "(it was not found)"}
    if status in known:
        return f"with status {status} {known[status]}"
    return f"by signal {status - 128}" if status > 128 else f"with status {status}"  # noqa: PLR2004


def _archive(source: str) -> bytes:
    """Return a tar with one probe, and with its folder, which the engine would else make itself."""
    content = (resources.files("pytest_dcs") / "probes" / source).read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(DIRECTORY.lstrip("/"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        member = tarfile.TarInfo(f"{folder.name}/{source}")
        member.size, member.mode = len(content), 0o644
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
