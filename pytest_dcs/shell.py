"""One long-lived `/bin/sh` in a container, through which all commands are streamed.

A command costs a millisecond instead of the fifty or more of an exec of its own. Each is framed by
a token that it cannot know, runs in a subshell with its own exit status, streams and time limit,
and cannot keep the next one from being answered rightly.
"""

from __future__ import annotations

import secrets
import shlex
import threading
import time
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_dcs.engines import Container, Process, Stream

MAX_OUTPUT = 16 * 1024 * 1024
OPENING_TIMEOUT = 30.0
"""Seconds until a new shell has answered."""
OPENING_ATTEMPTS = 5
OPENING_PAUSE = 0.1
KILL_TIMEOUT = 10.0
"""Seconds until a killed command has ended, and until the killer has."""
KILL_PAUSE = 0.05
SHOWN_OUTPUT = 2000
SHOWN_COMMAND = 300

_SCRIPTS = resources.files("pytest_dcs") / "shell_scripts"
OPEN_SCRIPT = (_SCRIPTS / "open.sh").read_bytes()
KILL_SCRIPT = (_SCRIPTS / "kill.sh").read_text(encoding="utf-8")


class ShellError(AssertionError):
    """A command that could not be answered: a fault of the command or of the image."""

    def __init__(self, command: str, what: str, output: bytes = b"") -> None:
        shown = command if len(command) <= SHOWN_COMMAND else f"{command[:SHOWN_COMMAND]} …"
        written = output[-SHOWN_OUTPUT:].decode(errors="replace").strip()
        tail = f"\nIt wrote last:\n{written}" if written else ""
        super().__init__(f"the command {what}.\nCommand: {shown}{tail}")


@dataclass(frozen=True)
class Completed:
    """A command that has ended, and what it wrote."""

    command: str
    returncode: int
    stdout: bytes
    stderr: bytes


class Shell:
    """The shell of one container; it opens with the first command, and again after a fault."""

    def __init__(
        self, container: Container, *, timeout: float, max_output: int = MAX_OUTPUT
    ) -> None:
        """Take the seconds and the bytes of output that a command may have."""
        self.container = container
        self._timeout = timeout
        self._max_output = max_output
        self._protected: list[int] = []
        self._session: _Session | None = None
        self._broken: str | None = None
        self._lock = threading.Lock()

    def run(self, command: str, *, timeout: float | None = None) -> Completed:
        """Run a command with an empty stdin and return how it ended.

        Raises `ShellError` when it took too long, wrote too much or ended its shell,
        `ContainerEnded` or `EngineLost` when one of them is gone, `ValueError` for a NUL.
        """
        line = _framed(command)
        with self._lock:
            if self._broken is not None:
                raise ShellError(command, self._broken)
            try:
                return self._run(command, line, self._timeout if timeout is None else timeout)
            except ShellError:
                raise
            except BaseException:
                # Ctrl-C, for one: nobody will read the rest of this command's output.
                self._drop_session()
                raise

    def protect(self, pid: int) -> None:
        """Spare a process and its descendants when a command that hangs is killed."""
        self._protected.append(pid)

    def close(self) -> None:
        """Let go of the shell, which then ends; never raises."""
        self._drop_session()

    def _run(self, command: str, line: bytes, timeout: float) -> Completed:
        session = self._ready_session(command)
        exchange = session.begin(line)
        deadline = time.monotonic() + timeout
        fault = None
        try:
            while fault is None and not exchange.advance(deadline):
                if exchange.size > self._max_output:
                    fault = f"wrote more than {self._max_output} bytes and was killed"
        except TimeoutError:
            limit = f"{timeout:g} s (--dcs-timeout)"
            fault = f"did not end within {limit} and was killed, with all it had started"
        except EOFError:
            self._kill(session, shell_too=True)
            self._drop_session()
            raise ShellError(command, "ended the shell that it ran in", exchange.tail) from None
        if fault is not None:
            tail = exchange.tail
            self._stop(session, exchange)
            raise ShellError(command, fault, tail)
        return Completed(command, exchange.returncode, exchange.stdout, exchange.stderr)

    def _ready_session(self, command: str) -> _Session:
        if self._session is not None and self._session.shared:
            # A process that an earlier command has left behind writes to this shell's output.
            self._drop_session()
        if self._session is None:
            self._session = self._open(command)
        return self._session

    def _open(self, command: str) -> _Session:
        deadline = time.monotonic() + OPENING_TIMEOUT
        for attempt in range(OPENING_ATTEMPTS):
            # What a killed command had started may still hold its process ids.
            time.sleep(attempt * OPENING_PAUSE)
            session = _Session(self.container.start(["/bin/sh"]))
            exchange = session.begin(OPEN_SCRIPT + _framed(":"))
            try:
                while not exchange.advance(deadline):
                    pass
            except EOFError:
                session.process.close()
            except TimeoutError:
                session.process.close()
                break
            else:
                return session
        self._broken = "was not run: /bin/sh of the image does not answer"
        raise ShellError(command, self._broken, exchange.tail)

    def _stop(self, session: _Session, exchange: _Exchange) -> None:
        """Kill what a command has started, and its shell too if that does not come back."""
        self._kill(session, shell_too=False)
        deadline = time.monotonic() + KILL_TIMEOUT
        try:
            while not exchange.advance(deadline):
                exchange.forget()
        except (TimeoutError, EOFError):
            self._kill(session, shell_too=True)
            self._drop_session()

    def _kill(self, session: _Session, *, shell_too: bool) -> None:
        """Kill what the last command has started; what survives shows in that it does not end."""
        arguments = [
            str(session.pid),
            " ".join(map(str, session.pids)),
            " ".join(map(str, self._protected)),
            str(self.container.adopter),
            "shell" if shell_too else "",
        ]
        deadline = time.monotonic() + KILL_TIMEOUT
        # A command that has taken all process ids may leave none for the killer at first.
        while not self._kill_once(arguments, deadline) and time.monotonic() < deadline:
            time.sleep(KILL_PAUSE)

    def _kill_once(self, arguments: list[str], deadline: float) -> bool:
        process = self.container.start(["/bin/sh", "-c", KILL_SCRIPT, "sh", *arguments])
        output = b""
        try:
            process.write(b"")
            while (chunk := process.read(deadline - time.monotonic())) is not None:
                output += chunk.data
        except (TimeoutError, BrokenPipeError):
            return False
        finally:
            process.close()
        return output.startswith(b"killed")

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.process.close()
            self._session = None


class _Session:
    """A shell that runs, and what it said when its last command ended."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.pid = 0
        self.pids: tuple[int, ...] = ()
        """All processes that there were after the last command."""
        self.shared = False
        """A process that a command has left behind can write to the shell's output."""

    def begin(self, line: bytes) -> _Exchange:
        """Send a line that has its place for the token, and return what will be its answer."""
        token = secrets.token_hex(16).encode()
        self.process.write(line.replace(_TOKEN, token))
        return _Exchange(self, token)


class _Exchange:
    """A command under way: its output so far, and the search for its end."""

    def __init__(self, session: _Session, token: bytes) -> None:
        self._session = session
        self._outputs: dict[Stream, _Output] = {
            "stdout": _Output(token + b" ", b" ;\n"),
            "stderr": _Output(token, b"\n"),
        }
        self.returncode = -1

    @property
    def stdout(self) -> bytes:
        return bytes(self._outputs["stdout"].data)

    @property
    def stderr(self) -> bytes:
        return bytes(self._outputs["stderr"].data)

    @property
    def size(self) -> int:
        """Bytes of output so far."""
        return sum(len(output.data) for output in self._outputs.values())

    @property
    def tail(self) -> bytes:
        """The last bytes of the output so far, stderr after stdout."""
        return self.stdout[-SHOWN_OUTPUT // 2 :] + self.stderr[-SHOWN_OUTPUT // 2 :]

    def advance(self, deadline: float) -> bool:
        """Read once; True at the command's end.

        Raises `TimeoutError` at the deadline, `EOFError` when the shell has ended.
        """
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        chunk = self._session.process.read(remaining)
        if chunk is None:
            raise EOFError
        self._outputs[chunk.stream].add(chunk.data)
        if any(output.frame is None for output in self._outputs.values()):
            return False
        self._take_frame()
        return True

    def forget(self) -> None:
        """Drop the output so far, but for what may be the beginning of the end."""
        for output in self._outputs.values():
            output.forget()

    def _take_frame(self) -> None:
        frame = self._outputs["stdout"].frame
        assert frame is not None
        returncode, shared, pid, *pids = frame.decode().split()
        self.returncode = int(returncode)
        self._session.shared = shared == "yes"
        self._session.pid = int(pid)
        self._session.pids = tuple(map(int, pids))


class _Output:
    """One stream of a command, until the frame that ends it."""

    def __init__(self, opening: bytes, closing: bytes) -> None:
        self.data = bytearray()
        self.frame: bytes | None = None
        self._opening = opening
        self._closing = closing
        self._searched = 0

    def add(self, data: bytes) -> None:
        """Take bytes; what comes after the frame belongs to nobody."""
        if self.frame is not None:
            return
        self.data += data
        start = self.data.find(self._opening, self._searched)
        if start < 0:
            self._searched = max(0, len(self.data) - len(self._opening) + 1)
            return
        self._searched = start
        content = start + len(self._opening)
        end = self.data.find(self._closing, content)
        if end >= 0:
            self.frame = bytes(self.data[content:end])
            del self.data[start:]

    def forget(self) -> None:
        """Drop all that cannot be part of the frame."""
        if self.frame is None:
            del self.data[: self._searched]
            self._searched = 0


_TOKEN = b"\0token\0"
"""Where a line has its token: no command contains a NUL."""


def _framed(command: str) -> bytes:
    """Return the line that runs a command; raises `ValueError` for a NUL.

    `eval` keeps an unterminated quote or a missing `done` from swallowing the frame.
    """
    if "\0" in command:
        message = f"a command cannot contain a NUL: {command!r}"
        raise ValueError(message)
    quoted = shlex.quote(command).encode(errors="surrogateescape")
    return b"( eval " + quoted + b" ) </dev/null; dcs_end " + _TOKEN + b" $?\n"
