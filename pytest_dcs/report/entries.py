"""What can be told of one entry of a document: what it is about, its outcomes and measurements."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dcs import errors
from pytest_dcs.image import archives
from pytest_dcs.image.reference import Reference, is_image_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SPARK_JOBS = ("spark", "deep")
MEASUREMENTS = "measurements"
RATE = re.compile(r"(gb|gbit|g?flops?|tflops?)_s\b", re.IGNORECASE)
"""How names of measurements end of which more is better, such as `matmul_tflop_s`."""
SECONDS = re.compile(r"(_s|seconds)\b")
"""How names of measured times end."""


class Key(NamedTuple):
    """What two entries have in common that are compared."""

    repository: str
    runtime: str
    profile: str


class Measured(NamedTuple):
    """What an entry took, in seconds, and what it got done, in units of any kind; by name."""

    seconds: dict[str, float]
    rates: dict[str, float]


def key_of(entry: Mapping[str, Any]) -> Key:
    """Return what an entry is about."""
    return Key(repository_of(entry["image"]), entry["runtime"], entry["profile"])


def repository_of(image: str) -> str:
    """Return what the builds of one image have in common: its name without tag and digest."""
    if archives.is_archive(image):
        location = archives.parse(image)
        return f"{location.transport}:{location.path}"
    reference = parsed(image)
    return reference.repository if reference else image


def name_of(image: str) -> str:
    """Return an image's name with all that Docker would fill in."""
    return str(parsed(image) or image)


def parsed(image: str) -> Reference | None:
    """Return the reference of an image; None for one that is not in any repository."""
    if archives.is_archive(image) or is_image_id(image):
        return None
    try:
        return Reference.parse(image)
    except errors.InvalidReference:
        return None


def outcomes_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return the outcomes of an entry's findings by their keys."""
    return {finding_key(finding): finding["outcome"] for finding in entry["findings"]}


def finding_key(finding: Mapping[str, Any]) -> str:
    """Return what tells a plain finding from all others of its entry."""
    return f"{finding['rule']} {finding.get('subject', '')}".strip()


def asked_text(entry: Mapping[str, Any]) -> str:
    """Return what else was asked for, in a form that can be compared."""
    return json.dumps(entry.get("asked", {}), sort_keys=True)


def machine_of(entry: Mapping[str, Any]) -> str:
    """Return what the image ran on, as far as it decides how quick it is; empty: unknown."""
    inventory = entry["inventory"]
    return ", ".join(filter(None, [inventory.get("machine", ""), *inventory.get("gpus", [])]))


def measured_in(entry: Mapping[str, Any]) -> Measured:
    """Return the times of the Spark jobs' stages and what was measured on GPUs."""
    inventory = entry["inventory"]
    seconds = {
        f"{job} {stage}": float(taken)
        for job in SPARK_JOBS
        for stage, taken in inventory.get(f"{job}_seconds", {}).items()
    }
    rates = {}
    for name, value in leaves(inventory.get(MEASUREMENTS, {})):
        if not isinstance(value, (int, float)):
            continue
        if RATE.search(name):
            rates[f"GPU {name}"] = float(value)
        elif SECONDS.search(name):
            seconds[f"GPU {name}"] = float(value)
    return Measured(seconds, rates)


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a tree of objects and lists, each with the path to it."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from leaves(branch, f"{name} {key}".strip())
    elif isinstance(tree, list):
        for number, branch in enumerate(tree):
            yield from leaves(branch, f"{name} {number}".strip())
    else:
        yield name, tree
