"""What the plugin keeps on pytest's config, by typed keys."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_dcs.engines import Engine
    from pytest_dcs.layer_readings import LayerReadings
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Plan
    from pytest_dcs.remote_run import RemoteRun
    from pytest_dcs.runtimes import Catalogue

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
CATALOGUE: pytest.StashKey[Catalogue] = pytest.StashKey()
PLAN: pytest.StashKey[Plan] = pytest.StashKey()
LAYERS: pytest.StashKey[LayerReadings] = pytest.StashKey()
ENGINE: pytest.StashKey[Engine] = pytest.StashKey()
RUN_ID: pytest.StashKey[str] = pytest.StashKey()
REMOTE: pytest.StashKey[RemoteRun] = pytest.StashKey()
"""Only in a run that launches images on real clusters."""


def run_id_of(config: pytest.Config) -> str:
    """Return the id that labels whatever this run starts; xdist's workers share it."""
    sent = getattr(config, "workerinput", {}).get("testrunuid")
    return config.stash.setdefault(RUN_ID, sent or uuid.uuid4().hex)
