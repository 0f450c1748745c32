"""How the run of a check becomes a finding: applicability, blocking, waivers, reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors, rules, steps, waivers
from pytest_dcs.items import entry_of, rule_of
from pytest_dcs.report.findings import BROKEN, Finding, Outcome

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest._code.code import TerminalRepr  # what a report may carry has no public name

    from pytest_dcs.launch import Launch
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.rules import Rule
    from pytest_dcs.runtimes import Catalogue


LOG_LINES = 40
"""How many lines of a probe's log stand below a failure."""


class Judge:
    """Decides in the process that runs a check; its findings travel on the reports."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.lost: dict[str, str] = {}
        """Why an entry can be judged no further."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip what asks nothing of this image, and what another finding has settled."""
        rule, entry = rule_of(item), entry_of(item)
        if entry is not None and entry.id in self.lost:
            raise rules.Blocked(self.lost[entry.id])
        if rule is None or entry is None:
            return
        self._refuse_inapplicable(rule, entry)
        self._refuse_blocked(rule, entry)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Turn a failure that a waiver covers into pytest's own expected failure."""
        try:
            yield
        except rules.RuleBroken as error:
            waiver = self._waiver_of(item)
            if waiver is None or not waiver.covers(error.items, waivers.today()):
                raise
            if item.config.option.runxfail:
                raise
            raise pytest.xfail.Exception(waiver.text) from error
        self._refuse_stale_waiver(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the finding on the report and say it in the words of the rule."""
        report = yield
        rule, entry = rule_of(item), entry_of(item)
        if entry is None:
            return report
        report.dcs_entry = entry.id  # type: ignore[attr-defined]
        launch: Launch | None = getattr(item, "funcargs", {}).get("dcs_launch")
        report.dcs_seconds = dict(launch.seconds) if launch else {}  # type: ignore[attr-defined]
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, errors.SetupError):
            report.longrepr = str(error)
            self.lost.setdefault(entry.id, str(error).partition("\n")[0])
            report.dcs_lost = self.lost[entry.id]  # type: ignore[attr-defined]
        if rule is None or call.when == "teardown" or (call.when == "setup" and error is None):
            return report
        finding = self._find(item, rule, entry, error)
        self.outcomes[entry.id, rule.id] = finding.outcome
        report.dcs_finding = finding.to_plain()  # type: ignore[attr-defined]
        item.user_properties += properties(finding, entry)
        report.user_properties = list(item.user_properties)
        if isinstance(error, AssertionError) and call.excinfo is not None:
            report.sections.append((str(rule), guidance(rule)))
            report.sections += probe_log(item, rule)
            if item.config.getoption("tbstyle") == "auto":
                report.longrepr = finding_only(call.excinfo)
        if isinstance(error, (rules.NotApplicable, rules.Blocked)) and call.excinfo is not None:
            path, line = call.excinfo.traceback[-1].path, call.excinfo.traceback[-1].lineno
            report.longrepr = (str(path), line + 1, f"Skipped: {error}")
        if finding.outcome == "advice":
            report.outcome, report.longrepr = "passed", None
        return report

    def _refuse_inapplicable(self, rule: Rule, entry: Entry) -> None:
        if rule.feature is not None and rule.feature not in entry.features:
            msg = f"profile {entry.profile} does not declare {rule.feature}"
            raise rules.NotApplicable(msg)
        if rule.step is not None and rule.step in self.settings.without.value:
            msg = f"{rule.step} is left out by --dcs-without"
            raise rules.NotApplicable(msg)
        if rule.need is None:
            return
        needed = self.catalogue.needs[rule.need].of(entry.runtime)
        if not needed:
            reason = "has no need of it" if needed is False else "is not known to need it"
            msg = f"runtime {entry.runtime.version} {reason}"
            raise rules.NotApplicable(msg)

    def _refuse_blocked(self, rule: Rule, entry: Entry) -> None:
        implied = (
            (rules.SHELL_RULE,) if rule.where == "container" and rule.id != rules.SHELL_RULE else ()
        )
        for required in (*implied, *rule.requires):
            if self.outcomes.get((entry.id, required)) in BROKEN:
                msg = f"blocked by {rules.catalogue()[required]}"
                raise rules.Blocked(msg)

    def _refuse_stale_waiver(self, item: pytest.Item) -> None:
        waiver = self._waiver_of(item)
        if waiver is not None and self.settings.strict.value:
            found = f"the rule passes ({waiver.text})"
            raise rules.RuleBroken([rules.Item("waiver", found, "no waiver: delete the entry")])

    def _waiver_of(self, item: pytest.Item) -> waivers.Waiver | None:
        rule, entry = rule_of(item), entry_of(item)
        if rule is None or entry is None:
            return None
        return next(
            (
                waiver
                for waiver in entry.waivers
                if waiver.concerns(rule.id, entry.image.reference, entry.runtime.version)
            ),
            None,
        )

    def _find(
        self, item: pytest.Item, rule: Rule, entry: Entry, error: BaseException | None
    ) -> Finding:
        outcome = self._outcome(rule, error)
        waiver = self._waiver_of(item)
        ending = waiver if waiver is not None and waivers.is_ending(waiver) else None
        cause = error.__cause__ if isinstance(error, pytest.xfail.Exception) else error
        launch: Launch | None = getattr(item, "funcargs", {}).get("dcs_launch")
        kept = launch if launch is not None and not launch.failure else None
        return Finding(
            entry=entry.id,
            rule=rule.id,
            name=rule.name,
            outcome=outcome,
            subject=subject_of(item),
            message=str(error or ""),
            items=cause.items if isinstance(cause, rules.RuleBroken) else (),
            stale_waiver=waiver.text if waiver is not None and outcome == "pass" else "",
            ending_waiver=ending.text if ending is not None and outcome != "pass" else "",
            container=kept.container.name if kept and self.settings.keep.value else "",
        )

    def _outcome(self, rule: Rule, error: BaseException | None) -> Outcome:
        if error is None:
            return "pass"
        if isinstance(error, pytest.xfail.Exception):
            return "waived"
        if isinstance(error, rules.Blocked):
            return "blocked"
        if isinstance(error, pytest.skip.Exception):
            return "not-applicable"
        if isinstance(error, errors.SetupError):
            return "error"
        lenient = rule.level == "advice" and not self.settings.strict.value
        return "advice" if lenient and isinstance(error, AssertionError) else "fail"


def subject_of(item: pytest.Item) -> str:
    """Return the name of the file that a check is about, where it is made once for each of some."""
    callspec = getattr(item, "callspec", None)
    file = callspec.params.get(rules.SMOKE_FILE_FIXTURE) if callspec else None
    return Path(file).name if file else ""


def finding_only(failure: pytest.ExceptionInfo[BaseException]) -> TerminalRepr:
    """Return a failure as the author of a Dockerfile reads it: no Python, no exception's name."""
    shown = failure.getrepr(style="value")
    if shown.reprcrash is not None:
        shown.reprcrash.message = str(failure.value)
    return shown


def properties(finding: Finding, entry: Entry) -> list[tuple[str, object]]:
    """Return what JUnit files carry of a finding."""
    return [
        ("dcs_rule", finding.rule),
        ("dcs_outcome", finding.outcome),
        ("dcs_found", finding.message),
        ("dcs_image", entry.image.reference),
        ("dcs_digest", entry.image.released_as),
        ("dcs_runtime", entry.runtime.version),
    ]


def guidance(rule: Rule) -> str:
    """Return what stands below a failure: why it matters, what to do, where to read."""
    docs = "\n      ".join(rule.sources)
    text = f"why   {indent(rule.why)}\nfix   {indent(rule.fix)}\ndocs  {docs}"
    assumed = ", ".join(steps.assumptions_of(rule.step))
    if assumed:
        text += f"\nnote  this step of the launch assumes {assumed}: see --dcs-explain launch"
    return text


def probe_log(item: pytest.Item, rule: Rule) -> list[tuple[str, str]]:
    """Return the end of what the rule's probe logged, as sections of a report."""
    found = getattr(item, "funcargs", {}).get(rule.probe)
    lines = getattr(found, "log", "").splitlines()[-LOG_LINES:]
    title = f"end of the log behind {rule.probe}"
    return [(title, "\n".join(lines))] if lines else []


def indent(text: str) -> str:
    """Return a text whose further lines stand below its first."""
    return text.replace("\n", "\n      ")
