"""The option that runs the conformance tests on the images themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HELP = (
    "Pull the official Databricks images from this registry, such as docker.io/databricksruntime, "
    "and test each with the plugin; needs an engine, and room for some sixty images"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--official-registry", metavar="REGISTRY", help=HELP)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the tests of pulled images out unless somebody asked for them."""
    is_asked_for = config.getoption("official_registry") is not None
    return True if collection_path.name == "test_pulled_images.py" and not is_asked_for else None
