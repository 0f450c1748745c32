"""What the tests of whole runs share: a pytest with --dcs-remote against the workspace of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

# A run inside a test drops the modules that it was the first to import, and would then see two of
# some; so all are imported here.
from pytest_dcs import collect, plan, remote_run, rules
from pytest_dcs.report import pages, terminal
from tests.plugin.conftest import ENGINE
from tests.remote.lifecycle import bundle, run_task
from tests.remote.standin.nodes import AnsweredNodes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.remote.standin import Workspace

PRELOADED = (collect, plan, pages, terminal, rules.catalogue())
IMAGE = "good:1"
LAUNCH = (
    f"--dcs-image={IMAGE}",
    "--dcs-runtime=15.4",
    "--dcs-select=IMG001,RUN",
    "--dcs-remote",
    "--dcs-remote-node-type=i3.xlarge",
)
"""A launch of an image that no engine here can start, without its registry."""


def finding(rule: str, outcome: str, message: str = "") -> dict[str, Any]:
    """Return a finding as a document has it."""
    name = rules.catalogue()[rule].name
    plain = {"entry": "x", "rule": rule, "name": name, "outcome": outcome, "subject": ""}
    return {**plain, "message": message, "items": []}


def document(*findings: dict[str, Any], runtime: str = "15.4") -> dict[str, Any]:
    """Return what the checks on a cluster print."""
    entry = {
        "image": IMAGE,
        "digest": "",
        "image_id": "",
        "runtime": runtime,
        "profile": "python",
        "verdict": "releasable",
        "lost": "",
        "notes": [],
        "own_failures": 0,
        "own_passes": 0,
        "seconds": {},
        "findings": list(findings) or [finding("PY004", "pass")],
        "inventory": {},
    }
    run = {"format": 1, "plugin": "0.1.0", "run": "there", "started": "2026-01-01T00:00:00+00:00"}
    return {**run, "engine": "local", "seen": "inside", "entries": [entry]}


def printing(printed: Any) -> bytes:
    """Return a bundle that prints a document, or a text as it is."""
    text = printed if isinstance(printed, str) else json.dumps(printed)
    return bundle(f"print({text!r})")


class Notebook:
    """A notebook's Python, which runs all that it was told so far, each time, in a process.

    In this one pytest exchanges `sys.stdout` while it runs.
    """

    def __init__(self) -> None:
        self.code = ""

    def __call__(self, code: str) -> str:
        """Return what the code so far prints."""
        self.code += f"{code}\n"
        done = subprocess.run(
            [sys.executable, "-"], input=self.code.encode(), capture_output=True, check=True
        )
        return done.stdout.decode()


class Launcher:
    """Runs pytest with --dcs-remote in a folder of its own."""

    def __init__(self, pytester: pytest.Pytester, workspace: Workspace) -> None:
        self.pytester = pytester
        self.workspace = workspace
        self.bundle = printing(document())

    def __call__(self, *arguments: str) -> pytest.RunResult:
        """Return how a run ended; nothing of it is left in the workspace."""
        result = self.pytester.runpytest(*LAUNCH, *arguments)
        assert not self.workspace.alive
        return result

    @property
    def journals(self) -> Path:
        """Where the run's journal lies while anything of it may be left."""
        return self.pytester.path / "state" / "pytest-dcs" / "remote"

    def file(self, name: str, content: Any) -> str:
        """Write a file and return its name."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.pytester.path / name).write_text(text)
        return name


@pytest.fixture
def launch(
    pytester: pytest.Pytester, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> Launcher:
    """Return what runs pytest against a workspace whose nodes run Python files on this machine.

    The checks are a few lines that print a document: the real ones would take this machine for an
    image.
    """
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DCS_REMOTE_TIMEOUT", "600")
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    monkeypatch.delenv("DCS_REMOTE_REGISTRY_USER", raising=False)
    monkeypatch.delenv("DCS_REMOTE_REGISTRY_PASSWORD", raising=False)
    pytester.makeconftest(ENGINE)
    launcher = Launcher(pytester, workspace)
    monkeypatch.setattr(remote_run, "bundle_of", lambda *_: launcher.bundle)
    if isinstance(workspace.nodes, AnsweredNodes):
        workspace.nodes.task = run_task
        workspace.nodes.command = Notebook()
    return launcher
