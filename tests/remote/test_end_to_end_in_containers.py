"""The same with real containers: a good image, and images broken for a cluster, in both modes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import fixtures, host, image_host, inventory, launch, remote_run
from tests.remote.launching import PRELOADED

if TYPE_CHECKING:
    from tests.remote.standin import Workspace

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("virtual_time")]
LOADED = (fixtures, host, image_host, inventory, launch, remote_run, *PRELOADED)
"""What a run inside a test must not be the first to import."""
ARGUMENTS = ("--dcs-runtime=15.4", "--dcs-remote", "--dcs-remote-node-type=i3.xlarge")


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_STATE_HOME", str(pytester.path / "state"))
    return pytester


def findings(folder: pytest.Pytester) -> dict[str, dict[str, Any]]:
    (entry,) = json.loads((folder.path / "run.json").read_text())["entries"]
    return {each["rule"]: each for each in entry["findings"]}


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_the_checks_run_inside_the_image_that_a_cluster_launched(
    folder: pytest.Pytester, workspace: Workspace, mode: str
) -> None:
    result = folder.runpytest(
        "--dcs-image=pytest-dcs/python",
        "--dcs-select=PY,RUN",
        f"--dcs-remote-mode={mode}",
        "--dcs-json=run.json",
        *ARGUMENTS,
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*pytest-dcs/python * on 15.4: releasable", "*merged cluster: *"])
    found = findings(folder)
    assert {found[f"RUN00{number}"]["outcome"] for number in (1, 3, 4)} == {"pass"}
    assert not workspace.alive
    assert workspace.files.left() == []


def test_what_only_a_cluster_shows_is_found_there(
    folder: pytest.Pytester, workspace: Workspace
) -> None:
    with workspace.state.lock:
        workspace.files.content["/Workspace/Shared/setup.sh"] = (
            b"#!/bin/sh\nrm -rf /usr/local/bin/virtualenv /usr/bin/virtualenv "
            b"/databricks/python3/bin/virtualenv\n"
        )
    (folder.path / "cluster.json").write_text(
        json.dumps(
            {
                "node_type_id": "i3.xlarge",
                "init_scripts": [{"workspace": {"destination": "/Shared/setup.sh"}}],
            }
        )
    )
    result = folder.runpytest(
        "--dcs-image=pytest-dcs/python",
        "--dcs-select=PY004,RUN",
        "--dcs-remote-cluster=cluster.json",
        "--dcs-json=run.json",
        *ARGUMENTS,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = findings(folder)
    assert found["RUN002"]["outcome"] == "pass"
    assert found["PY004"]["outcome"] == "fail"
    assert found["PY004"]["seen"] == "cluster"
    assert found["RUN004"]["outcome"] == "advice"
