"""Frames are put together again however the connection cuts them."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.engines.stream import MultiplexedStream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, MultiplexedStream]]:
    daemon, client = socket.socketpair()
    reader = SimpleNamespace(_sock=client)
    response = SimpleNamespace(
        raw=SimpleNamespace(_fp=SimpleNamespace(fp=SimpleNamespace(raw=reader))),
        close=lambda: None,
    )
    stream = MultiplexedStream(response)
    yield daemon, stream
    stream.close()
    daemon.close()


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def test_streams_are_told_apart(connection: tuple[socket.socket, MultiplexedStream]) -> None:
    daemon, stream = connection
    daemon.sendall(frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, b"more"))
    chunks = [stream.read(1) for _ in range(3)]
    assert chunks == [("stdout", b"out"), ("stderr", b"err"), ("stdout", b"more")]


def test_a_frame_may_arrive_byte_by_byte(
    connection: tuple[socket.socket, MultiplexedStream],
) -> None:
    daemon, stream = connection
    received = b""
    for byte in frame(2, b"abc"):
        daemon.sendall(bytes([byte]))
        try:
            chunk = stream.read(0.01)
        except TimeoutError:
            continue
        assert chunk is not None
        assert chunk.stream == "stderr"
        received += chunk.data
    assert received == b"abc"


def test_silence_is_a_timeout_and_the_end_is_none(
    connection: tuple[socket.socket, MultiplexedStream],
) -> None:
    daemon, stream = connection
    for timeout in (0.01, 0.0, -1.0):
        with pytest.raises(TimeoutError):
            stream.read(timeout)
    daemon.sendall(frame(1, b"last"))
    daemon.shutdown(socket.SHUT_WR)
    assert stream.read(1) == ("stdout", b"last")
    assert stream.read(1) is None
    assert stream.ended


def test_writing_to_nobody_is_a_broken_pipe(
    connection: tuple[socket.socket, MultiplexedStream],
) -> None:
    daemon, stream = connection
    daemon.close()
    with pytest.raises(BrokenPipeError):
        stream.write(b"x")
