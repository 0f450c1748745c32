"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest

pytest_plugins = ["pytester"]

RUN_DOCKER = "--run-docker"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        RUN_DOCKER, action="store_true", help="Run the tests that need a container engine"
    )


def pytest_configure() -> None:
    # Tests hang up runs as a terminal that is closed does; `nohup` has all children ignore that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption(RUN_DOCKER):
        for item in items:
            if item.get_closest_marker("docker"):
                item.add_marker(pytest.mark.skip(reason=f"needs {RUN_DOCKER}"))


@pytest.fixture(autouse=True)
def _no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("DCS_") or name == "PYTEST_ADDOPTS":
            monkeypatch.delenv(name)
