"""What differs between two runs of an image beside their findings: no failure, but worth a line."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pytest_dcs.report.entries import Measured, machine_of, measured_in
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Kind = Literal[
    "rule", "version", "size", "speed", "path", "ENV", "python package", "system package"
]

VERSIONS = ("os", "java", "python", "gpu_driver", "gpu_framework", "nccl")
PACKAGES: dict[Kind, str] = {
    "python package": "python_packages",
    "system package": "system_packages",
}
SIZES = {"image_bytes": "image", "largest_layer_bytes": "largest layer"}
MEGABYTE = 1_000_000


class Drift(NamedTuple):
    """One thing that differs; what either run does not have is empty."""

    kind: Kind
    name: str
    now: str
    before: str


@dataclass(frozen=True)
class Limits:
    """Which differences are told; `drift.toml` explains the fields."""

    percent: float
    bytes: int
    factor: float
    least_runs: int
    most_runs: int
    factor_of_one_run: float
    seconds: float


@dataclass(frozen=True)
class Usual:
    """What good runs on the same engine and machine took, or one of them."""

    measured: Measured
    factor: float
    """How many times as long is worth a line."""


@cache
def limits() -> Limits:
    """Return what the product's own data says."""
    data = read_toml(Path(str(resources.files("pytest_dcs") / "drift.toml")))
    return Limits(**data["size"], **data["speed"])


def drift(
    now: Mapping[str, Any], before: Mapping[str, Any], usual: Usual | None
) -> tuple[Drift, ...]:
    """Return what differs between two entries; what either has not read is not compared."""
    mine, theirs = now["inventory"], before["inventory"]
    both = mine.keys() & theirs.keys()
    rows = [
        Drift("version", name.replace("_", " "), mine[name], theirs[name])
        for name in VERSIONS
        if name in both and mine[name] != theirs[name]
    ]
    rows += size_rows(mine, theirs)
    if usual is not None:
        rows += speed_rows(measured_in(now), usual)
    if "platform_paths" in both:
        rows += path_rows(mine["platform_paths"], theirs["platform_paths"])
    if "environment" in both:
        rows += named_rows("ENV", mine["environment"], theirs["environment"])
    for kind, field in PACKAGES.items():
        if field in both:
            rows += named_rows(kind, mine[field], theirs[field])
    return tuple(rows)


def named_rows(kind: Kind, mine: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Drift]:
    """Yield what has another value, by name."""
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name):
            yield Drift(kind, name, told(mine, name), told(theirs, name))


def told(values: Mapping[str, str], name: str) -> str:
    """Return what is said of a value; one that is there and empty is not one that is missing."""
    return (values[name] or "(empty)") if name in values else ""


def path_rows(mine: Iterable[str], theirs: Iterable[str]) -> Iterator[Drift]:
    """Yield the platform's paths that only one of the images has."""
    here, there = set(mine), set(theirs)
    for path in sorted(here ^ there):
        yield Drift("path", path, "there" if path in here else "", "there" if path in there else "")


def size_rows(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Drift]:
    """Yield the sizes that differ by much."""
    for field, name in SIZES.items():
        now, before = mine.get(field), theirs.get(field)
        if now and before:
            grown = abs(now - before)
            if grown > limits().bytes and grown * 100 > before * limits().percent:
                yield Drift("size", name, megabytes(now), megabytes(before))
    if mine.get("layers") and theirs.get("layers") and mine["layers"] != theirs["layers"]:
        yield Drift("size", "layers", str(mine["layers"]), str(theirs["layers"]))


def megabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / MEGABYTE:.0f} MB"


def speed_rows(now: Measured, usual: Usual) -> Iterator[Drift]:
    """Yield what took much longer than usual, or got much less done."""
    for name, seconds in now.seconds.items():
        before = usual.measured.seconds.get(name)
        if before is None or seconds - before < limits().seconds:
            continue
        if seconds > before * usual.factor:
            yield Drift("speed", name, f"{seconds:.1f} s", f"{before:.1f} s")
    for name, rate in now.rates.items():
        before = usual.measured.rates.get(name)
        if before is not None and rate * usual.factor < before:
            yield Drift("speed", name, f"{rate:.3g}", f"{before:.3g}")


def usual_of(
    now: Mapping[str, Any],
    engine: str,
    before: Mapping[str, Any],
    past: Sequence[Measured],
) -> Usual | None:
    """Return what to hold measurements against; None where nothing ran on the same machine.

    `past` is what good runs on this engine and machine measured.
    """
    if len(past) >= limits().least_runs:
        return Usual(medians(past), limits().factor)
    machine = machine_of(now)
    if not machine or (engine, machine) != (before.get("engine"), machine_of(before)):
        return None
    return Usual(measured_in(before), limits().factor_of_one_run)


def medians(past: Sequence[Measured]) -> Measured:
    """Return the median of each thing that was measured."""
    return Measured(
        median_by_name([each.seconds for each in past]),
        median_by_name([each.rates for each in past]),
    )


def median_by_name(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each name that enough of the tables have."""
    values: dict[str, list[float]] = {}
    for table in tables:
        for name, value in table.items():
            values.setdefault(name, []).append(value)
    return {
        name: statistics.median(some)
        for name, some in values.items()
        if len(some) >= limits().least_runs
    }
