"""The requests that docs/remote.md shows work as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.remote import lint
from pytest_dcs.remote.spec import Wanted, complete
from pytest_dcs.runtimes import load
from tests.remote.launching import Launcher, launch

if TYPE_CHECKING:
    from tests.remote.standin import Workspace

__all__ = ["launch"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)


def test_all_that_is_shown_is_tried() -> None:
    assert len(EXAMPLES) == 5
    assert all("curl" in example for example in EXAMPLES)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_documented_requests_work(workspace: Workspace) -> None:
    def run(example: str, cluster_id: str = "") -> dict[str, Any]:
        done = subprocess.run(
            ["bash", "-ec", example],
            env={**os.environ, **workspace.environment, "CLUSTER_ID": cluster_id},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # The one that turns the setting on has no answer, the last example has two.
        answer: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout or "{}")[0]
        return answer

    turn_on, is_on, create, get, remove = EXAMPLES
    workspace.state.conf["enableDcs"] = "false"
    run(turn_on)
    assert run(is_on) == {"enableDcs": "true"}
    cluster_id = run(create)["cluster_id"]
    workspace.clock.move(90)
    described = run(get, cluster_id)
    assert described["state"] == "RUNNING"
    assert described["docker_image"]["url"] == "acme.azurecr.io/ml:1.4"
    run(remove, cluster_id)
    workspace.clock.move(90)
    assert not workspace.alive


def test_the_documented_cluster_is_what_the_option_takes() -> None:
    found = re.search(r"-d '(\{\n.*?\n  \})'", EXAMPLES[2], re.DOTALL)
    assert found
    given = json.loads(found[1])
    runtime = load().find("15.4")
    wanted = Wanted("acme.azurecr.io/ml:1.4", None, runtime, frozenset({"jvm", "virtualenv"}))
    completed = complete(given, wanted)
    lint.refuse(completed.spec, runtime)
    assert completed.said == ()
    assert completed.spec == given
    assert not list(lint.literal_passwords(completed.spec))


@pytest.mark.usefixtures("virtual_time")
def test_the_documented_test_passes(launch: Launcher) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    launch.pytester.makepyfile(test_documented=example)
    result = launch("test_documented.py", "--dcs-remote-mode=interactive")
    result.assert_outcomes(passed=1)
