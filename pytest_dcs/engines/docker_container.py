"""A container of a Docker engine, its processes, and the faults that all of them share."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from docker.errors import APIError, DockerException, NotFound
from urllib3.exceptions import HTTPError

from pytest_dcs import errors
from pytest_dcs.engines import KILLED, STARTER, words
from pytest_dcs.engines.stream import MultiplexedStream
from pytest_dcs.errors import ContainerEnded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docker import APIClient

    from pytest_dcs.engines import Chunk

EXIT_PATIENCE = 2.0
"""Seconds that a command may take to end after its output has ended."""
READY_TIMEOUT = 60.0
"""Seconds until the main process has said that it runs; emulation takes a few."""
KEPT_OUTPUT = 1 << 16
REMOVAL_TIMEOUT = 20.0
REMOVAL_PAUSE = 0.05


class DockerContainer:
    """One launched image on a Docker engine."""

    adopter = 1

    def __init__(
        self,
        api: APIClient,
        name: str,
        lifeline: Lifeline,
        *,
        keep: bool,
        fuse: bool,
        gpu_refusal: str,
        emulated: bool,
    ) -> None:
        self.name = name
        self.fuse = fuse
        self.gpu_refusal = gpu_refusal
        self.emulated = emulated
        self._api = api
        self._lifeline = lifeline
        self._keep = keep
        self._ended = False

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> DockerProcess:
        """Start a command as root; raises `ContainerEnded` where no process can be started."""
        with connection():
            try:
                identifier = self._api.exec_create(
                    self.name,
                    [*STARTER, *argv],
                    stdin=True,
                    user="0",
                    environment=dict(environment or {}),
                )["Id"]
                answer: Any = self._api.exec_start(identifier, socket=True)
            except APIError as error:
                raise ContainerEnded(words.readable(explanation(error))) from error
        return DockerProcess(self._api, identifier, MultiplexedStream(answer._response))  # noqa: SLF001

    def put_archive(self, directory: str, tar: bytes | IO[bytes]) -> None:
        """Unpack an uncompressed tar into a directory; raises `FileNotFoundError`."""
        with asking("copy files into a container"):
            try:
                self._api.put_archive(self.name, directory, tar)
            except NotFound as error:
                raise _not_there(error, directory) from error

    def read_file(self, path: str) -> bytes:
        """Return a file's content, through symbolic links.

        Raises `FileNotFoundError` and `IsADirectoryError`.
        """
        with asking("copy a file out of a container"):
            try:
                chunks, stat = self._api.get_archive(self.name, path)
                content = b"".join(chunks)
            except NotFound as error:
                raise _not_there(error, path) from error
        if stat["linkTarget"]:
            return self.read_file(stat["linkTarget"])
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            member = archive.next()
            extracted = archive.extractfile(member) if member else None
            if extracted is None:
                raise IsADirectoryError(path)
            return extracted.read()

    def logs(self) -> str:
        """Return what the main process wrote last, and what others wrote in its name."""
        return self._lifeline.output

    def end(self) -> None:
        """End the container and remove it, its anonymous volumes and its network; never raises."""
        if not self._ended and not self._keep:
            remove(self._api, self.name)
        self._ended = True
        self._lifeline.close()


class DockerProcess:
    """One command in a container: an exec with a connection of its own."""

    def __init__(self, api: APIClient, identifier: str, stream: MultiplexedStream) -> None:
        self._api = api
        self._identifier = identifier
        self._stream = stream
        self._started = False

    def write(self, data: bytes) -> None:
        """Send bytes to stdin; raises `BrokenPipeError` when the command has ended."""
        start, self._started = b"" if self._started else b"\n", True
        try:
            self._stream.write(start + data)
        except BrokenPipeError as error:
            if self.returncode() is None:
                raise errors.EngineLost(str(error)) from error
            raise

    def read(self, timeout: float | None = None) -> Chunk | None:
        """Return what comes next, None at the end; raises `TimeoutError` after so many seconds."""
        return self._stream.read(timeout)

    def returncode(self) -> int | None:
        """Return the exit status once the command has ended, else None.

        A command whose output has ended gets a moment to end too. One that ended with its
        container counts as killed.
        """
        deadline = time.monotonic() + EXIT_PATIENCE
        while True:
            with asking("tell a command's exit status"):
                try:
                    state = self._api.exec_inspect(self._identifier)
                except NotFound:
                    return KILLED
            if not state["Running"]:
                status: int | None = state["ExitCode"]
                return status
            if not self._stream.ended or time.monotonic() > deadline:
                return None
            time.sleep(0.01)

    def close(self) -> None:
        """Let go of the connection; a command that still reads its stdin sees the end of it."""
        self._stream.close()


class Lifeline:
    """The attached main process: its stdin is held open here, its output is drained.

    Drained by a thread, because a full pipe would stop whoever writes to /proc/1/fd/1.
    """

    READY = "pytest-dcs-ready"
    """The line that the main process writes first."""

    def __init__(self, stream: MultiplexedStream) -> None:
        self._stream = stream
        self._output = b""
        self._ready = False
        self._decided = threading.Event()
        threading.Thread(target=self._drain, name="pytest-dcs lifeline", daemon=True).start()

    @property
    def output(self) -> str:
        """What was written last, without the line that says that the main process runs."""
        return self._output.decode(errors="replace")

    def failure(self) -> str | None:
        """Wait for the main process to run; return why it does not, or None when it does."""
        if not self._decided.wait(READY_TIMEOUT):
            return f"its main process, /bin/sh, did nothing for {READY_TIMEOUT:.0f} s"
        if self._ready:
            return None
        words_of_launcher = words.readable(self.output) or "it wrote nothing"
        return f"its main process, /bin/sh, ended at once: {words_of_launcher}"

    def close(self) -> None:
        """Let go of stdin, which ends the main process."""
        self._stream.close()

    def _drain(self) -> None:
        line = f"{self.READY}\n".encode()
        while (chunk := self._stream.read()) is not None:
            self._output = (self._output + chunk.data)[-KEPT_OUTPUT:]
            if not self._ready and line in self._output:
                self._output = self._output.replace(line, b"", 1)
                self._ready = True
                self._decided.set()
        self._decided.set()


@contextmanager
def connection() -> Iterator[None]:
    """Turn a broken connection into `EngineLost`; the engine's own answers pass."""
    try:
        yield
    except APIError:
        raise
    except (OSError, HTTPError) as error:
        if isinstance(error, (FileNotFoundError, IsADirectoryError)):
            raise
        raise errors.EngineLost(root_cause(error)) from error


@contextmanager
def asking(task: str) -> Iterator[None]:
    """Turn a refusal into `EngineFault`, a broken connection into `EngineLost`."""
    try:
        with connection():
            yield
    except APIError as error:
        raise errors.EngineFault(task, explanation(error)) from error


def explanation(error: APIError) -> str:
    """Return the daemon's own words."""
    return str(error.explanation or error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that led to it; the libraries below nest them in three ways."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [*current.args, current.__cause__, current.__context__]
            waiting.append(getattr(current, "reason", None))


def root_cause(error: BaseException) -> str:
    """Return what the operating system said, or else the error itself in one line."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return " ".join(str(error).split()) or type(error).__name__


def remove(api: APIClient, container: str, *, network: bool = True) -> None:
    """Remove a container and the network of the same name, whatever is there; never raises."""
    with suppress(NotFound, OSError, DockerException):
        try:
            api.remove_container(container, v=True, force=True)
        except APIError:
            # It is ending by itself just now: its main process has lost its stdin.
            _wait_until_gone(api, container)
    if network:
        remove_network(api, container)


def remove_network(api: APIClient, network: str) -> None:
    """Remove a network as soon as nothing is attached to it; never raises."""
    deadline = time.monotonic() + REMOVAL_TIMEOUT
    with suppress(NotFound, OSError, DockerException):
        while time.monotonic() < deadline:
            try:
                return api.remove_network(network)
            except NotFound:
                return None
            except APIError:
                time.sleep(REMOVAL_PAUSE)
    return None


def _wait_until_gone(api: APIClient, container: str) -> None:
    deadline = time.monotonic() + REMOVAL_TIMEOUT
    while time.monotonic() < deadline:
        api.inspect_container(container)
        time.sleep(REMOVAL_PAUSE)


def _not_there(error: NotFound, path: str) -> Exception:
    words_of_daemon = explanation(error)
    if "no such container" in words_of_daemon.lower():
        return ContainerEnded(words_of_daemon)
    return FileNotFoundError(path)
