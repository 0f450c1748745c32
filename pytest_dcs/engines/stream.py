"""The stream of a container's process: stdin one way, stdout and stderr interleaved the other.

Each piece of output has a header of eight bytes: the stream, three zeros, the length.
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_dcs.engines import Chunk
from pytest_dcs.errors import EngineLost

if TYPE_CHECKING:
    from pytest_dcs.engines import Stream

HEADER = struct.Struct(">BxxxL")
STREAMS: dict[int, Stream] = {0: "stdout", 1: "stdout", 2: "stderr"}
RECEIVE_SIZE = 1 << 18
WRITE_TIMEOUT = 60.0
"""Seconds that a write may wait for a process that does not read its stdin."""


class MultiplexedStream:
    """One process's streams over one hijacked connection; nothing is read ahead of `read`."""

    def __init__(self, response: Any) -> None:
        # The reader of the HTTP response is buffered, so output that arrives together with the
        # headers would stay in it: a process may only begin to write after its first input.
        reader = response.raw._fp.fp.raw  # noqa: SLF001
        self._socket: socket.socket = reader._sock  # noqa: SLF001
        self._response = response
        self._received = bytearray()
        self._pending = 0
        self._stream: Stream = "stdout"
        self.ended = False

    def write(self, data: bytes) -> None:
        """Send bytes to stdin; raises `BrokenPipeError` when nobody listens any more."""
        try:
            self._socket.settimeout(WRITE_TIMEOUT)
            self._socket.sendall(data)
        except TimeoutError as error:
            raise EngineLost(detail=f"no progress in {WRITE_TIMEOUT:.0f} s of writing") from error
        except OSError as error:
            raise BrokenPipeError(error.errno, str(error)) from error

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return what comes next, None at the end; raises `TimeoutError` after so many seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            chunk = self._take()
            if chunk is not None:
                return chunk
            if self.ended:
                return None
            self._receive(deadline)

    def close(self) -> None:
        """Close the connection; the process sees the end of its stdin."""
        self.ended = True
        with suppress(OSError):
            # Wakes a thread that waits in `read`, which closing alone does not.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._response.close()
        self._socket.close()

    def _take(self) -> Chunk | None:
        while not self._pending:
            if len(self._received) < HEADER.size:
                return None
            stream, self._pending = HEADER.unpack_from(self._received)
            self._stream = STREAMS.get(stream, "stderr")
            del self._received[: HEADER.size]
        if not self._received:
            return None
        data = bytes(self._received[: self._pending])
        del self._received[: len(data)]
        self._pending -= len(data)
        return Chunk(self._stream, data)

    def _receive(self, deadline: float | None) -> None:
        # A zero would switch the socket to non-blocking mode, which reports in another way.
        remaining = None if deadline is None else max(deadline - time.monotonic(), 1e-6)
        try:
            self._socket.settimeout(remaining)
            data = self._socket.recv(RECEIVE_SIZE)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        self.ended = not data
        self._received += data
