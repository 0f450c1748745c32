"""A command beside the container's shell: a process of its own, with its output and its end."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dcs.errors import ContainerEnded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pytest_dcs.engines import Chunk, Container, Process

START_TIMEOUT = 60.0
"""Seconds until the container's `/bin/sh` has answered; milliseconds on an idle machine."""
KILL_TIMEOUT = 30.0
EXIT_TIMEOUT = 10.0
"""Seconds until an exit status is known after the streams have ended."""
POLL_SECONDS = 1.0
DRAIN_TIMEOUT = 5.0
"""Seconds that output is still read for after the command's end, where others go on writing."""

EXIT_MEANINGS = {
    126: "it may not be executed",
    127: "it was not found",
    128 + 9: "killed, most likely by the out-of-memory killer",
    128 + 11: "native code of its own or of a library crashed",
}
"""What exit statuses tell, as shells give them."""

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


class Execution:
    """One command in the background, the end of what it wrote, and its exit status."""

    def __init__(
        self,
        container: Container,
        process: Process,
        *,
        name: str,
        limits: tuple[int, int],
        is_over: Callable[[Execution, Chunk], bool],
    ) -> None:
        self.pid = 0
        """Its root process, as the container counts; 0 where the container's shell was silent."""
        self.stdout = Tail(limits[0])
        self.stderr = Tail(limits[1])
        self.returncode: int | None = None
        """The exit status once it has ended, None where there is none."""
        self._container = container
        self._process = process
        self._is_over = is_over
        self._first_line: bytes | None = b""
        self._started = time.monotonic()
        self._fault: Exception | None = None
        self._announced = threading.Event()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, name=f"dcs {name}", daemon=True)

    @classmethod
    def start(
        cls,
        container: Container,
        argv: Sequence[str],
        *,
        name: str,
        limits: tuple[int, int],
        environment: Mapping[str, str] | None = None,
        announce: str = ANNOUNCE,
        is_over: Callable[[Execution, Chunk], bool] = lambda *_: False,
    ) -> Execution:
        """Start a command as root; `limits` are the bytes of stdout and of stderr to keep.

        `announce` is the `/bin/sh` script that says its process id in its first line and starts
        the command. `is_over` is shown all further output piece by piece, and may say that nobody
        need wait any longer. Raises `ContainerEnded` and `EngineLost`.
        """
        process = container.start(["/bin/sh", "-c", announce, "sh", *argv], environment=environment)
        with suppress(BrokenPipeError):
            process.write(b"\n")
        execution = cls(container, process, name=name, limits=limits, is_over=is_over)
        execution._reader.start()
        execution._announced.wait(START_TIMEOUT)
        return execution

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin, where `announce` leaves it one.

        Raises `BrokenPipeError` when it has ended, `EngineLost` when the engine is gone.
        """
        self._process.write(data)

    def wait(self, timeout: float) -> bool:
        """Tell whether it was over before so many seconds from the start had passed."""
        return self._over.wait(max(0.0, timeout - self.seconds))

    def linger(self, seconds: float) -> None:
        """Wait so long for its last output, or less where that has come."""
        self._reader.join(seconds)

    def raise_fault(self) -> None:
        """Raise what has kept its output from being read, if anything has."""
        if self._fault is not None:
            raise self._fault

    def kill(self) -> None:
        """Kill its whole tree, and wait for the end of its output."""
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

    def _read(self) -> None:
        try:
            for chunk in self._chunks():
                self._take(chunk)
            self.returncode = self._exit_status()
        except Exception as error:
            self._fault = error
        finally:
            self._process.close()
            self._announced.set()
            self._over.set()

    def _chunks(self) -> Iterator[Chunk]:
        """Yield the output to its end.

        What a command leaves behind may hold its streams open after its own end, and write on.
        """
        asked, ended = time.monotonic(), 0.0
        while True:
            is_silent = False
            try:
                chunk = self._process.read(None if self._over.is_set() else POLL_SECONDS)
            except TimeoutError:
                is_silent = True
            else:
                if chunk is None:
                    return
                yield chunk
            now = time.monotonic()
            if not self._over.is_set() and not ended and now - asked >= POLL_SECONDS:
                asked, ended = now, now if self._process.returncode() is not None else 0.0
            if ended and (is_silent or now - ended > DRAIN_TIMEOUT):
                return

    def _take(self, chunk: Chunk) -> None:
        if chunk.stream == "stderr":
            self.stderr.add(chunk.data)
        else:
            chunk = chunk._replace(data=self._without_first_line(chunk.data))
            self.stdout.add(chunk.data)
        if self._is_over(self, chunk):
            self._over.set()

    def _without_first_line(self, data: bytes) -> bytes:
        """Return what comes behind the line with the process id, and take note of that."""
        if self._first_line is None:
            return data
        self._first_line += data
        line, end, rest = self._first_line.partition(b"\n")
        if not end:
            return b""
        self._first_line = None
        if line.isdigit():
            self.pid = int(line)
            self._announced.set()
        return rest

    def _exit_status(self) -> int | None:
        deadline = time.monotonic() + EXIT_TIMEOUT
        while (status := self._process.returncode()) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return status


class Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Take what comes next."""
        self._data += data
        if len(self._data) > 2 * self._limit:
            del self._data[: -self._limit]

    def text(self) -> str:
        """Return what is kept."""
        return self._data[-self._limit :].decode(errors="replace")


def describe_exit(status: int) -> str:
    """Return what an exit status means; shells add 128 to the number of the signal."""
    what = f"by signal {status - 128}" if status > 128 else f"with status {status}"  # noqa: PLR2004
    meaning = EXIT_MEANINGS.get(status)
    return f"{what} ({meaning})" if meaning else what
