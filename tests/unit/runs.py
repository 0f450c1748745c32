"""Documents of runs as tests need them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = {"PY001": "python-answers", "JVM001": "java-answers", "NB003": "kernel-answers"}
INVENTORY: dict[str, Any] = {
    "machine": "2 x Some CPU",
    "os": "debian 12",
    "java": "17.0.15",
    "python": "3.11.2",
    "python_packages": {"numpy": "1.23.5", "pandas": "1.5.3"},
    "system_packages": {"acl": "2.3.1-3"},
    "environment": {"PATH": "/usr/bin"},
    "platform_paths": [],
    "layers": 10,
    "image_bytes": 1_000_000_000,
    "spark_seconds": {"start": 4.0, "sql": 2.0},
}


def finding(rule: str, outcome: str, subject: str = "") -> dict[str, Any]:
    message = "" if outcome == "pass" else f"what was found: {outcome}"
    return {
        "entry": "acme/ml:1-15.4",
        "rule": rule,
        "name": NAMES.get(rule, "some-rule"),
        "outcome": outcome,
        "subject": subject,
        "message": message,
        "items": [],
    }


def entry(
    outcomes: Mapping[str, str] | None = None,
    *,
    image: str = "acme/ml:1",
    digest: str = "sha256:1f3c",
    inventory: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    findings = [finding(*key_and(each)) for each in (outcomes or {"PY001": "pass"}).items()]
    red = any(each["outcome"] == "fail" for each in findings)
    return {
        "image": image,
        "digest": digest,
        "image_id": digest,
        "runtime": "15.4",
        "runtime_source": "option --dcs-runtime",
        "profile": "python",
        "asked": {},
        "verdict": "NOT releasable" if red else "releasable",
        "lost": "",
        "notes": [],
        "own_failures": 0,
        "own_passes": 0,
        "seconds": {"container": 1.0},
        "findings": findings,
        "inventory": {**copy.deepcopy(INVENTORY), **(inventory or {})},
        **more,
    }


def key_and(item: tuple[str, str]) -> tuple[str, str, str]:
    key, outcome = item
    rule, _, subject = key.partition(" ")
    return rule, outcome, subject


def run(
    *entries: Mapping[str, Any], day: int = 1, plugin: str = "1.0", engine: str = "docker"
) -> dict[str, Any]:
    return {
        "format": 1,
        "plugin": plugin,
        "run": f"run of day {day}",
        "started": f"2027-03-{day:02}T03:00:00+00:00",
        "engine": engine,
        "seen": "outside",
        "entries": [dict(each) for each in entries or (entry(),)],
    }
