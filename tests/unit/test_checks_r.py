"""Each stage of an R session has a rule that finds its failure, and no other does."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import r, steps
from pytest_dcs.rules import Blocked, NotApplicable, Rule, RuleBroken, catalogue
from pytest_dcs.stages import Smoke, Stage

if TYPE_CHECKING:
    from pytest_dcs.stages import Outcome

RULES = {"R001": "r-session", "R002": "r-packages", "R003": "rserve", "R004": "r-install"}

each_stage = pytest.mark.parametrize(("rule_id", "stage"), RULES.items(), ids=RULES)


def check_of(rule: Rule) -> Any:
    module, _, name = rule.check.removeprefix("dcs/").partition("::")
    return getattr(importlib.import_module(f"pytest_dcs.checks.{module}"), name)


def smoke_with(stage: str, outcome: Outcome, detail: str) -> Smoke:
    stages = {name: Stage(name, "passed") for name in r.STAGES}
    stages[stage] = Stage(stage, outcome, detail)
    return Smoke(tuple(stages.values()), log="", facts={})


def judged(rule_id: str, smoke: Smoke) -> tuple[type[Exception] | None, str]:
    """Return what the rule's check raises; two of these would else skip the test itself."""
    try:
        check_of(catalogue()[rule_id])(smoke)
    except (RuleBroken, Blocked, NotApplicable) as error:
        return type(error), str(error)
    return None, ""


@each_stage
def test_a_stage_that_failed_is_found_by_its_own_rule(rule_id: str, stage: str) -> None:
    smoke = smoke_with(stage, "failed", "there is no package called 'htmltools'")
    for other in RULES.keys() - {rule_id}:
        assert judged(other, smoke) == (None, "")
    outcome, message = judged(rule_id, smoke)
    assert outcome is RuleBroken
    assert message.startswith(f"stage {stage}: found there is no package called 'htmltools'")


@each_stage
def test_a_stage_that_was_not_reached_is_blocked(rule_id: str, stage: str) -> None:
    found = judged(rule_id, smoke_with(stage, "not-run", "R died before"))
    assert found == (Blocked, f"the stage {stage} was not run: R died before")


@each_stage
def test_where_r_is_left_out_no_rule_applies(rule_id: str, stage: str) -> None:
    found = judged(rule_id, r.nothing())
    assert found == (NotApplicable, "r-session is left out by --dcs-without")


@each_stage
def test_an_r_that_does_not_start_has_failed_in_every_stage(rule_id: str, stage: str) -> None:
    detail = "the probe died with status 127 (it was not found)"
    outcome, message = judged(rule_id, Smoke((Stage("start", "failed", detail),), "", {}))
    assert outcome is RuleBroken
    assert detail in message


def test_there_is_a_rule_for_each_stage() -> None:
    assert list(RULES.values()) == list(r.STAGES)
    assert list(RULES) == [rule.id for rule in catalogue().values() if rule.family == "R"]


@pytest.mark.parametrize("rule_id", RULES)
def test_a_rule_is_asked_of_r_images_and_waits_for_the_session(rule_id: str) -> None:
    rule = catalogue()[rule_id]
    assert (rule.feature, rule.probe) == ("r", "dcs_r_smoke")
    assert rule.step in steps.switches()


@pytest.mark.parametrize("rule_id", [*RULES][1:])
def test_where_r_does_not_start_that_is_the_only_finding(rule_id: str) -> None:
    assert "R001" in catalogue()[rule_id].requires
