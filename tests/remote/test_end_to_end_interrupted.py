"""A whole run with --dcs-remote that is ended while its cluster starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import ENGINE
from tests.remote.launching import LAUNCH
from tests.remote.standin import Workspace, checked, lives
from tests.remote.test_interrupted_launches import LIMIT, PYTEST, SPEED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
WITHOUT_CHECKS = "--dcs-ignore=RUN003,RUN004"
"""They would bring what a package index has to be asked for."""


@pytest.fixture
def fast() -> Iterator[Workspace]:
    with checked(speed=SPEED) as served:
        yield served


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_a_signal_ends_the_run_and_removes_all(
    fast: Workspace, tmp_path: Path, mode: str, number: signal.Signals
) -> None:
    fast.script(lives.never_up())
    (tmp_path / "conftest.py").write_text(ENGINE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    arguments = (*LAUNCH, WITHOUT_CHECKS, f"--dcs-remote-mode={mode}", "-p", "no:cacheprovider")
    process = subprocess.Popen(
        [sys.executable, "-c", PYTEST, *arguments],
        cwd=tmp_path,
        env={**os.environ, **fast.environment, "XDG_STATE_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        fast.wait_for("GET", "/clusters/get", 2)
        process.send_signal(number)
        output, _ = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert len(fast.clusters) == 1
    assert fast.alive == []
    assert fast.files.left() == []
    assert not list((tmp_path / "state").rglob("*.jsonl"))
