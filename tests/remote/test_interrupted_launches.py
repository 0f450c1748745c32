"""A launch that is ended from outside, at each of its moments: real pytests, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.lifecycle import PASSWORD
from tests.remote.standin import Workspace, checked, lives

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

TEST_FILE = """
import sys
import pytest
from pytest_dcs.remote.journal import Journal
from pytest_dcs.remote.orders import carry_out
from pytest_dcs.remote.workspace import connect
from tests.remote.lifecycle import order

@pytest.fixture
def outcome():
    journal = Journal(order().run_id)
    say = lambda line: print(line, file=sys.__stderr__, flush=True)
    try:
        yield carry_out(connect(), order({mode!r}, timeout=3000.0), journal, say)
    finally:
        journal.close()

def test_it(outcome):
    assert outcome.removed
"""
PYTEST = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pytest", run_name="__main__")
"""
"""A shell's background job ignores SIGINT, and so would all that it starts."""
SPEED = 30.0
"""The workspace's time passes so much faster than ours: its clusters need minutes."""
LIMIT = 90.0


@dataclass
class Running:
    """A pytest that launches."""

    process: subprocess.Popen[str]
    workspace: Workspace
    state: Path

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Return the exit status and all that was written."""
        output, _ = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, output

    def sweep(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest_dcs", "sweep", "--remote", *arguments],
            env=environment(self.workspace, self.state),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )


def environment(workspace: Workspace, state: Path) -> dict[str, str]:
    return {**os.environ, **workspace.environment, "XDG_STATE_HOME": str(state)}


@pytest.fixture
def fast() -> Iterator[Workspace]:
    with checked(speed=SPEED) as served:
        yield served


@contextmanager
def launching(workspace: Workspace, folder: Path, mode: str, *options: str) -> Iterator[Running]:
    """Start a pytest that launches, and let it not outlive the test."""
    file = folder / "test_launch.py"
    file.write_text(TEST_FILE.format(mode=mode))
    with subprocess.Popen(
        [sys.executable, "-c", PYTEST, "-p", "no:cacheprovider", "-s", *options, file.name],
        cwd=folder,
        env=environment(workspace, folder / "state"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Running(process, workspace, folder / "state")
        finally:
            process.kill()


def journals(running: Running) -> list[Path]:
    return [*running.state.rglob("*.jsonl")]


def seconds_until(condition: Any) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_a_signal_while_the_cluster_starts_removes_it(
    fast: Workspace, tmp_path: Path, mode: str, number: signal.Signals
) -> None:
    fast.script(lives.never_up())
    with launching(fast, tmp_path, mode) as running:
        fast.wait_for("GET", "/clusters/get", 2)
        running.send(number)
        status, output = running.end()
        assert status == 2, output
        assert "KeyboardInterrupt" in output
        assert journals(running) == []
    assert len(fast.clusters) == 1
    assert fast.alive == []
    assert fast.files.left() == []


def test_ctrl_c_inside_the_creation_removes_what_it_made(fast: Workspace, tmp_path: Path) -> None:
    fault = fast.fault("POST", "*/clusters/create", "stalled")
    with launching(fast, tmp_path, "interactive") as running:
        seconds_until(lambda: fast.clusters)
        running.send(signal.SIGINT)
        status, output = running.end()
        assert status == 2, output
        assert journals(running) == []
    fault.release()
    assert len(fast.clusters) == 1
    assert fast.alive == []


def test_ctrl_c_inside_the_submission_removes_what_it_made(fast: Workspace, tmp_path: Path) -> None:
    fault = fast.fault("POST", "*/jobs/runs/submit", "stalled")
    with launching(fast, tmp_path, "jobs") as running:
        seconds_until(lambda: fast.runs)
        running.send(signal.SIGINT)
        status, output = running.end()
        assert status == 2, output
        assert journals(running) == []
    fault.release()
    assert len(fast.runs) == 1
    assert fast.alive == []


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_ctrl_c_while_the_checks_run_removes_the_cluster(
    fast: Workspace, tmp_path: Path, mode: str
) -> None:
    fast.script(lives.hanging())
    with launching(fast, tmp_path, mode) as running:
        if mode == "interactive":
            fast.wait_for("GET", "/contexts/status", 2)
        else:
            seconds_until(lambda: fast.clusters and fast.clusters[0].state == "RUNNING")
        running.send(signal.SIGINT)
        status, output = running.end()
        assert status == 2, output
        assert journals(running) == []
    assert fast.alive == []


@pytest.mark.parametrize("path", ["/clusters/create", "/clusters/delete"])
def test_a_full_traceback_with_all_variables_shows_no_secret(
    fast: Workspace, tmp_path: Path, path: str
) -> None:
    fast.script(lives.never_up())
    fault = fast.fault("POST", f"*{path}", "stalled")
    shown = ("-l", "-vv", "--full-trace", "--log-level=DEBUG", "--junitxml=report.xml")
    with launching(fast, tmp_path, "interactive", *shown) as running:
        if path.endswith("delete"):
            fast.wait_for("GET", "/clusters/get", 2)
            running.send(signal.SIGINT)
        fast.wait_for("POST", path)
        running.send(signal.SIGINT)
        time.sleep(0.5)
        fault.release()
        status, output = running.end()
    assert status == 2, output
    assert "running_cluster" in output
    assert PASSWORD not in output + (tmp_path / "report.xml").read_text()
    assert fast.token not in output + (tmp_path / "report.xml").read_text()
    seconds_until(lambda: not fast.alive)


def test_a_second_ctrl_c_says_how_to_remove_the_cluster_and_goes_on(
    fast: Workspace, tmp_path: Path
) -> None:
    fast.script(lives.never_up())
    fault = fast.fault("POST", "*/clusters/delete", "stalled")
    with launching(fast, tmp_path, "interactive") as running:
        fast.wait_for("GET", "/clusters/get", 2)
        running.send(signal.SIGINT)
        fast.wait_for("POST", "/clusters/delete")
        running.send(signal.SIGTERM)
        time.sleep(0.5)
        fault.release()
        status, output = running.end()
        assert status == 2, output
        assert f"`databricks clusters permanent-delete {fast.clusters[0].id}`" in output
    seconds_until(lambda: not fast.alive)


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_what_a_killed_run_has_left_is_swept(fast: Workspace, tmp_path: Path, mode: str) -> None:
    fast.script(lives.never_up())
    with launching(fast, tmp_path, mode) as running:
        fast.wait_for("GET", "/clusters/get", 1)
        alive = running.sweep()
        assert alive.stdout == "nothing to remove\n", "its run still lives"
        running.process.kill()
        running.end()
        assert len(fast.alive) == 1

        shown = running.sweep()
        assert fast.alive[0].id in shown.stdout
        assert shown.returncode == 0
        assert "--yes" in shown.stdout
        assert len(fast.alive) == 1, "only shown"

        swept = running.sweep("--yes")
        assert swept.returncode == 0, swept.stdout + swept.stderr
        assert "NOT" not in swept.stdout
        assert fast.alive == []
        assert fast.files.left() == []
        assert journals(running) == []


def test_a_run_that_is_killed_inside_the_creation_leaves_a_name_to_sweep(
    fast: Workspace, tmp_path: Path
) -> None:
    fast.script(lives.never_up())
    fault = fast.fault("POST", "*/clusters/create", "stalled")
    with launching(fast, tmp_path, "interactive") as running:
        seconds_until(lambda: fast.clusters)
        running.process.kill()
        running.end()
        fault.release()
        assert running.sweep("--yes").returncode == 0
        assert fast.alive == []
        assert journals(running) == []


def test_a_sweep_of_one_run_leaves_others_alone(fast: Workspace, tmp_path: Path) -> None:
    fast.script(lives.never_up())
    with launching(fast, tmp_path, "interactive") as running:
        fast.wait_for("GET", "/clusters/get", 1)
        running.process.kill()
        running.end()
        assert running.sweep("--run=ffff", "--yes").stdout == "nothing to remove\n"
        assert len(fast.alive) == 1
        assert "removed cluster" in running.sweep("--run=0123abcd", "--yes").stdout
        assert fast.alive == []
