"""Each stage of an R session has a rule that finds its failure, and no other does."""

from __future__ import annotations

import pytest

from pytest_dcs import r, steps
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken, catalogue
from pytest_dcs.stages import Smoke, Stage
from tests.checking import outcome_of, smoke_with

RULES = {"R001": "r-session", "R002": "r-packages", "R003": "rserve", "R004": "r-install"}

each_stage = pytest.mark.parametrize(("rule_id", "stage"), RULES.items(), ids=RULES)


@each_stage
def test_a_stage_that_failed_is_found_by_its_own_rule(rule_id: str, stage: str) -> None:
    smoke = smoke_with(r.STAGES, stage, "failed", "there is no package called 'htmltools'")
    for other in RULES.keys() - {rule_id}:
        assert outcome_of(other, smoke) == (None, "")
    outcome, message = outcome_of(rule_id, smoke)
    assert outcome is RuleBroken
    assert message.startswith(f"stage {stage}: found there is no package called 'htmltools'")


@each_stage
def test_a_stage_that_was_not_reached_is_blocked(rule_id: str, stage: str) -> None:
    found = outcome_of(rule_id, smoke_with(r.STAGES, stage, "not-run", "R died before"))
    assert found == (Blocked, f"the stage {stage} was not run: R died before")


@each_stage
def test_where_r_is_left_out_no_rule_applies(rule_id: str, stage: str) -> None:
    found = outcome_of(rule_id, r.nothing())
    assert found == (NotApplicable, "r-session is left out by --dcs-without")


@each_stage
def test_an_r_that_does_not_start_has_failed_in_every_stage(rule_id: str, stage: str) -> None:
    detail = "the probe died with status 127 (it was not found)"
    outcome, message = outcome_of(rule_id, Smoke((Stage("start", "failed", detail),), "", {}))
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
