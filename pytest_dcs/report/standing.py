"""How a run's findings stand to earlier ones: what is worse, what was known, what is mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dcs.report.drift import Drift
from pytest_dcs.report.entries import finding_key, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_dcs.report.history import Past

RED = frozenset({"fail", "blocked"})
"""Outcomes that are worse than all others, and as bad as each other: one may hide the other."""
FOUND = frozenset({"fail", "advice", "waived"})
"""Outcomes of rules that have found something."""
OWN_TESTS = "your own tests"
NOT_JUDGED = "not judged"


class Change(NamedTuple):
    """A finding that is another one than in the baseline, or as red as there."""

    title: str
    """The rule's id and name, and its subject."""
    before: str
    """The outcome in the baseline, or `not judged`."""
    now: str
    since: str = ""
    """The day of the first of the runs in a row that have found it so; empty: this run's."""


class Flaky(NamedTuple):
    """A finding that came out differently although nothing was different."""

    title: str
    failed: int
    runs: int
    """How many runs have judged it, this one among them."""


@dataclass(frozen=True)
class Standing:
    """What a run is beside a baseline and the history."""

    baseline: str = ""
    """The run that it is compared with, for people; empty: there is none."""
    missing: str = ""
    """Why there is none, where one was asked for."""
    regressions: tuple[Change, ...] = ()
    known: tuple[Change, ...] = ()
    """Red here and in the baseline."""
    fixed: tuple[Change, ...] = ()
    drift: tuple[Drift, ...] = ()
    flaky: tuple[Flaky, ...] = ()


def changes(
    now: Mapping[str, Any], before: Mapping[str, Any], past: Sequence[Past]
) -> tuple[list[Change], list[Change], list[Change]]:
    """Return regressions, known ones and fixed ones.

    `past` are the earlier runs of the same image, the newest first.
    """
    earlier = outcomes_of(before)
    regressions, known, fixed = [], [], []
    for finding in now["findings"]:
        key, outcome = finding_key(finding), finding["outcome"]
        was = earlier.get(key, NOT_JUDGED)
        change = Change(title_of(finding), was, outcome)
        if outcome in RED:
            since = first_day(key, past)
            if was in RED:
                known.append(change._replace(since=since or day_of(before["started"])))
            else:
                regressions.append(change._replace(since=since))
        elif outcome == "pass" and was in FOUND:
            fixed.append(change)
    own = own_tests(now, before)
    if own is not None:
        (regressions if now["own_failures"] > before["own_failures"] else known).append(own)
    return regressions, known, fixed


def own_tests(now: Mapping[str, Any], before: Mapping[str, Any]) -> Change | None:
    """Return how the user's own tests stand, where any fails."""
    if not now["own_failures"]:
        return None
    failed = f"{now['own_failures']} failed"
    return Change(OWN_TESTS, f"{before['own_failures']} failed", failed)


def rule_drift(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[Drift]:
    """Return the rules that are no failure and no longer pass: advice, or nothing was checked."""
    earlier = outcomes_of(before)
    return [
        Drift("rule", title_of(finding), finding["outcome"], "pass")
        for finding in now["findings"]
        if finding["outcome"] in {"advice", "not-applicable"}
        and earlier.get(finding_key(finding)) == "pass"
    ]


def flaky(now: Mapping[str, Any], alike: Iterable[Past]) -> tuple[Flaky, ...]:
    """Return what has both passed and found something in runs that were asked the same."""
    earlier = [past.outcomes for past in alike]
    found = []
    for finding in now["findings"]:
        key = finding_key(finding)
        seen = [finding["outcome"], *(outcomes.get(key, "") for outcomes in earlier)]
        failed = sum(outcome in FOUND for outcome in seen)
        passed = seen.count("pass")
        if failed and passed:
            found.append(Flaky(title_of(finding), failed, failed + passed))
    return tuple(found)


def first_day(key: str, past: Iterable[Past]) -> str:
    """Return the day of the first of the runs in a row, up to now, in which a finding was red.

    Runs that have not judged it say nothing.
    """
    first = ""
    for each in past:
        outcome = each.outcomes.get(key)
        if outcome is None:
            continue
        if outcome not in RED:
            break
        first = day_of(each.started)
    return first


def day_of(started: str) -> str:
    """Return the day of a time as documents write it."""
    return started[:10]


def title_of(finding: Mapping[str, Any]) -> str:
    """Return the rule's id and name, and its subject."""
    return " ".join(filter(None, (finding["rule"], finding["name"], finding.get("subject"))))
