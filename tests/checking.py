"""Checks called without a run of pytest, with what a test hands to them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_dcs.rules import Blocked, NotApplicable, Rule, RuleBroken, catalogue
from pytest_dcs.stages import Smoke, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_dcs.stages import Outcome


def check_of(rule: Rule) -> Any:
    """Return the function that checks a rule."""
    module, _, name = rule.check.removeprefix("dcs/").partition("::")
    return getattr(importlib.import_module(f"pytest_dcs.checks.{module}"), name)


def outcome_of(rule_id: str, smoke: Smoke) -> tuple[type[Exception] | None, str]:
    """Return what a check about a probe raises; two of these would else skip the test itself."""
    try:
        check_of(catalogue()[rule_id])(smoke)
    except (RuleBroken, Blocked, NotApplicable) as error:
        return type(error), str(error)
    return None, ""


def smoke_with(
    stages: Iterable[str], stage: str, outcome: Outcome, detail: str = "", **facts: object
) -> Smoke:
    """Return what a probe found whose stages have passed but for one."""
    found = {name: Stage(name, "passed") for name in stages}
    found[stage] = Stage(stage, outcome, detail)
    return Smoke(tuple(found.values()), log="", facts=facts)
