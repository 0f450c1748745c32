"""What the end of a cluster says of the image: by its termination code, never by its type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_dcs.remote.evidence import driver_answers, is_of_driver
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.remote.outcome import Outcome

Kind = Literal[
    "image",
    "pull",
    "init",
    "suspect",
    "configuration",
    "credentials",
    "capacity",
    "infrastructure",
    "ended",
    "unknown",
]
"""What the end of a cluster was about; `termination_codes.toml` says what each means."""

DATA = Path(__file__).with_name("termination_codes.toml")
FORBIDDEN = frozenset({401, 403})
SERVICE_ENDED = "JOB_FINISHED"
"""The code of a job's cluster whose run has ended for whatever reason, such as too little time."""
EXECUTED_AND_FAILED = "FAILED_EXECUTION"
UNFETCHED = frozenset({"FAILED_FETCH", "FUSE_MOUNT_FAILED"})
"""States of init scripts that did not come to run, for a reason outside the image."""
MESSAGES = (
    "databricks_error_message",
    "aws_error_message",
    "azure_error_message",
    "aws_api_error_code",
    "azure_error_code",
    "aws_instance_state_reason",
    "instance_pool_error_code",
)
"""Parameters of a termination reason, first what says most."""


@dataclass(frozen=True)
class Cause:
    """Why a cluster did not start, or has ended before its time."""

    kind: Kind
    code: str
    """As the workspace said it, known or not; empty where it gave none."""
    meaning: str
    message: str = ""
    """The workspace's own words."""
    scripts: tuple[Mapping[str, Any], ...] = ()
    """The init scripts that have failed."""

    def __str__(self) -> str:
        told = self.message or self.meaning
        return f"{self.code}: {told}" if self.code else told


@cache
def codes() -> Mapping[str, tuple[Kind, str]]:
    """Return the kind and the meaning of each termination code that is known."""
    tables = read_toml(DATA)
    return {
        code: (kind, meaning) for kind in get_args(Kind) for code, meaning in tables[kind].items()
    }


def cause_of(outcome: Outcome) -> Cause | None:
    """Return what kept a cluster from serving to the end, None where nothing did."""
    if outcome.refusal is not None:
        return of_refusal(outcome.refusal)
    cause = of_termination(outcome)
    # Every cluster of ours is ended at last, that of a job by the service.
    if cause is not None and cause.kind != "ended":
        return cause
    if outcome.ready or is_failed_work(outcome):
        return None
    trouble = outcome.trouble or "the cluster did not become ready"
    if is_sick(outcome):
        return Cause("suspect", "", f"the driver does not answer ({trouble})")
    if cause is not None and cause.code != SERVICE_ENDED:
        return cause
    return Cause("infrastructure", "", trouble)


def of_refusal(refusal: Mapping[str, Any]) -> Cause:
    """Return what it means that the workspace has refused the order itself."""
    kind: Kind = "credentials" if refusal.get("status") in FORBIDDEN else "configuration"
    meaning = "the workspace does not take the cluster's specification"
    if kind == "credentials":
        meaning = "the workspace does not let you launch this"
    return Cause(kind, str(refusal.get("error_code", "")), meaning, str(refusal.get("message", "")))


def of_termination(outcome: Outcome) -> Cause | None:
    """Return what a cluster's termination reason means, None where it has none."""
    reason = outcome.termination
    if reason is None:
        return None
    code = str(reason.get("code", ""))
    kind, meaning = codes().get(code, ("unknown", "this version does not know the code"))
    message = message_in(reason) or str(outcome.cluster.get("state_message", ""))
    if kind == "init":
        return of_init_scripts(Cause(kind, code, meaning, message), outcome)
    return Cause(kind, code, meaning, message)


def message_in(reason: Mapping[str, Any]) -> str:
    """Return the workspace's own words in a termination reason, empty where it has none."""
    parameters = reason.get("parameters") or {}
    return next((str(parameters[name]) for name in MESSAGES if parameters.get(name)), "")


def of_init_scripts(cause: Cause, outcome: Outcome) -> Cause:
    """Return whether a script has run and failed, could not be had, or nobody says which."""
    failed = tuple(
        script
        for script in outcome.init_scripts
        if script.get("status") in {EXECUTED_AND_FAILED, *UNFETCHED}
    )
    own = tuple(
        script
        for script in failed
        if script.get("status") == EXECUTED_AND_FAILED and not script.get("global")
    )
    if own:
        return Cause("init", cause.code, cause.meaning, cause.message, own)
    if failed:
        names = ", ".join(f"{script.get('script')} ({script.get('status')})" for script in failed)
        return Cause("infrastructure", cause.code, f"not for the image: {names}", "", failed)
    return Cause("suspect", cause.code, cause.meaning, cause.message)


def is_sick(outcome: Outcome) -> bool:
    """Tell whether the driver has come up and then did not answer."""
    return any(map(is_of_driver, outcome.events)) and not driver_answers(outcome.events)


def is_failed_work(outcome: Outcome) -> bool:
    """Tell whether the cluster was there, and what ran on it has failed by itself."""
    state = outcome.run_state.get("state") or {}
    return state.get("life_cycle_state") == "TERMINATED" and state.get("result_state") == "FAILED"
