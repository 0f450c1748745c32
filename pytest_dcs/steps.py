"""The steps of a launch: one ordered list, each with what it assumes and no source settles."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Assumption:
    """Something that is done in one way although it may be done in another on a node."""

    name: str
    says: str
    without: str
    """What is done instead when it is switched off."""
    needs_container: bool = False
    """Only an engine that makes the container can do it."""


@dataclass(frozen=True)
class Step:
    """One step of a launch."""

    name: str
    title: str
    does: str
    sources: tuple[str, ...]
    optional: bool
    """It can be left out by its own name."""
    assumptions: tuple[Assumption, ...]


@cache
def all_steps() -> tuple[Step, ...]:
    """Return the steps in the order in which a node takes them."""
    text = (resources.files("pytest_dcs") / "steps.toml").read_text(encoding="utf-8")
    return tuple(map(_step, tomllib.loads(text)["step"]))


def assumptions_of(name: str | None) -> tuple[str, ...]:
    """Return the names of what a step assumes, or the name itself if it is an assumption's."""
    for step in all_steps():
        names = tuple(assumption.name for assumption in step.assumptions)
        if name == step.name:
            return names
        if name in names:
            return (name,)
    return ()


def switches() -> tuple[str, ...]:
    """Return the names that `--dcs-without` takes: of optional steps and of assumptions."""
    return tuple(
        name
        for step in all_steps()
        for name in (
            *([step.name] if step.optional else []),
            *(assumption.name for assumption in step.assumptions),
        )
    )


def left_out(switch: str) -> str:
    """Return why something is not done that a name of `--dcs-without` switches off."""
    return f"{switch} is left out by --dcs-without"


def _step(table: dict[str, Any]) -> Step:
    assumptions = tuple(Assumption(**each) for each in table.pop("assumption", []))
    sources = tuple(table.pop("sources"))
    optional = table.pop("optional", False)
    return Step(**table, sources=sources, optional=optional, assumptions=assumptions)
