"""A finding is the outcome of a rule for one image and runtime; a verdict is made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_dcs.rules import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dcs.report.standing import Standing

Outcome = Literal["pass", "fail", "advice", "waived", "not-applicable", "blocked", "error"]
Verdict = Literal["releasable", "NOT releasable", "inconclusive"]
FailOn = Literal["failure", "regression", "any"]

INCONCLUSIVE = 75
"""Exit status of a run that could not judge: EX_TEMPFAIL of sysexits.h, try again."""

BROKEN: frozenset[Outcome] = frozenset({"fail", "blocked", "error"})
"""Outcomes that keep the rules which build on this one from being checked."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one rule; plain data, so that it travels on pytest's reports."""

    entry: str
    rule: str
    name: str
    outcome: Outcome
    subject: str = ""
    """What of several things the rule was asked of, for example a file of the user's."""
    message: str = ""
    """What was found and needed, or why nothing was checked."""
    items: tuple[Item, ...] = ()
    stale_waiver: str = ""
    """The text of a waiver that this outcome does not need."""
    ending_waiver: str = ""
    """The text of a waiver that has run out or soon will."""
    container: str = ""
    """The container's name where it is kept."""
    seen: str = ""
    """Where another run has seen it; empty: here."""
    differs: str = ""
    """What this run and others say, where they disagree; the outcome is the worst of all."""

    def to_plain(self) -> dict[str, Any]:
        """Return the finding in types that any report can carry."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Finding:
        """Return the finding that `to_plain` made into plain data."""
        return cls(**{**plain, "items": tuple(Item(**item) for item in plain["items"])})

    @property
    def key(self) -> str:
        """What tells the finding from all others of its entry."""
        return f"{self.rule} {self.subject}".strip()

    @property
    def title(self) -> str:
        """The rule's id and name, its subject, and where it was seen if not here."""
        subject = f" {self.subject}" if self.subject else ""
        return f"{self.rule} {self.name}{subject}{f', {self.seen}' if self.seen else ''}"

    @property
    def headline(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


@dataclass
class Judgement:
    """All findings of one entry, and what the user's own tests said of it."""

    findings: dict[str, Finding] = field(default_factory=dict)
    """By their keys."""
    own_failures: int = 0
    own_passes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step of the launch took."""
    lost: str = ""
    """What kept the run from going on, where it is no fault of the image."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the verdict should know besides."""
    inventory: dict[str, Any] = field(default_factory=dict)
    """What was read off the image, for the document of the run; see `snapshot`."""
    standing: Standing | None = None
    """How it stands to earlier runs, where any was asked for."""

    def having(self, outcome: Outcome) -> list[Finding]:
        """Return the findings with an outcome, by rule id."""
        return [each for _, each in sorted(self.findings.items()) if each.outcome == outcome]

    @property
    def verdict(self) -> Verdict:
        """Whether the image may be released."""
        if self.having("fail") or self.own_failures:
            return "NOT releasable"
        if self.lost or self.having("blocked") or self.having("error"):
            return "inconclusive"
        return "releasable" if self.proved_something else "inconclusive"

    @property
    def proved_something(self) -> bool:
        """Whether anything that could have failed has passed."""
        if self.findings:
            return bool(self.having("pass"))
        return self.own_passes > 0

    def has_baseline(self, fail_on: FailOn) -> bool:
        """Whether a baseline decides what of it makes a run red."""
        return fail_on != "failure" and self.standing is not None and bool(self.standing.baseline)

    def is_red(self, fail_on: FailOn) -> bool:
        """Whether what it has found makes a run red."""
        if self.standing is None or not self.has_baseline(fail_on):
            return self.verdict == "NOT releasable"
        has_changed = fail_on == "any" and bool(self.standing.drift)
        return bool(self.standing.regressions) or has_changed


def exit_status(
    current: int,
    judgements: Iterable[Judgement],
    *,
    fail_on: FailOn = "failure",
    failed_elsewhere: bool = False,
) -> int:
    """Return the exit status of a run: of several, the first of 3, 2, 4, 1, 75, 0.

    Beside a baseline what was red before does not count, unless it `failed_elsewhere`, in tests
    that are about no image.
    """
    if current not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return current
    all_judgements = list(judgements)
    if any(judgement.lost for judgement in all_judgements):
        return pytest.ExitCode.USAGE_ERROR
    failed = current == pytest.ExitCode.TESTS_FAILED and (fail_on == "failure" or failed_elsewhere)
    if failed or any(judgement.is_red(fail_on) for judgement in all_judgements):
        return pytest.ExitCode.TESTS_FAILED
    if any(each.having("blocked") for each in all_judgements if not each.has_baseline(fail_on)):
        return INCONCLUSIVE
    if not all(judgement.proved_something for judgement in all_judgements):
        return pytest.ExitCode.TESTS_FAILED
    return pytest.ExitCode.OK
