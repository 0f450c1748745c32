"""A probe's report is believed only when there is a whole one, and its log is kept either way."""

from __future__ import annotations

import io
import os
import queue
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors, probe
from pytest_dcs.engines import Chunk
from pytest_dcs.errors import ContainerEnded
from pytest_dcs.probe import DIRECTORY, Probe, ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO

    from pytest_dcs.engines import Stream

SOURCE = "fuse_mount.py"
"""Any file of the folder of probes: the scripts below take its path as an argument."""


class LocalProcess:
    """A process of this machine in place of one in a container."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._chunks: queue.Queue[Chunk | None] = queue.Queue()
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, data: bytes) -> None:
        if self.process is None:
            self.process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
            threading.Thread(target=self._pump, daemon=True).start()

    def read(self, timeout: float | None = None) -> Chunk | None:
        try:
            return self._chunks.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError from None

    def returncode(self) -> int | None:
        status = self.process.poll() if self.process else None
        return 128 - status if status is not None and status < 0 else status

    def close(self) -> None:
        pass

    def kill(self) -> None:
        """End the process and what it has started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _pump(self) -> None:
        assert self.process is not None
        streams: dict[Stream, IO[bytes] | None] = {
            "stdout": self.process.stdout,
            "stderr": self.process.stderr,
        }
        readers = [threading.Thread(target=self._read, args=item) for item in streams.items()]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self._chunks.put(None)

    def _read(self, name: Stream, pipe: IO[bytes]) -> None:
        with pipe:
            while data := pipe.read1(65536):  # type: ignore[attr-defined]
                self._chunks.put(Chunk(name, data))


class Killer(LocalProcess):
    """What kills a tree of processes in a container; here it ends the one that it is asked to."""

    def __init__(self, victims: Sequence[LocalProcess]) -> None:
        super().__init__([], {})
        self._victims = victims

    def write(self, data: bytes) -> None:
        for victim in self._victims:
            victim.kill()
        self._chunks.put(None)


class LocalContainer:
    """A folder of this machine in place of a container."""

    name = "local"
    emulated = False
    fuse = False
    gpu_refusal = ""
    adopter = 1

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[LocalProcess] = []
        self.ended = False

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> LocalProcess:
        if self.ended:
            message = "it is not running"
            raise ContainerEnded(message)
        if probe.KILL_TREE in argv:
            pids = [str(process.process.pid) for process in self.processes if process.process]
            assert argv[-1] in pids
            return Killer(self.processes)
        local = [word.replace(DIRECTORY, f"{self.root}{DIRECTORY}") for word in argv]
        self.processes.append(LocalProcess(local, environment or {}))
        return self.processes[-1]

    def put_archive(self, directory: str, tar: bytes | IO[bytes]) -> None:
        assert isinstance(tar, bytes)
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            archive.extractall(f"{self.root}{directory}", filter="data")

    def read_file(self, path: str) -> bytes:
        raise NotImplementedError

    def logs(self) -> str:
        return ""

    def end(self) -> None:
        pass


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LocalContainer]:
    container = LocalContainer(tmp_path)
    yield container
    for process in container.processes:
        process.kill()


def start(container: LocalContainer, script: str, **environment: str) -> Probe:
    argv = [sys.executable, "-c", f"import json, os, sys, time\n{script}"]
    return Probe.start(container, argv, environment=environment, source=SOURCE)


def failure_of(container: LocalContainer, script: str, timeout: float = 30) -> ProbeFailed:
    with pytest.raises(ProbeFailed) as raised:
        start(container, script).wait(timeout)
    return raised.value


def test_the_report_and_the_log_are_told_apart(container: LocalContainer) -> None:
    script = "print(json.dumps({'found': 'ü'})); print('a warning', file=sys.stderr)"
    document = start(container, script).wait(30)
    assert document.data == {"found": "ü"}
    assert document.log == "a warning\n"


def put_with_package(container: LocalContainer, source: str) -> Path:
    """Return the folder in which a probe and what it brings lie."""
    folder = PurePosixPath(probe.put_probe(container, source)).parent
    probe.put_package(container, "elftools", folder)
    return Path(f"{container.root}{folder}")


def test_a_further_probe_leaves_the_files_of_the_first_alone(container: LocalContainer) -> None:
    first = put_with_package(container, SOURCE)
    before = {path: path.stat().st_ino for path in first.rglob("*")}
    put_with_package(container, "elf_sweep.py")
    assert first / "packages" / "elftools" / "elf" / "elffile.py" in before
    assert {path: path.stat().st_ino for path in first.rglob("*")} == before


def test_the_file_lies_where_the_last_argument_says(container: LocalContainer) -> None:
    script = "print(json.dumps({'text': open(sys.argv[1]).read()}))"
    text = start(container, script).wait(30).data["text"]
    assert text.startswith('"""Mounts a file system')


def test_variables_reach_the_probe(container: LocalContainer) -> None:
    document = start(container, "print(json.dumps(dict(os.environ)))", LANGUAGE_OF_TEST="C").wait(
        30
    )
    assert document.data["LANGUAGE_OF_TEST"] == "C"


def test_the_pid_is_the_probes_own(container: LocalContainer) -> None:
    running = start(container, "print(json.dumps({'pid': os.getpid()}))")
    assert running.wait(30).data["pid"] == running.pid


def test_the_last_report_counts(container: LocalContainer) -> None:
    script = "print('{\"stage\": 1}'); print('not json'); print('[3]'); print('{\"stage\": 2}')"
    assert start(container, script).wait(30).data == {"stage": 2}


@pytest.mark.parametrize("length", [1500, 300_000])
def test_only_the_end_of_a_long_log_is_kept(
    container: LocalContainer, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(probe, "LOG_LIMIT", 1000)
    script = f"sys.stderr.write('x' * {length} + 'the end'); print('{{}}')"
    log = start(container, script).wait(30).log
    assert len(log) == 1000
    assert log.endswith("the end")


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        ("sys.exit(3)", "died with status 3"),
        (
            "os.kill(os.getpid(), 9)",
            "died by signal 9 (killed, most likely by the out-of-memory killer)",
        ),
        ("raise ImportError('no such library')", "died with status 1"),
    ],
)
def test_a_probe_that_dies_tells_what_it_had_found(
    container: LocalContainer, ending: str, told: str
) -> None:
    script = f"print('{{\"stage\": 1}}', flush=True); print('before', file=sys.stderr); {ending}"
    failure = failure_of(container, script)
    assert failure.what == f"the probe {SOURCE} {told}"
    assert failure.data == {"stage": 1}
    assert "before" in failure.log
    assert "before" in str(failure)


def test_a_missing_interpreter_is_said_to_be_missing(container: LocalContainer) -> None:
    running = Probe.start(container, ["/nowhere/python"], environment={}, source=SOURCE)
    with pytest.raises(ProbeFailed, match=r"died with status 127 \(it was not found\)"):
        running.wait(30)


@pytest.mark.parametrize("printed", ["", "print('Hello!')", "print('[1, 2]')"])
def test_a_probe_without_a_report_has_failed(container: LocalContainer, printed: str) -> None:
    failure = failure_of(container, printed)
    assert failure.what == f"the probe {SOURCE} ended without a report"
    assert failure.data is None


def test_a_probe_that_hangs_is_killed(container: LocalContainer) -> None:
    script = "print('{\"stage\": 1}', flush=True); print('in it', file=sys.stderr); time.sleep(600)"
    started = time.monotonic()
    failure = failure_of(container, script, timeout=1)
    assert time.monotonic() - started < 10
    assert failure.what == f"the probe {SOURCE} did not end within 1 s and was killed"
    assert failure.data == {"stage": 1}
    assert failure.log == "in it\n"
    assert container.processes[0].returncode() == 137


def test_the_time_counts_from_the_start(container: LocalContainer) -> None:
    running = start(container, "time.sleep(600)")
    time.sleep(0.5)
    started = time.monotonic()
    with pytest.raises(ProbeFailed, match="did not end"):
        running.wait(0.5)
    assert time.monotonic() - started < 0.4


def test_what_a_probe_leaves_behind_keeps_nobody_waiting(container: LocalContainer) -> None:
    script = "import subprocess; subprocess.Popen(['sleep', '20']); print('{}')"
    started = time.monotonic()
    assert start(container, script).wait(60).data == {}
    assert time.monotonic() - started < 10


def test_a_container_that_has_ended_starts_no_probe(container: LocalContainer) -> None:
    container.ended = True
    with pytest.raises(ContainerEnded):
        start(container, "")


def test_a_shell_that_ends_at_once_has_started_nothing(
    container: LocalContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = LocalProcess.write

    def write_too_late(process: LocalProcess, data: bytes) -> None:
        write(process, data)
        raise BrokenPipeError

    monkeypatch.setattr(LocalProcess, "write", write_too_late)
    monkeypatch.setattr(probe, "ANNOUNCE", "echo no such user >&2; exit 1")
    with pytest.raises(ProbeFailed, match=r"could not be started by /bin/sh\nno such user"):
        start(container, "")


def test_an_engine_that_is_lost_is_no_fault_of_the_probe(
    container: LocalContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any) -> None:
        raise errors.EngineLost(detail="connection reset")

    running = start(container, "time.sleep(1); print('{}')")
    monkeypatch.setattr(LocalProcess, "returncode", lose)
    with pytest.raises(errors.EngineLost):
        running.wait(30)
