from __future__ import annotations

import pytest

from pytest_dcs.rules import Blocked, catalogue
from tests.checking import check_of, smoke_with

from .fake_host import finding_of

STAGES = {
    "SPK001": "start",
    "SPK002": "sql",
    "SPK003": "shuffle",
    "SPK004": "python-udf",
    "SPK005": "rdd",
    "SPK006": "pandas-udf",
    "SPK007": "to-pandas",
    "SPK008": "parquet",
}

each_stage = pytest.mark.parametrize(("rule_id", "stage"), STAGES.items(), ids=STAGES)


@each_stage
def test_a_stage_that_failed_is_found_by_its_own_rule(rule_id: str, stage: str) -> None:
    smoke = smoke_with(
        STAGES.values(), stage, "failed", "java.lang.UnsatisfiedLinkError: libsnappyjava.so"
    )
    for other in STAGES.keys() - {rule_id}:
        check_of(catalogue()[other])(smoke)
    found = finding_of(check_of(catalogue()[rule_id]), smoke)
    assert found.startswith(f"stage {stage}: found java.lang.UnsatisfiedLinkError")


@each_stage
def test_a_stage_that_was_not_reached_is_blocked(rule_id: str, stage: str) -> None:
    smoke = smoke_with(STAGES.values(), stage, "not-run", "the job has ended")
    with pytest.raises(Blocked, match="the job has ended"):
        check_of(catalogue()[rule_id])(smoke)


def test_there_is_a_rule_for_each_stage() -> None:
    judging = [rule for rule in catalogue().values() if rule.check.startswith("dcs/spark::")]
    assert [rule.id for rule in judging] == [*STAGES]


@each_stage
def test_a_spark_rule_waits_for_the_job(rule_id: str, stage: str) -> None:
    assert catalogue()[rule_id].probe == "dcs_spark_smoke"
