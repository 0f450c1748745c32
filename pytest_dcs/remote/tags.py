"""The tags by which a cluster of ours is known, and by which it is known to be forgotten."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote.hiding import Unshown

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "pytest-dcs"
RUN = "pytest-dcs-run"
REMOVE_AFTER = "RemoveAfter"
"""Hour in UTC after which nobody needs the cluster; other tools for Databricks use this name too.

https://github.com/databrickslabs/pytester
"""
HOUR = "%Y%m%d%H"
NAME_PREFIX = "dcs-"


def tagged(spec: Mapping[str, Any], run_id: str, timeout: float) -> dict[str, Any]:
    """Return a cluster's specification with our tags besides its own; timeout in seconds."""
    tags = {**(spec.get("custom_tags") or {}), **own(run_id, timeout)}
    return Unshown({**spec, "custom_tags": tags})


def own(run_id: str, timeout: float) -> dict[str, str]:
    """Return the tags of what a run launches now."""
    end = now() + datetime.timedelta(seconds=timeout, hours=1)
    return {OURS: "true", RUN: run_id, REMOVE_AFTER: end.strftime(HOUR)}


def are_ours(tags: Mapping[str, str], run_id: str = "") -> bool:
    """Tell whether something with these tags was started by us, and by this run if one is given."""
    return OURS in tags and (not run_id or tags.get(RUN) == run_id)


def expired(tags: Mapping[str, str]) -> bool:
    """Tell whether nobody needs it any more; what names no hour is never expired."""
    try:
        hour = datetime.datetime.strptime(tags.get(REMOVE_AFTER, ""), HOUR)
    except ValueError:
        return False
    return now() > hour.replace(tzinfo=datetime.timezone.utc) + datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    """Return the time in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)
