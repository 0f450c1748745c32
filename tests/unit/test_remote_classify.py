from __future__ import annotations

from typing import Any, get_args

import pytest
from databricks.sdk.service.compute import TerminationReasonCode

from pytest_dcs import symptoms
from pytest_dcs.remote.classify import Kind, cause_of, codes
from pytest_dcs.remote.outcome import Outcome

OF_FACTS = {
    "SECURITY_AGENTS_FAILED_INITIAL_VERIFICATION",
    "DRIVER_DNS_RESOLUTION_FAILURE",
    "NO_ACTIVATED_K8S",
    "NO_ACTIVATED_K8S_TESTING_TAG",
}
"""Codes of other clients of Databricks that the SDK for Python does not have yet."""
FAULTS: dict[Kind, set[str]] = {
    "image": {"image"},
    "init": {"script"},
    "suspect": {"either", "image"},
    "credentials": {"settings"},
    "capacity": {"platform", "settings"},
}
"""Where `--dcs-explain` must say to look for a code of a kind, if it knows the code."""


def outcome(**changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "cluster_id": "1123-1",
        "job_run_id": None,
        "ready": False,
        "cluster": {},
        "termination": None,
        "events": (),
        "init_scripts": (),
        "log_tail": "",
        "document": None,
        "trouble": "the cluster ended before it was RUNNING",
        "removed": True,
        "seconds": {},
    }
    return Outcome(**{**values, **changes})


def ended(code: str, kind: str = "CLIENT_ERROR", message: str = "", **changes: Any) -> Outcome:
    reason = {"code": code, "type": kind, "parameters": {"databricks_error_message": message}}
    return outcome(termination=reason, **changes)


def test_every_code_of_the_sdk_has_a_kind_and_a_meaning() -> None:
    known = {code.value for code in TerminationReasonCode}
    assert known - codes().keys() == set()
    assert codes().keys() - known == OF_FACTS
    assert all(kind in get_args(Kind) and meaning for kind, meaning in codes().values())


@pytest.mark.parametrize("code", codes())
def test_a_code_is_explained_as_it_is_judged(code: str) -> None:
    kind, symptom = codes()[code][0], symptoms.of_code(code)
    if symptom is not None and kind in FAULTS:
        assert symptom.fault in FAULTS[kind]
    if symptom is not None and symptom.fault == "image":
        assert kind == "image"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("DOCKER_CONTAINER_CREATION_EXCEPTION", "image"),
        ("DOCKER_INVALID_OS_EXCEPTION", "image"),
        ("DOCKER_IMAGE_PULL_FAILURE", "pull"),
        ("SPARK_STARTUP_FAILURE", "suspect"),
        ("IMAGE_PULL_PERMISSION_DENIED", "infrastructure"),
        ("GCP_INSUFFICIENT_CAPACITY", "capacity"),
        ("INVALID_SPARK_IMAGE", "configuration"),
        ("SECRET_PERMISSION_DENIED", "credentials"),
        ("USER_REQUEST", "ended"),
        ("UNKNOWN", "unknown"),
        ("NEVER_SEEN_BEFORE", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_code_decides_and_not_its_type(code: str, kind: str) -> None:
    for given in ("CLIENT_ERROR", "SERVICE_FAULT", "CLOUD_FAILURE", "SUCCESS", "NEW_TYPE"):
        cause = cause_of(ended(code, given))
        assert cause is not None
        assert (cause.kind, cause.code) == (kind, code)


def test_a_cause_says_the_workspaces_own_words() -> None:
    assert str(cause_of(ended("SPARK_ERROR", message="it went wrong"))) == (
        "SPARK_ERROR: it went wrong"
    )
    with_state = ended("SPARK_ERROR", cluster={"state_message": "Spark is down"})
    assert str(cause_of(with_state)) == "SPARK_ERROR: Spark is down"
    assert str(cause_of(ended("SPARK_ERROR"))) == "SPARK_ERROR: Spark did not start, or has ended"


def script(status: str, **more: Any) -> dict[str, Any]:
    return {"script": "/Shared/setup.sh", "status": status, "global": False, **more}


@pytest.mark.parametrize(
    ("scripts", "kind"),
    [
        ((script("SUCCEEDED"), script("FAILED_EXECUTION")), "init"),
        ((script("FAILED_FETCH"), script("FAILED_EXECUTION")), "init"),
        ((script("FAILED_FETCH"), script("NOT_EXECUTED")), "infrastructure"),
        ((script("FUSE_MOUNT_FAILED"),), "infrastructure"),
        ((script("FAILED_EXECUTION", **{"global": True}),), "infrastructure"),
        ((script("NEW_STATUS"),), "suspect"),
        ((), "suspect"),
    ],
)
def test_an_init_script_failure_is_split_by_the_status_of_each(
    scripts: tuple[dict[str, Any], ...], kind: str
) -> None:
    cause = cause_of(ended("INIT_SCRIPT_FAILURE", init_scripts=scripts))
    assert cause is not None
    assert cause.kind == kind


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "configuration"), (403, "credentials"), (401, "credentials")]
)
def test_a_refused_order_is_no_verdict_on_the_image(status: int, kind: str) -> None:
    refusal = {"status": status, "error_code": "PERMISSION_DENIED", "message": "no"}
    cause = cause_of(outcome(refusal=refusal))
    assert cause is not None
    assert (cause.kind, str(cause)) == (kind, "PERMISSION_DENIED: no")


FINISHED = {"code": "JOB_FINISHED", "type": "SUCCESS"}
FAILED = {"state": {"life_cycle_state": "TERMINATED", "result_state": "FAILED"}}
HEALTHY, SILENT = {"type": "DRIVER_HEALTHY"}, {"type": "DRIVER_NOT_RESPONDING"}


def test_a_cluster_that_served_to_the_end_has_no_cause() -> None:
    assert cause_of(outcome(ready=True)) is None
    assert cause_of(outcome(ready=True, termination=FINISHED)) is None
    assert cause_of(outcome(termination=FINISHED, run_state=FAILED)) is None


@pytest.mark.parametrize("termination", [None, FINISHED])
def test_a_driver_that_came_up_and_went_silent_is_suspect(termination: Any) -> None:
    cause = cause_of(outcome(termination=termination, events=(HEALTHY, SILENT)))
    assert cause is not None
    assert cause.kind == "suspect"


def test_a_cluster_that_never_came_up_says_nothing_of_the_image() -> None:
    cause = cause_of(outcome(trouble="the cluster was PENDING at the end of the time for it"))
    assert cause is not None
    assert cause.kind == "infrastructure"
    assert "PENDING" in str(cause)
