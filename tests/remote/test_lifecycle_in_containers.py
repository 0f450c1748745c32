"""The checks' one file inside the image that a cluster has launched: real containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs.remote.journal import Journal
from pytest_dcs.remote.orders import carry_out
from pytest_dcs.remote.workspace import connect
from tests.remote.lifecycle import SPEC, bundle, order

if TYPE_CHECKING:
    from pathlib import Path

    from tests.remote.standin import Workspace
    from tests.remote.standin.clock import Clock

pytestmark = pytest.mark.docker
LOOK = """
import json, os, sys
print(json.dumps({"os": open("/etc/os-release").read(), "arguments": sys.argv[1:],
                  "runtime": os.environ.get("DATABRICKS_RUNTIME_VERSION")}))
"""


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_the_checks_run_inside_the_image(
    workspace: Workspace, virtual_time: Clock, tmp_path: Path, mode: str
) -> None:
    spec = {**SPEC, "docker_image": {"url": "pytest-dcs/python"}}
    said: list[str] = []
    journal = Journal("0123abcd0123abcd", tmp_path)
    outcome = carry_out(
        connect(), order(mode, spec=spec, bundle=bundle(LOOK)), journal, said.append
    )
    journal.close()
    assert outcome.document is not None, outcome
    assert "Debian" in outcome.document["os"]
    assert outcome.document["arguments"] == ["--dcs-runtime=15.4"]
    assert outcome.document["runtime"] == "15.4"
    assert outcome.removed
