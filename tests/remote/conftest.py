"""What tests of the remote part share: a workspace of our own, and no other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.remote.standin import checked
from tests.remote.standin.docker_nodes import DockerNodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.remote.standin import Workspace
    from tests.remote.standin.clock import Clock

OTHERS = ("DATABRICKS_", "ARM_", "AZURE_", "GOOGLE_", "ACTIONS_")
"""Where variables begin that would lead the SDK elsewhere."""


@pytest.fixture
def workspace(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """Serve a workspace and set the variables by which the SDK finds it.

    Its clusters are containers in tests with the marker `docker`. It fails the test on a request
    that it does not know and on a cluster that is left alive.
    """
    for name in [*os.environ]:
        if name.startswith(OTHERS):
            monkeypatch.delenv(name)
    nodes = DockerNodes() if request.node.get_closest_marker("docker") else None
    with checked(nodes) as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def virtual_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let all sleeps of this process move the workspace's clock instead of waiting."""
    workspace.clock.install(monkeypatch)
    return workspace.clock
