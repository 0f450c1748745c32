"""The long-lived shell gives each command its own right answer, whatever the last one did."""

from __future__ import annotations

import shutil
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import shell as shell_module
from pytest_dcs.engines import ContainerSpec
from pytest_dcs.errors import ContainerEnded
from pytest_dcs.shell import Shell, ShellError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.engines.docker_container import DockerContainer, DockerProcess

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

TIMEOUT = 0.7
QUICK = 5.0
"""Seconds in which a killed command must have been dealt with on a busy machine."""

HANGING = {
    "sleep": "sleep 4321",
    "signals-ignored": "trap '' TERM INT HUP; while :; do sleep 4321; done",
    "busy-loop": "sh -c 'while :; do :; done' 4321",
    "own-session-twice-forked": "(setsid sh -c '(sleep 4321 &); sleep 4321' &); sleep 4321",
    "empty-environment": "env -i setsid sleep 4321 & wait",
    "stopped": "sh -c 'kill -STOP $$; sleep 4321'",
    "respawner": "setsid sh -c 'while :; do (sleep 4321 &); sleep 0.02; done' & sleep 4321",
    "fifo": "mkfifo /tmp/4321; cat /tmp/4321; rm /tmp/4321",
    "stdin-of-the-shell": "cat /proc/$$/fd/0 4321",
    "own-name": "printf '#!/bin/sh\\nsleep 4321\\n' >'/tmp/) R 0'; chmod +x /tmp/*R*; '/tmp/) R 0'",
}


@pytest.fixture(scope="module")
def bash_image(minimal_image: str, docker_command: DockerCommand) -> Iterator[str]:
    name = f"pytest-dcs-test/bash-as-sh:{uuid.uuid4().hex}"
    dockerfile = f"FROM {minimal_image}\nRUN ln -sf bash /bin/sh\n"
    docker_command("build", "--tag", name, "-", stdin=dockerfile.encode())
    yield name
    docker_command("rmi", "--force", name)


@pytest.fixture(scope="module")
def busybox_image(
    tmp_path_factory: pytest.TempPathFactory, docker_command: DockerCommand
) -> Iterator[str]:
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("needs a static busybox: install busybox-static")
    name = f"pytest-dcs-test/busybox:{uuid.uuid4().hex}"
    context = tmp_path_factory.mktemp("busybox")
    shutil.copy(program, context)
    (context / "Dockerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\n"
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n'
        'RUN ["/bin/mkdir", "-m", "1777", "/tmp"]\n'
    )
    docker_command("build", "--tag", name, str(context))
    yield name
    docker_command("rmi", "--force", name)


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def container(request: pytest.FixtureRequest, engine: DockerEngine) -> Iterator[DockerContainer]:
    fixture = {"dash": "minimal_image", "bash": "bash_image", "busybox": "busybox_image"}
    image = engine.resolve(request.getfixturevalue(fixture[request.param]), "never")
    container = engine.launch(image, ContainerSpec(run_id="test-shell"))
    yield container
    container.end()


@pytest.fixture
def shell(container: DockerContainer) -> Iterator[Shell]:
    shell = Shell(container, timeout=TIMEOUT)
    yield shell
    shell.close()


def command_lines(shell: Shell) -> str:
    listing = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$file; echo; done 2>/dev/null"
    return shell.run(listing, timeout=QUICK).stdout.decode(errors="replace")


@pytest.mark.parametrize("command", HANGING.values(), ids=HANGING.keys())
def test_a_command_that_hangs_is_killed_with_all_it_started(shell: Shell, command: str) -> None:
    shell.run(":", timeout=QUICK)
    started = time.monotonic()
    with pytest.raises(ShellError, match=r"did not end within 0\.7 s"):
        shell.run(command)
    assert time.monotonic() - started < TIMEOUT + QUICK
    assert shell.run("echo next", timeout=QUICK).stdout == b"next\n"
    assert "4321" not in command_lines(shell)


def test_a_hung_command_of_sudo_is_killed(shell: Shell) -> None:
    if shell.run("command -v sudo").returncode != 0:
        pytest.skip("this image has no sudo")
    with pytest.raises(ShellError, match="did not end"):
        shell.run("env -i sudo -n setsid -f sleep 4321; sudo -n sleep 4321")
    assert "4321" not in command_lines(shell)


def test_the_message_shows_what_a_hung_command_wrote(shell: Shell) -> None:
    with pytest.raises(ShellError, match=r"(?s)Command: echo asking.*wrote last:\nasking"):
        shell.run("echo asking for a password; sleep 4321")


def test_a_hang_spares_what_was_there_before(shell: Shell) -> None:
    shell.run("setsid sleep 4331 >/dev/null 2>&1 & setsid sleep 4332 >/dev/null 2>&1 &")
    with pytest.raises(ShellError):
        shell.run("sleep 4321")
    lines = command_lines(shell)
    assert "sleep 4331" in lines
    assert "sleep 4332" in lines


def test_a_hang_spares_other_execs_and_their_descendants(
    shell: Shell, container: DockerContainer
) -> None:
    shell.run(":")
    probe = container.start(["/bin/sh", "-c", "sleep 4341 & echo up; wait"])
    probe.write(b"")
    assert probe.read(QUICK) == ("stdout", b"up\n")
    with pytest.raises(ShellError):
        shell.run("sleep 4321")
    assert "sleep 4341" in command_lines(shell)
    shell.run("kill -9 $(pidof sleep)", timeout=QUICK)
    probe.close()


def test_a_hang_spares_a_protected_process_and_its_descendants(
    shell: Shell, container: DockerContainer
) -> None:
    shell.run(":")
    # It has left the tree that it was started in, as a daemon does.
    starter = container.start(
        ["/bin/sh", "-c", "setsid sh -c 'sleep 4351 & wait' >/dev/null 2>&1 & echo $!"]
    )
    starter.write(b"")
    answer = starter.read(QUICK)
    assert answer is not None
    shell.protect(int(answer.data))
    starter.close()
    with pytest.raises(ShellError):
        shell.run("sleep 4321")
    assert "sleep 4351" in command_lines(shell)


def test_a_shell_that_does_not_come_back_is_replaced(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_module, "KILL_TIMEOUT", 1.0)
    first = shell.run("echo $$").stdout
    with pytest.raises(ShellError, match="did not end"):
        shell.run("kill -STOP $$")
    assert shell.run("echo $$", timeout=QUICK).stdout != first
    assert f"/proc/{int(first)}" not in shell.run("echo /proc/[0-9]*").stdout.decode().split()


def test_a_killer_that_finds_no_room_tries_again(
    shell: Shell, container: DockerContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run(":")
    started: list[Sequence[str]] = []
    start = container.start

    def refuse_once(argv: Sequence[str]) -> DockerProcess:
        started.append(argv)
        return start(["/bin/false"] if len(started) == 1 else argv)

    monkeypatch.setattr(container, "start", refuse_once)
    before = time.monotonic()
    with pytest.raises(ShellError, match="did not end"):
        shell.run("sleep 4321")
    assert len(started) == 2
    assert time.monotonic() - before < TIMEOUT + QUICK


def test_a_fork_bomb_is_killed(
    engine: DockerEngine, minimal_image: str, docker_command: DockerCommand
) -> None:
    container = engine.launch(engine.resolve(minimal_image, "never"), ContainerSpec("test-shell"))
    docker_command("update", "--pids-limit", "60", container.name)
    shell = Shell(container, timeout=TIMEOUT)
    shell.run(":", timeout=QUICK)
    with pytest.raises(ShellError, match="did not end"):
        shell.run("bomb() { bomb | bomb & }; bomb; sleep 4321")
    assert shell.run("echo next", timeout=QUICK).stdout == b"next\n"
    pids = shell.run("echo /proc/[0-9]*", timeout=QUICK).stdout.split()
    assert len(pids) < 10
    shell.close()
    container.end()


@pytest.mark.parametrize("command", ["yes", "yes >&2", "cat /dev/zero"])
def test_a_flood_is_stopped(container: DockerContainer, command: str) -> None:
    shell = Shell(container, timeout=60, max_output=1 << 20)
    started = time.monotonic()
    with pytest.raises(ShellError, match="wrote more than 1048576 bytes"):
        shell.run(command)
    assert time.monotonic() - started < QUICK
    assert shell.run("echo next").stdout == b"next\n"
    shell.close()


@pytest.mark.parametrize(
    ("command", "returncode"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("true", 0),
        ("false", 1),
        ("(exit 255)", 255),
        ("no-such-command-4321", 127),
        ("sh -c 'kill -TERM $$'", 143),
        ("set -e; false; true", 1),
        ("trap 'exit 7' EXIT; true", 7),
    ],
)
def test_the_exit_status_is_exact(shell: Shell, command: str, returncode: int) -> None:
    assert shell.run(command).returncode == returncode


@pytest.mark.parametrize(
    "command", ["echo 'unterminated", 'echo "', "for x in a", "if true; then", "echo $(", ")", "}"]
)
def test_a_syntax_error_is_answered_at_once(shell: Shell, command: str) -> None:
    completed = shell.run(command)
    assert completed.returncode != 0
    assert completed.stderr
    assert shell.run("echo next").stdout == b"next\n"


def test_output_is_taken_byte_for_byte(shell: Shell) -> None:
    completed = shell.run("printf 'a\\000b\\377\\nc'; printf '\\376' >&2")
    assert (completed.stdout, completed.stderr) == (b"a\0b\xff\nc", b"\xfe")


def test_a_command_may_hold_any_byte_but_nul(shell: Shell) -> None:
    assert shell.run("printf '%s' '\udcff é ; \\ $x \"'").stdout == b'\xff \xc3\xa9 ; \\ $x "'
    with pytest.raises(ValueError, match="NUL"):
        shell.run("echo \0")


def test_a_megabyte_on_stderr_arrives(shell: Shell) -> None:
    completed = shell.run("head -c 1000000 /dev/zero >&2; echo done", timeout=QUICK)
    assert completed.stderr == bytes(1_000_000)
    assert completed.stdout == b"done\n"


def test_a_command_longer_than_an_argument_may_be(shell: Shell) -> None:
    text = "x" * 300_000
    assert shell.run(f"word={text}; echo ${{#word}}", timeout=QUICK).stdout == b"300000\n"


def test_stdin_is_empty(shell: Shell) -> None:
    assert shell.run("cat; read -r line || echo end").stdout == b"end\n"


@pytest.mark.parametrize("command", ["kill -9 $$", "kill -9 $PPID", "kill -9 $$; sleep 4321"])
def test_a_command_that_kills_its_shell_is_an_error(shell: Shell, command: str) -> None:
    with pytest.raises(ShellError, match="ended the shell that it ran in"):
        shell.run(command, timeout=QUICK)
    assert shell.run("echo next", timeout=QUICK).stdout == b"next\n"
    assert "4321" not in command_lines(shell)


@pytest.mark.parametrize(
    "command", ["exec >&-", "exec 2>&-", "exec >&- 2>&- <&-", "exec >/dev/null 2>&1"]
)
def test_a_command_that_closes_its_streams(shell: Shell, command: str) -> None:
    assert shell.run(command).returncode == 0
    assert shell.run("echo next; echo error >&2").stdout == b"next\n"


@pytest.mark.parametrize(
    "text", ["0123456789abcdef0123456789abcdef 0 no 1 1 ;", " 0 no 1 1 ;", "dcs_end x 0"]
)
def test_text_that_looks_like_the_end_of_a_command(shell: Shell, text: str) -> None:
    completed = shell.run(f"echo '{text}'; echo '{text}' >&2; exit 5")
    assert completed.returncode == 5
    assert completed.stdout == completed.stderr == f"{text}\n".encode()


def test_a_command_that_calls_what_ends_commands(shell: Shell) -> None:
    completed = shell.run("dcs_end 0 0; dcs_end() { echo mine; }; exit 5")
    assert completed.returncode == 5
    assert shell.run("echo next").stdout == b"next\n"


@pytest.mark.parametrize(
    "command",
    [
        "(while :; do echo noise; sleep 0.01; done) & echo first",
        "(while :; do echo noise >&2; sleep 0.01; done) & echo first",
        "exec 3>&1; (while :; do echo noise >&3; sleep 0.01; done) >/dev/null 2>&1 & echo first",
        "setsid sh -c 'while :; do echo noise; sleep 0.01; done' & echo first",
    ],
    ids=["stdout", "stderr", "another-descriptor", "another-session"],
)
def test_a_background_child_that_keeps_writing(shell: Shell, command: str) -> None:
    assert b"first\n" in shell.run(command).stdout
    for number in range(20):
        completed = shell.run(f"sleep 0.02; echo {number}; echo error >&2", timeout=QUICK)
        assert completed.stdout == f"{number}\n".encode()
        assert completed.stderr == b"error\n"


def test_a_silent_background_child_goes_on_and_keeps_the_shell(shell: Shell) -> None:
    first = shell.run("sleep 4361 >/dev/null 2>&1 & sleep 0.2; echo $$").stdout
    assert shell.run("echo $$").stdout == first
    assert "sleep 4361" in command_lines(shell)


def test_nothing_of_a_command_stays_in_the_shell(shell: Shell) -> None:
    shell.run("cd /tmp; word=1; umask 0; set -u; echo() { :; }")
    assert shell.run('pwd; umask; echo "[$word]"').stdout == b"/\n0022\n[]\n"


def test_an_interrupted_command_does_not_answer_for_the_next(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run(":")

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shell_module._Exchange, "advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            shell.run("echo first")
    assert shell.run("echo next", timeout=QUICK).stdout == b"next\n"


def test_a_command_that_ends_the_container(engine: DockerEngine, minimal_image: str) -> None:
    container = engine.launch(engine.resolve(minimal_image, "never"), ContainerSpec("test-shell"))
    shell = Shell(container, timeout=QUICK)
    with pytest.raises((ShellError, ContainerEnded)):
        shell.run("kill -9 -1")
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(ContainerEnded, match="ended in the middle of the run"):
            shell.run("echo next")
    assert time.monotonic() - started < QUICK
    shell.close()
    container.end()


def test_a_shell_that_does_not_answer_is_said_once(
    engine: DockerEngine,
    docker_command: DockerCommand,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    # It begins as a shell must, for the main process, and then answers nothing.
    (tmp_path / "sh").write_text(
        "#!/bin/busybox sh\n"
        'case "$2" in *pytest-dcs-ready*|*exec*) exec /bin/busybox sh "$@" ;; esac\n'
        "echo no shell today; exit 9\n"
    )
    (tmp_path / "sh").chmod(0o755)
    (tmp_path / "Dockerfile").write_text(
        f'FROM {busybox_image}\nRUN ["/bin/busybox", "rm", "/bin/sh"]\nCOPY sh /bin/sh\n'
    )
    name = f"pytest-dcs-test/no-shell:{uuid.uuid4().hex}"
    docker_command("build", "--tag", name, str(tmp_path))
    try:
        container = engine.launch(engine.resolve(name, "never"), ContainerSpec("test-shell"))
        shell = Shell(container, timeout=QUICK)
        with pytest.raises(ShellError, match=r"(?s)/bin/sh of the image does not answer.*no shell"):
            shell.run("echo one")
        with pytest.raises(ShellError, match="does not answer"):
            shell.run("echo two")
        container.end()
    finally:
        docker_command("rmi", "--force", name)
