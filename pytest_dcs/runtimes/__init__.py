"""What each Databricks Runtime expects of an image: data, each fact with its source."""

from __future__ import annotations

from pytest_dcs.runtimes.catalogue import Catalogue, Need, Runtime
from pytest_dcs.runtimes.loader import load

__all__ = ["Catalogue", "Need", "Runtime", "load"]
