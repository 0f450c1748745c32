"""Each stage of a notebook has a rule that finds its failure, and no other does."""

from __future__ import annotations

import pytest

from pytest_dcs import steps
from pytest_dcs.notebook import SERVER_STAGES, STAGES
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken, catalogue
from pytest_dcs.stages import Smoke, Stage
from tests.checking import check_of, outcome_of, smoke_with

NOTEBOOK = {
    "PY004": "cluster-libraries",
    "PY013": "library-install",
    "NB001": "notebook-environment",
    "NB002": "notebook-user",
    "NB003": "kernel",
    "NB004": "cell",
    "NB005": "display",
    "NB006": "picture",
    "NB007": "completion",
    "NB008": "inspection",
    "NB009": "exception",
    "NB010": "interrupt",
    "NB011": "pip-magic",
    "NB012": "notebook-spark",
}
LANGUAGE_SERVER = {"NB013": "language-server", "NB014": "lsp-completion"}
RULES = {**NOTEBOOK, **LANGUAGE_SERVER}
ALL_STAGES = (*STAGES, *SERVER_STAGES)

each_stage = pytest.mark.parametrize(("rule_id", "stage"), RULES.items(), ids=RULES)


@each_stage
def test_a_stage_that_failed_is_found_by_its_own_rule(rule_id: str, stage: str) -> None:
    smoke = smoke_with(ALL_STAGES, stage, "failed", "sudo: a password is required")
    for other in RULES.keys() - {rule_id}:
        assert outcome_of(other, smoke) == (None, "")
    outcome, message = outcome_of(rule_id, smoke)
    assert outcome is RuleBroken
    assert message.startswith(f"stage {stage}: found sudo: a password is required; needed ")


def test_an_explanation_that_failed_is_found_too() -> None:
    smoke = smoke_with(ALL_STAGES, "lsp-hover", "failed", "json.dumps is explained by nothing")
    outcome, message = outcome_of("NB014", smoke)
    assert outcome is RuleBroken
    assert message.startswith("stage lsp-hover: found json.dumps is explained by nothing")


@each_stage
def test_a_stage_that_was_not_reached_is_blocked(rule_id: str, stage: str) -> None:
    reason = "the kernel was not running any more"
    found = outcome_of(rule_id, smoke_with(ALL_STAGES, stage, "not-run", reason))
    assert found == (Blocked, f"the stage {stage} was not run: {reason}")


@each_stage
def test_a_stage_that_was_left_out_is_not_applicable(rule_id: str, stage: str) -> None:
    reason = "stock-kernel is left out by --dcs-without"
    found = outcome_of(rule_id, smoke_with(ALL_STAGES, stage, "not-run", reason, left_out=[stage]))
    assert found == (NotApplicable, reason)


@each_stage
def test_a_probe_that_did_not_start_has_failed_in_every_stage(rule_id: str, stage: str) -> None:
    detail = "the probe died with status 127 (it was not found)"
    outcome, message = outcome_of(rule_id, Smoke((Stage("start", "failed", detail),), "", {}))
    assert outcome is RuleBroken
    assert detail in message


def test_there_is_a_rule_for_each_stage() -> None:
    assert list(NOTEBOOK.values()) == [*STAGES]
    assert {*LANGUAGE_SERVER.values(), "lsp-hover"} == {*SERVER_STAGES}
    judged = [rule.id for rule in catalogue().values() if rule.family == "NB"]
    assert judged == [rule_id for rule_id in RULES if rule_id.startswith("NB")]


@each_stage
def test_a_rule_judges_a_step_that_can_be_left_out(rule_id: str, stage: str) -> None:
    assert catalogue()[rule_id].step in steps.switches()


@pytest.mark.parametrize("rule_id", NOTEBOOK)
def test_a_rule_is_asked_of_the_images_that_its_stage_is_asked_of(rule_id: str) -> None:
    rule, asked = catalogue()[rule_id], STAGES[NOTEBOOK[rule_id]]
    assert (rule.feature, rule.need) == (asked.feature, asked.need)
    assert rule.step in asked.switches


@pytest.mark.parametrize("rule_id", NOTEBOOK)
def test_a_notebook_rule_waits_for_the_notebook(rule_id: str) -> None:
    assert catalogue()[rule_id].probe == "dcs_notebook_smoke"


def test_spark_in_a_notebook_waits_for_the_job_too() -> None:
    marks = check_of(catalogue()["NB012"]).pytestmark
    assert "dcs_spark_smoke" in {name for mark in marks for name in mark.args}
