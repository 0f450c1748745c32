"""The clients inside the container read whole messages, however they arrive, and explain ends."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import threading
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PROBES = str(Path(str(resources.files("pytest_dcs") / "probes")))
SECONDS = 10.0
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "kernel.py", line 1, in <module>\n'
    "ModuleNotFoundError: No module named 'tornado'\n"
)

CRASH = (
    'Fatal Python error: Aborted\n\nThread 0x1:\n  File "other.py", line 1 in loop\n'
    'Current thread 0x2:\n  File "a.py", line 1 in b\n'
)


@pytest.fixture
def probe_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports what lies beside the probes."""
    monkeypatch.syspath_prepend(PROBES)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def processes(probe_module: Any) -> Any:
    return probe_module("dcs_processes")


@pytest.fixture
def jupyter(probe_module: Any) -> Any:
    return probe_module("dcs_jupyter")


@pytest.fixture
def kernel_side(jupyter: Any, tmp_path: Path) -> Iterator[tuple[Any, socket.socket]]:
    """Return a peer and the other end of its connection, after their handshake."""
    path = str(tmp_path / "kernel-1")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    ends: list[socket.socket] = []

    def greet() -> None:
        end, _ = listener.accept()
        end.sendall(jupyter.GREETING + jupyter.frame(b"\x05READY", jupyter.COMMAND))
        ends.append(end)

    greeter = threading.Thread(target=greet)
    greeter.start()
    peer = jupyter.Peer(path, b"DEALER", SECONDS)
    greeter.join()
    yield peer, ends[0]
    for each in (peer.socket, ends[0], listener):
        each.close()


def test_a_message_that_arrives_in_pieces_is_one(
    jupyter: Any, kernel_side: tuple[Any, socket.socket]
) -> None:
    peer, kernel = kernel_side
    long_part = b"x" * 1000
    data = jupyter.frame(b"first", jupyter.MORE) + jupyter.frame(long_part, 0)
    messages = []
    for byte in data:
        kernel.sendall(bytes([byte]))
        messages += peer.receive()
    assert messages == [[b"first", long_part]]


def test_commands_between_messages_are_passed_over(
    jupyter: Any, kernel_side: tuple[Any, socket.socket]
) -> None:
    peer, kernel = kernel_side
    kernel.sendall(
        jupyter.frame(b"one", 0)
        + jupyter.frame(b"\x04PING", jupyter.COMMAND)
        + jupyter.frame(b"", jupyter.MORE)
        + jupyter.frame(b"two", 0)
    )
    assert peer.receive() == [[b"one"], [b"", b"two"]]


def test_the_end_of_a_connection_is_told(kernel_side: tuple[Any, socket.socket]) -> None:
    peer, kernel = kernel_side
    kernel.close()
    with pytest.raises((EOFError, ConnectionError)):
        peer.receive()


def test_a_kernel_that_is_not_there_is_explained_at_once(
    jupyter: Any, processes: Any, tmp_path: Path
) -> None:
    code = "raise ModuleNotFoundError(\"No module named 'tornado'\")"
    background = processes.Background([sys.executable, "-c", code])
    connection = jupyter.Connection(str(tmp_path), (os.getuid(), os.getgid()))
    with pytest.raises(jupyter.KernelLost) as caught:
        jupyter.Kernel(background, connection, SECONDS)
    assert str(caught.value).startswith("the kernel ended with status 1\nTraceback ")
    assert str(caught.value).strip().endswith("No module named 'tornado'")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sudo: a password is required\n", "sudo ended: sudo: a password is required"),
        ("", "sudo ended: it said nothing"),
        ("one\ntwo\n\nthree\nfour\n", "sudo ended: two; three; four"),
        (f"noise\n{TRACEBACK}", f"sudo ended\n{TRACEBACK}"),
        (
            CRASH,
            'sudo ended: Aborted: File "a.py", line 1 in b',
        ),
        ("0.00s - Debugger warning\nreal\n", "sudo ended: real"),
    ],
    ids=["words", "silence", "end", "traceback", "crash", "debugger"],
)
def test_an_end_is_explained_by_the_last_words(processes: Any, words: str, message: str) -> None:
    assert processes.explain("sudo ended", words) == message


def test_a_command_that_hangs_is_killed_with_its_children(processes: Any) -> None:
    argv = ["/bin/sh", "-c", "sleep 1000 & echo $! >&2; wait"]
    with pytest.raises(processes.CommandFailed) as caught:
        processes.run_command(argv, 0.5)
    message, _, child = str(caught.value).rpartition(": ")
    assert message.startswith("sh did not end within ")
    status = Path("/proc", child, "status")
    deadline = time.monotonic() + SECONDS
    while is_running(status) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(status)


def is_running(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


def test_a_command_has_no_terminal_and_nothing_to_read(processes: Any) -> None:
    argv = [sys.executable, "-c", "import sys; print(repr(sys.stdin.read()), sys.stdin.isatty())"]
    assert processes.run_command(argv, SECONDS) == "'' False\n"


def test_what_a_missing_program_says_names_it(processes: Any) -> None:
    with pytest.raises(OSError, match="no-such-virtualenv"):
        processes.run_command(["no-such-virtualenv"], SECONDS, {"PATH": "/usr/bin:/bin"})


def test_a_wheel_of_ours_can_be_installed(probe_module: Any, tmp_path: Path) -> None:
    wheel = probe_module("dcs_wheels").write_wheel(str(tmp_path), "pytest_dcs_library")
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, check=True, text=True
    )
    assert "pytest_dcs_library-1.0.dist-info/RECORD" in listed.stdout


@pytest.mark.parametrize(
    ("size", "end", "is_png"),
    [
        ((200, 100), b"IEND\xaeB`\x82", True),
        ((0, 100), b"IEND\xaeB`\x82", False),
        ((200, 100), b"", False),
    ],
    ids=["whole", "empty", "cut"],
)
def test_a_picture_is_whole_and_has_a_size(
    probe_module: Any, size: tuple[int, int], end: bytes, is_png: bool
) -> None:
    cells = probe_module("dcs_cells")
    sizes = b"".join(number.to_bytes(4, "big") for number in size)
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sizes + b"\x08\x06\0\0\0" + end
    assert cells.is_png(data) is is_png
    assert not cells.is_png(b"")


def test_what_is_no_message_of_a_language_server_is_told(probe_module: Any) -> None:
    server = probe_module("language_server")
    assert server.length_of(b"Content-Type: x\r\ncontent-length: 12") == 12
    with pytest.raises(server.ServerFailed, match="Welcome"):
        server.length_of(b"Welcome to the data platform")


def test_options_of_a_probe_are_read_where_they_are_written(probe_module: Any) -> None:
    from pytest_dcs import notebook

    assert probe_module("notebook").OPTIONS == notebook.NOTEBOOK_OPTIONS
    assert probe_module("language_server").OPTIONS == notebook.SERVER_OPTIONS
    assert [name for name, *_ in probe_module("notebook").STAGES] == [*notebook.STAGES]
    assert [name for name, _ in probe_module("language_server").STAGES] == [*notebook.SERVER_STAGES]
