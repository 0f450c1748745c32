"""The machine as a container: commands as an engine would run them, and no trace of them after."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.engines import Chunk
from pytest_dcs.engines.local_container import LocalContainer
from pytest_dcs.engines.local_process import Steward
from pytest_dcs.errors import ContainerEnded
from pytest_dcs.execution import Execution
from pytest_dcs.shell import Shell, ShellError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.local_process import LocalProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the local engine is for Linux")

PATIENCE = 20.0
TIMEOUT = 0.7
ENVIRONMENT = {"PATH": os.environ["PATH"], "OF_IMAGE": "yes"}


def make_container() -> LocalContainer:
    return LocalContainer("here", Steward(), ENVIRONMENT, fuse=False, release=lambda: None)


@pytest.fixture
def container() -> Iterator[LocalContainer]:
    container = make_container()
    yield container
    container.end()


@pytest.fixture
def shell(container: LocalContainer) -> Iterator[Shell]:
    shell = Shell(container, timeout=TIMEOUT)
    yield shell
    shell.close()


def everything(process: LocalProcess) -> dict[str, bytes]:
    """Start a command with an empty stdin and return all that it writes."""
    process.write(b"")
    found = {"stdout": b"", "stderr": b""}
    while (chunk := process.read(PATIENCE)) is not None:
        found[chunk.stream] += chunk.data
    return found


def is_alive(process: int) -> bool:
    with suppress(OSError):
        return b") Z" not in Path(f"/proc/{process}/stat").read_bytes()
    return False


def has_ended(process: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(process)


def test_streams_and_exit_status_are_told_apart(container: LocalContainer) -> None:
    process = container.start(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"])
    assert everything(process) == {"stdout": b"out\n", "stderr": b"err\n"}
    assert process.returncode() == 7
    process.close()


def test_a_command_that_is_not_there_ends_as_in_a_shell(container: LocalContainer) -> None:
    process = container.start(["no-such-program"])
    assert b"no-such-program" in everything(process)["stderr"]
    assert process.returncode() == 127
    process.close()


def test_a_killed_command_has_the_status_of_its_signal(container: LocalContainer) -> None:
    process = container.start(["/bin/sh", "-c", "kill -KILL $$"])
    everything(process)
    assert process.returncode() == 128 + signal.SIGKILL
    process.close()


def test_a_command_waits_for_the_first_input(container: LocalContainer) -> None:
    process = container.start(["cat"])
    with pytest.raises(TimeoutError):
        process.read(0.2)
    assert process.returncode() is None
    process.write(b"first\n")
    assert process.read(PATIENCE) == Chunk("stdout", b"first\n")
    process.close()


def test_a_command_sees_the_end_of_its_input(container: LocalContainer) -> None:
    process = container.start(["/bin/sh", "-c", "echo $$; cat; echo over"])
    process.write(b"")
    first = process.read(PATIENCE)
    assert first is not None
    process.close()
    assert has_ended(int(first.data))


def test_input_for_a_command_that_has_ended_is_refused(container: LocalContainer) -> None:
    process = container.start(["true"])
    everything(process)
    assert process.returncode() == 0
    with pytest.raises(BrokenPipeError):
        process.write(b"more")
    process.close()


def test_the_environment_is_the_images_and_the_commands_own(
    container: LocalContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THIS_RUN", "yes")
    process = container.start(["env"], environment={"MORE": "a\nb"})
    names = everything(process)["stdout"].decode()
    assert "OF_IMAGE=yes" in names
    assert "MORE=a\nb" in names
    assert "OF_THIS_RUN" not in names
    process.close()


def test_a_command_starts_in_the_root_with_signals_as_usual(container: LocalContainer) -> None:
    script = "pwd; umask; grep -E '^Sig(Ign|Blk)' /proc/self/status"
    process = container.start(["/bin/sh", "-c", script])
    folder, mask, *signals = everything(process)["stdout"].decode().split("\n")[:-1]
    assert (folder, mask) == ("/", "0022")
    assert {line.split()[1] for line in signals} == {"0" * 16}
    process.close()


def test_a_command_has_no_descriptor_but_its_streams(container: LocalContainer) -> None:
    other = container.start(["cat"])
    other.write(b"")
    numbers = " ".join(map(str, range(40)))
    script = f'for n in {numbers}; do [ -e "/proc/$$/fd/$n" ] && echo "$n"; done'
    process = container.start(["/bin/sh", "-c", script])
    assert everything(process)["stdout"].split() == [b"0", b"1", b"2"]
    process.close()
    other.close()


def test_a_flood_does_not_hide_the_other_stream(container: LocalContainer) -> None:
    process = container.start(["/bin/sh", "-c", "echo early >&2; exec yes"])
    process.write(b"")
    seen = [process.read(PATIENCE) for _ in range(50)]
    assert Chunk("stderr", b"early\n") in seen
    process.close()


def test_all_that_was_started_ends_with_the_launch(container: LocalContainer) -> None:
    script = "(setsid sleep 4321 & echo $!) ; env -i setsid -f sleep 4321; echo $$; exec sleep 4321"
    process = container.start(["/bin/sh", "-c", script])
    process.write(b"")
    written = b""
    while written.count(b"\n") < 2:
        chunk = process.read(PATIENCE)
        assert chunk is not None
        written += chunk.data
    container.end()
    assert all(has_ended(int(pid)) for pid in written.split())
    assert process.read(PATIENCE) is None
    assert process.returncode() == 137
    process.close()
    with pytest.raises(ContainerEnded):
        container.start(["true"])


def test_orphans_are_reaped(container: LocalContainer) -> None:
    process = container.start(["/bin/sh", "-c", "(sleep 0.1 & echo $!)"])
    orphan = int(everything(process)["stdout"])
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{orphan}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{orphan}").exists()
    process.close()


def command_lines() -> str:
    found = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += path.read_bytes().decode(errors="replace").replace("\0", " ") + "\n"
    return found


@pytest.mark.parametrize(
    "command",
    [
        "sleep N",
        "trap '' TERM INT HUP; while :; do sleep N; done",
        "(setsid sh -c '(sleep N &); sleep N' &); sleep N",
        "env -i setsid sleep N & wait",
        "setsid sh -c 'while :; do (sleep N &); sleep 0.02; done' & sleep N",
    ],
)
def test_a_command_that_hangs_is_killed_with_all_it_started(shell: Shell, command: str) -> None:
    shell.run(":", timeout=PATIENCE)
    seconds = str(random.randrange(10**8, 10**9))  # nobody else on this machine sleeps for them
    with pytest.raises(ShellError, match=r"did not end within 0\.7 s"):
        shell.run(command.replace("N", seconds))
    assert shell.run("echo next", timeout=PATIENCE).stdout == b"next\n"
    assert seconds not in command_lines()


def test_a_hang_spares_orphans_of_strangers(shell: Shell) -> None:
    shell.run(":", timeout=PATIENCE)
    command = "(setsid sleep 60 & echo $! >&2)"
    # Begins while the command hangs, and loses its parent.
    stranger = subprocess.Popen(["/bin/sh", "-c", f"sleep 0.2; {command}"], stderr=subprocess.PIPE)
    with pytest.raises(ShellError):
        shell.run("sleep 4321")
    assert stranger.stderr is not None
    orphan = int(stranger.stderr.readline())
    try:
        assert is_alive(orphan)
    finally:
        os.kill(orphan, signal.SIGKILL)
        stranger.wait()
        stranger.stderr.close()


def test_a_hang_spares_other_commands_and_their_descendants(
    shell: Shell, container: LocalContainer
) -> None:
    shell.run(":", timeout=PATIENCE)
    other = Execution.start(
        container, ["/bin/sh", "-c", "sleep 60 & echo $!; wait"], name="other", limits=(999, 999)
    )
    with pytest.raises(ShellError):
        shell.run("sleep 4321")
    assert is_alive(other.pid)
    assert is_alive(int(other.stdout.text()))
    other.kill()
    assert not is_alive(other.pid)


def tar_of(*members: tuple[str, str, int, str]) -> bytes:
    """Return a tar of (name, content or target, mode, kind)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text, mode, kind in members:
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = mode, 946684800
            member.uid, member.gid = os.getuid(), os.getgid()
            if kind == "folder":
                member.type = tarfile.DIRTYPE
            elif kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, text
            member.size = len(text) if kind == "file" else 0
            archive.addfile(member, io.BytesIO(text.encode()) if kind == "file" else None)
    return buffer.getvalue()


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink())
            if path.is_symlink()
            else (path.read_text() if path.is_file() else ""),
        )
        for path in folder.rglob("*")
    }


def test_files_come_with_their_modes_and_links(container: LocalContainer, tmp_path: Path) -> None:
    container.put_archive(
        str(tmp_path),
        tar_of(
            ("a", "", 0o1777, "folder"),
            ("a/run.sh", "echo a", 0o755, "file"),
            ("a/deep/er", "x", 0o600, "file"),
            ("b", "a/run.sh", 0o777, "link"),
        ),
    )
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "a/run.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "a/run.sh").stat().st_mtime == 946684800
    assert container.read_file(str(tmp_path / "b")) == b"echo a"
    assert (tmp_path / "a/deep/er").read_text() == "x"


def test_a_folder_that_is_not_there_takes_no_files(
    container: LocalContainer, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        container.put_archive(str(tmp_path / "none"), tar_of(("a", "x", 0o644, "file")))


def test_files_are_as_before_when_the_launch_has_ended(
    container: LocalContainer, tmp_path: Path
) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "own/settings").write_text("of the image")
    (tmp_path / "link").symlink_to("own/settings")
    before = snapshot(tmp_path)
    for text in ("one", "two"):
        container.put_archive(
            str(tmp_path),
            tar_of(
                ("own/settings", text, 0o644, "file"),
                ("own/new", text, 0o644, "file"),
                ("folder", "", 0o755, "folder"),
                ("folder/file", text, 0o644, "file"),
                ("link", "folder", 0o777, "link"),
            ),
        )
    (tmp_path / "folder/made-by-a-command").write_text("x")
    assert (tmp_path / "own/settings").read_text() == "two"
    container.end()
    assert snapshot(tmp_path) == before


KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_local_container import make_container, tar_of
container = make_container()
container.put_archive(sys.argv[1], tar_of(("folder", "", 0o755, "folder"), ("own", "new", 0o644, "file")))
process = container.start(["/bin/sh", "-c", "setsid sleep 4321 & echo $!; sleep 4321"])
process.write(b"")
print(process.read(20).data.decode().strip(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""  # noqa: E501


def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("of the image")
    before = snapshot(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert has_ended(int(killed.stdout))
    deadline = time.monotonic() + PATIENCE
    while snapshot(tmp_path) != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert snapshot(tmp_path) == before
