"""Processes on this machine: the steward that starts and ends them, and one command of it."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_dcs.engines import KILLED, Chunk, local_steward
from pytest_dcs.errors import ContainerEnded, EngineLost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_dcs.engines import Stream

RECEIVE_SIZE = 1 << 18
WRITE_TIMEOUT = 60.0
"""Seconds that a write may wait for a process that does not read its stdin."""
EXIT_PATIENCE = 2.0
"""Seconds that a command may take to end after its output has ended."""
END_TIMEOUT = 30.0
"""Seconds that the end of everything may take; the steward goes on by itself after them."""


class Steward:
    """The run's end of the process that starts, ends and undoes what a launch does.

    https://man7.org/linux/man-pages/man7/unix.7.html tells how descriptors are sent.
    """

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", local_steward.__file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        if not told:
            self.end()
            raise EngineLost(detail="the process that starts commands has not started")
        self.adopter = int(told)
        """The process that adopts orphans."""

    def start(
        self, argv: Sequence[str], environment: Mapping[str, str], streams: list[int]
    ) -> None:
        """Start a command on descriptors; raises `ContainerEnded` where nothing can be started."""
        self._send({"argv": [*argv], "environment": {**environment}}, streams)

    def note(self, path: Path, *, kept: Path | None = None) -> None:
        """Have a path removed at the end, and what it was before put back from where it is kept."""
        self._send({"path": str(path), **({"kept": str(kept)} if kept else {})}, [])

    def end(self) -> None:
        """End all processes, undo all that was noted, and wait for it; never raises."""
        self._orders.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _send(self, order: Mapping[str, object], streams: list[int]) -> None:
        data = json.dumps(order).encode()
        try:
            with self._lock:
                header = local_steward.LENGTH.pack(len(data))
                socket.send_fds(self._orders, [header], streams)
                self._orders.sendall(data)
        except OSError as error:
            raise ContainerEnded(error.strerror or str(error)) from error


class LocalProcess:
    """One command on this machine, with pipes of its own."""

    def __init__(
        self, steward: Steward, argv: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        pipes = [os.pipe() for _ in range(local_steward.STREAMS)]
        (stdin, self._stdin), *outputs = pipes
        (self._stdout, stdout), (self._stderr, stderr), (self._status, status) = outputs
        self._wake = os.eventfd(0)
        self._open: dict[int, Stream] = {self._stdout: "stdout", self._stderr: "stderr"}
        self._ready: list[int] = []
        self._reading = threading.Lock()
        self._started = self._closed = False
        self._returncode: int | None = None
        for descriptor in (self._stdin, self._status):
            os.set_blocking(descriptor, False)
        theirs = [stdin, stdout, stderr, status]
        try:
            steward.start(argv, environment, theirs)
        except BaseException:
            self.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)

    def write(self, data: bytes) -> None:
        """Send bytes to stdin; raises `BrokenPipeError` when the command has ended."""
        if self._closed:
            raise BrokenPipeError
        rest = memoryview(data if self._started else b"\n" + data)
        self._started = True
        deadline = time.monotonic() + WRITE_TIMEOUT
        while rest:
            _, writable, _ = select.select(
                [], [self._stdin], [], max(0, deadline - time.monotonic())
            )
            if not writable:
                raise EngineLost(detail=f"no progress in {WRITE_TIMEOUT:.0f} s of writing")
            with suppress(BlockingIOError):
                rest = rest[os.write(self._stdin, rest) :]

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return what comes next, None at the end; raises `TimeoutError` after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._reading:
            while self._open and not self._closed:
                if not self._ready:
                    self._ready = self._wait(deadline)
                # Each in its turn: a flood on one stream must not hide the other.
                chunk = self._take(self._ready.pop(0))
                if chunk is not None:
                    return chunk
        return None

    def returncode(self) -> int | None:
        """Return the exit status once the command has ended, else None.

        A command whose output has ended gets a moment to end too. One that ended with its launch
        counts as killed.
        """
        patience = 0.0 if self._open else EXIT_PATIENCE
        if self._returncode is None and not self._closed:
            ready, _, _ = select.select([self._status], [], [], patience)
            if ready:
                self._returncode = int(os.read(self._status, 8) or KILLED)
        return self._returncode

    def close(self) -> None:
        """Let go of the streams; a command that still reads its stdin sees the end of it."""
        if self._closed:
            return
        self._closed = True
        os.eventfd_write(self._wake, 1)
        with self._reading:
            self._open.clear()
            for descriptor in (self._stdin, self._stdout, self._stderr, self._status, self._wake):
                os.close(descriptor)

    def _wait(self, deadline: float | None) -> list[int]:
        remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
        poll = select.poll()
        for descriptor in (*self._open, self._wake):
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        found = poll.poll(None if remaining is None else remaining * 1000)
        if not found:
            raise TimeoutError
        return [descriptor for descriptor, _ in found]

    def _take(self, descriptor: int) -> Chunk | None:
        if descriptor not in self._open:
            return None
        data = os.read(descriptor, RECEIVE_SIZE)
        if data:
            return Chunk(self._open[descriptor], data)
        del self._open[descriptor]
        return None
