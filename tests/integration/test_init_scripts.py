"""Init scripts run in a container as they do on a node, and none can make the run hang."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from pytest_dcs import init_scripts
from pytest_dcs.node import HOST_NAME

from .conftest import sample
from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.init_scripts import InitScript, ScriptRun
    from pytest_dcs.launch import Launch

pytestmark = pytest.mark.docker

BASH = "#!/bin/bash\nset -e\n"
CHATTY_DAEMON = "nohup sh -c 'while :; do echo tick; date >>/tmp/ticks; sleep 0.1; done' &\n"
PATIENCE = 30.0
CUT_OFF_AFTER = 4
"""Seconds after which this engine has closed the output of a command that has ended."""


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., InitScript]:
    """Return a function that writes a script and names it as an option does."""

    def write(name: str, text: str, scope: str = "") -> InitScript:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return init_scripts.parse(f"{scope}{path}")

    return write


@pytest.fixture
def node(engine: DockerEngine, minimal_image: str) -> Iterator[Launch]:
    with launched(engine, minimal_image, "minimal") as launch:
        yield launch


@contextmanager
def launched_with(
    engine: DockerEngine, image: str, *scripts: InitScript, **more: Any
) -> Iterator[Launch]:
    with launched(engine, image, "minimal", init_scripts=scripts, **more) as launch:
        yield launch


def run(node: Launch, script: InitScript, timeout: float = PATIENCE) -> ScriptRun:
    (ended,) = init_scripts.run(node.container, [script], timeout=timeout, by_first_line=True)
    return ended


def test_a_script_runs_as_on_a_node(
    engine: DockerEngine, minimal_image: str, script: Callable[..., InitScript]
) -> None:
    text = f"{BASH}env; echo cwd=$(pwd) uid=$(id -u) $0; cat; tty || true; echo made >/made\n"
    environment = {"COMPANY": "acme", "DB_CLUSTER_ID": "mine"}
    given = script("good.sh", text)
    with launched_with(engine, minimal_image, given, environment=environment) as launch:
        (ended,) = launch.script_runs
        lines = ended.stdout.splitlines()
        address = launch.shell.run("hostname -i").stdout.decode().strip()
        assert launch.shell.run("cat /made").stdout == b"made\n"
    assert not ended.failed
    assert launch.stopped is None
    assert "init-scripts" in launch.seconds
    assert {f"DB_CONTAINER_IP={address}", f"DB_DRIVER_IP={address}", "COMPANY=acme"} <= set(lines)
    assert {"DB_IS_DRIVER=TRUE", "DB_HOME=/databricks"} <= set(lines)
    cluster = next(line for line in lines if line.startswith("DB_CLUSTER_ID="))
    assert HOST_NAME.startswith(cluster.partition("=")[2])
    assert f"cwd=/ uid=0 {init_scripts.DIRECTORY}/01_good.sh" in lines
    assert lines[-1] == "not a tty"


def test_a_cluster_script_finds_what_a_global_one_has_made(
    engine: DockerEngine, minimal_image: str, script: Callable[..., InitScript]
) -> None:
    needs = script("a.sh", f"{BASH}cat /made-before\n")
    makes = script("z.sh", f"{BASH}echo before >/made-before\n", "global:")
    with launched_with(engine, minimal_image, needs, makes) as launch:
        assert [each.script.name for each in launch.script_runs] == ["z.sh", "a.sh"]
        assert launch.script_runs[1].stdout == "before\n"


def test_the_launch_ends_with_the_first_script_that_fails(
    engine: DockerEngine, minimal_image: str, script: Callable[..., InitScript]
) -> None:
    fails = script("fails.sh", f"{BASH}echo problem >&2; exit 3\n")
    never = script("never.sh", "echo never >/never\n")
    with launched_with(engine, minimal_image, fails, never) as launch:
        (ended,) = launch.script_runs
        assert (ended.returncode, ended.stderr) == (3, "problem\n")
        assert launch.stopped is not None
        assert "fails.sh" in launch.stopped
        assert launch.shell.run("test -e /never").returncode == 1


def test_a_daemon_lives_on_and_keeps_nobody_waiting(
    node: Launch, script: Callable[..., InitScript]
) -> None:
    ended = run(node, script("daemon.sh", f"{BASH}{CHATTY_DAEMON}echo started\n"))
    assert ended.returncode == 0
    count = f"sleep {CUT_OFF_AFTER}; wc -l </tmp/ticks; sleep 1; wc -l </tmp/ticks"
    before, after = map(int, node.shell.run(count).stdout.split())
    assert after > before


def test_a_script_that_hangs_is_killed_with_all_that_it_started(
    node: Launch, script: Callable[..., InitScript]
) -> None:
    text = f"{BASH}( trap '' TERM INT; sleep 4321 ) &\nsleep 4321\n"
    ended = run(node, script("hangs.sh", text), timeout=1)
    assert ended.failed
    assert ended.ending == "no end within 1 s (--dcs-timeout), so it was killed"
    assert node.shell.run("pgrep -f 'sleep 4321'").stdout == b""


def test_of_a_flood_the_end_is_kept(node: Launch, script: Callable[..., InitScript]) -> None:
    text = f"{BASH}head -c 100000000 /dev/zero | tr '\\0' x\necho the end\n"
    ended = run(node, script("floods.sh", text))
    assert ended.returncode == 0
    assert ended.stdout.endswith("xthe end\n")
    assert len(ended.stdout) <= init_scripts.OUTPUT_LIMIT


def test_a_script_that_is_killed_by_a_signal_has_failed(
    node: Launch, script: Callable[..., InitScript]
) -> None:
    ended = run(node, script("killed.sh", f"{BASH}kill -SEGV $$\n"))
    assert ended.failed
    assert ended.ending.startswith("an end by signal 11")


def test_bash_reads_a_script_without_a_first_line(
    node: Launch, script: Callable[..., InitScript]
) -> None:
    ended = run(node, script("plain.sh", "[[ $BASH_VERSION ]] && echo bash\n"))
    assert ended.stdout == "bash\n"


def test_a_file_of_the_image_needs_no_executable_bit(node: Launch) -> None:
    node.shell.run("mkdir -p /opt && printf '#!/bin/sh\\necho $0\\n' >/opt/init.sh")
    ended = run(node, init_scripts.parse("file:/opt/init.sh"))
    assert ended.stdout == "/opt/init.sh\n"


def test_a_script_may_be_in_python(
    engine: DockerEngine, python_image: str, script: Callable[..., InitScript]
) -> None:
    text = "#!/databricks/python3/bin/python\nimport sys\nprint(sys.prefix)\n"
    with launched_with(engine, python_image, script("init.py", text)) as launch:
        assert launch.script_runs[0].stdout == "/databricks/python3\n"


def test_the_first_line_does_not_count_without_its_assumption(
    engine: DockerEngine, minimal_image: str, script: Callable[..., InitScript]
) -> None:
    given = script("init.sh", "#!/nowhere/sh\necho ${BASH_VERSION:+bash}\n")
    without = frozenset({"script-interpreter"})
    with launched_with(engine, minimal_image, given, without=without) as launch:
        assert launch.script_runs[0].stdout == "bash\n"


def pytest_run(folder: Path, *arguments: str) -> tuple[str, dict[str, str]]:
    """Return what a run of pytest wrote, and the outcome of each rule that it judged."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=junit.xml"),
            *("--dcs-runtime=15.4", *arguments),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    cases = ET.parse(folder / "junit.xml").getroot().iter("testcase")
    found = [
        {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
        for case in cases
    ]
    return done.stdout, {each["dcs_rule"]: each["dcs_outcome"] for each in found}


def test_a_failure_tells_the_whole_output_and_blocks_what_comes_later(tmp_path: Path) -> None:
    image = sample("minimal")
    lines = "".join(f"echo step {number}\n" for number in range(50))
    tmp_path.joinpath("init.sh").write_text(f"{BASH}{lines}ls /nowhere\n", encoding="utf-8")
    arguments = ("--dcs-profile=minimal", "--dcs-select=INI,SPK001,SYS001")
    written, outcomes = pytest_run(
        tmp_path, f"--dcs-image={image}", "--dcs-init-script=init.sh", *arguments
    )
    assert outcomes["INI001"] == "fail"
    assert outcomes["SPK001"] == "blocked"
    assert [rule for rule, outcome in outcomes.items() if outcome == "fail"] == ["INI001"]
    assert "init.sh: found exit status 2: ls: cannot access '/nowhere'" in written
    assert "\nstep 0\n" in written
    assert "init.sh has ended the launch" in written


def test_good_scripts_break_no_rule(tmp_path: Path) -> None:
    image = sample("python")
    tmp_path.joinpath("init.sh").write_text(
        f"{BASH}if command -v systemctl; then systemctl start agent; fi\n{CHATTY_DAEMON}",
        encoding="utf-8",
    )
    _, outcomes = pytest_run(
        tmp_path,
        f"--dcs-image={image}",
        "--dcs-init-script=init.sh",
        "--dcs-init-script=global:init.sh",
        "--dcs-select=INI,SYS",
    )
    assert {outcome for rule, outcome in outcomes.items() if rule.startswith("INI")} == {"pass"}
    assert "fail" not in outcomes.values()
