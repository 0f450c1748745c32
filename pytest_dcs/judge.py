"""How the run of a check becomes a finding: applicability, blocking, waivers, reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import comparison, errors, rules, steps, waivers
from pytest_dcs.adoption import is_adoptable
from pytest_dcs.inventory import Inventory
from pytest_dcs.items import entry_of, rule_of
from pytest_dcs.report.findings import BROKEN, Finding, Outcome
from pytest_dcs.snapshot import Snapshots

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence

    from _pytest._code.code import TerminalRepr  # what a report may carry has no public name

    from pytest_dcs.image import Image
    from pytest_dcs.launch import Launch
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.rules import Rule
    from pytest_dcs.runtimes import Catalogue


LOG_LINES = 40
"""How many lines of a probe's log stand below a failure."""


class Judge:
    """Decides in the process that runs a check; its findings travel on the reports."""

    def __init__(self, settings: Settings, catalogue: Catalogue, *, adopting: bool = False) -> None:
        self.settings = settings
        self.catalogue = catalogue
        self.adopting = adopting
        """Whether waivers are written for what fails."""
        self.outcomes: dict[tuple[str, str], Outcome] = {}
        self.roots: dict[tuple[str, str], str] = {}
        """Of rules that are waived or not checked for that: the one that a waiver names."""
        self.compared: set[str] = set()
        """Entries whose comparison with the official image is on its way."""
        self.snapshots = Snapshots()
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
        refuse_unseen(rule, entry.image, getattr(item, "fixturenames", ()))
        self._refuse_blocked(rule, entry)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Turn a failure that a waiver covers into pytest's own expected failure."""
        try:
            yield
        except rules.RuleBroken as error:
            used = waivers.together(self._waivers_of(item), error.items, waivers.today())
            if not used or item.config.option.runxfail:
                raise
            raise pytest.xfail.Exception(told(used)) from error
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
        report.dcs_comparison = self._comparison(item, entry)  # type: ignore[attr-defined]
        report.dcs_inventory = self._snapshot(item, entry, launch)  # type: ignore[attr-defined]
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, errors.SetupError):
            report.longrepr = str(error)
            self.lost.setdefault(entry.id, str(error).partition("\n")[0])
            report.dcs_lost = self.lost[entry.id]  # type: ignore[attr-defined]
        if rule is None or call.when == "teardown" or (call.when == "setup" and error is None):
            return report
        accepted = self._accepted(rule, entry) if isinstance(error, rules.Blocked) else ""
        if accepted:
            error = pytest.xfail.Exception(accepted)
            report.wasxfail = accepted
        finding = self._find(item, rule, entry, error)
        # What is about to be waived blocks nothing: one run finds all that the next would.
        adopted = self.adopting and is_adoptable(rule, finding)
        self.outcomes[entry.id, rule.id] = "waived" if adopted else finding.outcome
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

    def _accepted(self, rule: Rule, entry: Entry) -> str:
        """Return why a blocked rule needs no waiver: it requires one whose failure is waived."""
        for required in rule.requires:
            if self.outcomes.get((entry.id, required)) == "waived":
                root = self.roots.setdefault((entry.id, required), required)
                self.roots[entry.id, rule.id] = root
                return f"not checked, since {rules.catalogue()[root]} is waived"
        return ""

    def _comparison(self, item: pytest.Item, entry: Entry) -> dict[str, Any] | None:
        """Return the comparison with the official image, once, when a check has read the facts."""
        seen = getattr(item, "funcargs", {}).get("dcs_inventory")
        if entry.id in self.compared or not isinstance(seen, Inventory):
            return None
        self.compared.add(entry.id)
        config = entry.image.config if entry.image.config_known else None
        made = comparison.compare(entry.runtime, config, seen, entry.features)
        return made.to_plain() if made is not None else None

    def _snapshot(self, item: pytest.Item, entry: Entry, launch: Launch | None) -> dict[str, Any]:
        """Return what is new to be kept of the entry, where anything keeps it."""
        if not self.settings.is_kept:
            return {}
        fixtures = getattr(item, "funcargs", {})
        return self.snapshots.more(entry.id, entry.image, fixtures, launch)

    def _refuse_inapplicable(self, rule: Rule, entry: Entry) -> None:
        if rule.feature is not None and rule.feature not in entry.features:
            msg = f"profile {entry.profile} does not declare {rule.feature}"
            raise rules.NotApplicable(msg)
        if rule.step is not None and rule.step in self.settings.without.value:
            raise rules.NotApplicable(steps.left_out(rule.step))
        if rule.need is None:
            return
        needed = self.catalogue.needs[rule.need].of(entry.runtime)
        if not needed:
            reason = "has no need of it" if needed is False else "is not known to need it"
            msg = f"runtime {entry.runtime.version} {reason}"
            raise rules.NotApplicable(msg)

    def _refuse_blocked(self, rule: Rule, entry: Entry) -> None:
        implied = (
            (rules.SHELL_RULE,) if rule.where != "image" and rule.id != rules.SHELL_RULE else ()
        )
        for required in (*implied, *rule.requires):
            if self.outcomes.get((entry.id, required)) in BROKEN:
                msg = f"blocked by {rules.catalogue()[required]}"
                raise rules.Blocked(msg)

    def _refuse_stale_waiver(self, item: pytest.Item) -> None:
        needless = self._waivers_of(item)
        if needless and self.settings.strict.value:
            found = f"the rule passes ({told(needless)})"
            needed = "none: delete the entry, or narrow it by image and runtime"
            raise rules.RuleBroken([rules.Item(waivers.STALE, found, needed)])

    def _waivers_of(self, item: pytest.Item) -> tuple[waivers.Waiver, ...]:
        rule, entry = rule_of(item), entry_of(item)
        if rule is None or entry is None:
            return ()
        return waivers.concerning(
            entry.waivers, rule.id, entry.image.reference, entry.runtime.version
        )

    def _find(
        self, item: pytest.Item, rule: Rule, entry: Entry, error: BaseException | None
    ) -> Finding:
        outcome = self._outcome(rule, error)
        known = self._waivers_of(item)
        ending = tuple(filter(waivers.is_ending, known))
        cause = error.__cause__ if isinstance(error, pytest.xfail.Exception) else error
        items = cause.items if isinstance(cause, rules.RuleBroken) else ()
        launch: Launch | None = getattr(item, "funcargs", {}).get("dcs_launch")
        kept = launch if launch is not None and not launch.failure else None
        return Finding(
            entry=entry.id,
            rule=rule.id,
            name=rule.name,
            outcome=outcome,
            subject=subject_of(item),
            message=str(error or ""),
            items=items,
            stale_waiver=needless_part(known, items, outcome),
            ending_waiver=told(ending) if outcome != "pass" else "",
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
        if not isinstance(error, AssertionError):
            # Nobody asserted anything of the image: what broke is the check, or the way to it.
            return "error"
        lenient = rule.level == "advice" and not self.settings.strict.value
        return "advice" if lenient else "fail"


def refuse_unseen(rule: Rule, image: Image, fixtures: Collection[str]) -> None:
    """Raise `NotApplicable` for a rule about what cannot be seen from where this run stands."""
    if rule.where == "container" and image.seen_from == "node":
        msg = "asked before the platform has been here only"
        raise rules.NotApplicable(msg)
    if rule.where != "image" or image.seen_from == "outside":
        return
    # Who asks for layers is told by their fixture.
    asked = rules.IMAGE_FIXTURE in fixtures and rules.LAYERS_FIXTURE not in fixtures
    if asked and not image.config_known:
        msg = "the image's config is not known here, see --dcs-image-config"
        raise rules.NotApplicable(msg)


def subject_of(item: pytest.Item) -> str:
    """Return the name of the file that a check is about, where it is made once for each of some."""
    callspec = getattr(item, "callspec", None)
    file = callspec.params.get(rules.SMOKE_FILE_FIXTURE) if callspec else None
    return Path(file).name if file else ""


def told(some: Iterable[waivers.Waiver]) -> str:
    """Return what is shown of the waivers that take effect together."""
    return "; ".join(dict.fromkeys(waiver.text for waiver in some))


def needless_part(
    known: Sequence[waivers.Waiver], items: Sequence[rules.Item], outcome: Outcome
) -> str:
    """Return what of the waivers for a rule its outcome did not need."""
    if outcome == "pass":
        return told(known)
    needless = waivers.needless_subjects(known, items) if items else ()
    return ", ".join(map(repr, needless))


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
