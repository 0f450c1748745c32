"""`python -m pytest_dcs`: the commands that need no engine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from pytest_dcs.__main__ import main

if TYPE_CHECKING:
    import pytest


def test_rules_writes_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    assert capsys.readouterr().out.startswith("# Rules\n")


def test_explain_writes_the_page_of_a_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PY004"]) == 0
    assert "virtualenv-builds" in capsys.readouterr().out


def test_a_mistake_gets_a_message_and_exit_status_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "PY999"]) == 4
    assert capsys.readouterr().err.startswith("ERROR: dcs: no rule has the id or prefix 'PY999'.")


def test_no_engine_to_sweep_is_a_message() -> None:
    swept = subprocess.run(
        [sys.executable, "-m", "pytest_dcs", "sweep"],
        env={**os.environ, "DOCKER_HOST": "unix:///no/such.sock"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert swept.returncode == 4
    assert "no container engine at unix:///no/such.sock" in swept.stderr
    assert "Traceback" not in swept.stderr
