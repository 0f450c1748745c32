"""Adopting the gate for an image as it is: whatever fails today gets a waiver with a last day."""

from __future__ import annotations

import datetime
import re
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors, rules, stash, waiver_file, waivers
from pytest_dcs.report.findings import INCONCLUSIVE

if sys.version_info >= (3, 11):
    pass
else:
    pass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_dcs.plan import Entry
    from pytest_dcs.report.findings import Finding, Judgement
    from pytest_dcs.report.terminal import Summary
    from pytest_dcs.waivers import Waiver

DAYS = 30
"""How long an adopted failure is waived."""

TAG_OR_DIGEST = re.compile(r"(?P<name>(?:.*/)?[^/:@]+)(?P<mark>[:@])[^/]+")
PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
GLOB_CHARACTERS = re.compile(r"[*?[]")

FINISHED = frozenset({pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, INCONCLUSIVE})
"""Exit statuses of runs that have judged all that they were asked to."""


class Adopter:
    """Writes the waivers when a run has ended, in the process that has all findings."""

    def __init__(self, config: pytest.Config, path: Path, summary: Summary) -> None:
        self.config = config
        self.path = path
        self.summary = summary
        self.lines: list[str] = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write them, unless the run was not finished."""
        if session.exitstatus not in FINISHED:
            self.lines = ["no waivers were written: the run did not come to its end"]
            return
        today = waivers.today()
        adoption = adopt(self.config.stash[stash.PLAN].entries, self.summary.judgements, today)
        self.lines = [f"left    {line}" for line in adoption.left]
        if not adoption.waivers:
            self.lines.append("no waivers were written: nothing fails that could be waived")
            return
        try:
            waiver_file.append(self.path, waiver_file.document(adoption.waivers, today))
        except errors.WaiversNotWritten as error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            self.lines.append(f"ERROR: {error}")
            return
        self.lines += [f"waived  {told(waiver)}" for waiver in adoption.waivers]
        self.lines.append(f"written to {self.path}: review it and keep it with your Dockerfile")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was written and what was not."""
        terminalreporter.section("waivers", bold=True)
        for line in self.lines:
            terminalreporter.write_line(line)


@dataclass(frozen=True)
class Adoption:
    """What a run's failures come to."""

    waivers: tuple[Waiver, ...]
    """To be written."""
    left: tuple[str, ...]
    """What no waiver is written for, and why."""


def adopt(
    entries: Iterable[Entry], judgements: Mapping[str, Judgement], today: datetime.date
) -> Adoption:
    """Return the waivers for what fails in these judgements and is not waived yet."""
    wanted: dict[Waiver, dict[str, None]] = {}
    left: list[str] = []
    for entry in entries:
        if entry.id not in judgements:
            continue
        judgement = judgements[entry.id]
        for finding in judgement.having("fail"):
            known = waivers.concerning(
                entry.waivers, finding.rule, entry.image.reference, entry.runtime.version
            )
            obstacle = obstacle_of(finding, known, today)
            if obstacle:
                left.append(f"{entry.id} {finding.title}: {obstacle}")
                continue
            subjects = wanted.setdefault(waiver_of(finding, entry, today), {})
            subjects.update(dict.fromkeys(uncovered(finding.items, known, today)))
        left += leftovers(entry, judgement)
    return Adoption(
        waivers=tuple(replace(waiver, only=tuple(subjects)) for waiver, subjects in wanted.items()),
        left=tuple(left),
    )


def is_adoptable(rule: rules.Rule, finding: Finding) -> bool:
    """Tell whether a failure is one that a waiver can cover."""
    return finding.outcome == "fail" and rule.waivable and bool(finding.items)


def obstacle_of(finding: Finding, known: Sequence[Waiver], today: datetime.date) -> str:
    """Return why no waiver is written for a failure, empty where one is."""
    rule = rules.catalogue()[finding.rule]
    if not rule.waivable:
        return "it cannot be waived, without it nothing can be judged"
    if not is_adoptable(rule, finding):
        return "the check itself failed, and a waiver would hide that"
    if [item.subject for item in finding.items] == [waivers.STALE]:
        return "the rule passes, and its waiver is to be deleted"
    ended = [waiver for waiver in known if waiver.until < today]
    if any(waiver.names(item) for waiver in ended for item in finding.items):
        return f"its waiver ended on {ended[0].until}; mend it, or give that waiver another day"
    if any(PASSWORD_IN_URL.search(item.subject) for item in finding.items):
        return "it names a password, which belongs in no file; mend this one first"
    return ""


def uncovered(
    items: Iterable[rules.Item], known: Sequence[Waiver], today: datetime.date
) -> Iterable[str]:
    """Return the subjects that no waiver covers yet."""
    return (
        item.subject for item in items if not any(waiver.covers(item, today) for waiver in known)
    )


def leftovers(entry: Entry, judgement: Judgement) -> Iterable[str]:
    """Yield what else keeps the next run from being green."""
    if judgement.own_failures:
        yield f"{entry.id}: tests of your own are not waived, {judgement.own_failures} of them fail"
    blocked = [finding.rule for finding in judgement.having("blocked")]
    if blocked:
        rest = f" and {len(blocked) - 1} more" if len(blocked) > 1 else ""
        yield f"{entry.id} {blocked[0]}{rest}: blocked rules were not checked and are not waived"


def waiver_of(finding: Finding, entry: Entry, today: datetime.date) -> Waiver:
    """Return the waiver for a failure, its subjects still left out."""
    return waivers.Waiver(
        rule=finding.rule,
        reason=f"adopted {today}",
        until=today + datetime.timedelta(days=DAYS),
        image=glob_of(entry),
        runtime=entry.runtime.version,
    )


def glob_of(entry: Entry) -> str:
    """Return a glob for an image whatever its tag, since each build of it has another one."""
    reference = entry.image.reference
    tagged = None if entry.image.archive else TAG_OR_DIGEST.fullmatch(reference)
    name = reference if tagged is None or tagged["name"] == "sha256" else tagged["name"]
    escaped = GLOB_CHARACTERS.sub(lambda special: f"[{special[0]}]", name)
    return escaped if name == reference or tagged is None else f"{escaped}{tagged['mark']}*"


def told(waiver: Waiver) -> str:
    """Return what the terminal says of a written waiver."""
    rule = rules.catalogue()[waiver.rule]
    return f"{rule} on {waiver.image} {waiver.runtime} until {waiver.until}"
