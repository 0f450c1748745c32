"""What the terminal shows: the header, pytest's own progress, and the verdict at the end."""

from __future__ import annotations

import datetime
import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import local_run, rules, stash, steps
from pytest_dcs.comparison import Comparison
from pytest_dcs.options import NO_ENGINE
from pytest_dcs.report import comparison, gpu, merging, regressions
from pytest_dcs.report.findings import Finding, Judgement, exit_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.report.findings import Outcome, Verdict
    from pytest_dcs.report.nightly import Weigher

TITLE = "Databricks Container Services"
COLOURS: dict[Verdict, dict[str, bool]] = {
    "releasable": {"green": True},
    "NOT releasable": {"red": True},
    "inconclusive": {"yellow": True},
}
COUNTED: dict[Outcome, tuple[str, str]] = {
    "pass": ("rule passes", "rules pass"),
    "fail": ("fails", "fail"),
    "advice": ("advice", "advice"),
    "waived": ("is waived", "are waived"),
    "blocked": ("is blocked", "are blocked"),
    "error": ("could not be checked", "could not be checked"),
    "not-applicable": ("does not apply", "do not apply"),
}
"""What the summary counts, in its order: one and many."""

EMULATED = (
    "this engine's machine is not linux/amd64: it emulates what clusters run, so everything takes "
    "longer and is given the time"
)
STEPS_WIDTH = 90
NO_BREAK = "\N{NO-BREAK SPACE}"
IN_HEADER = ("image", "runtime", "profile")


class Summary:
    """Gathers the findings of all workers and says what they amount to."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.judgements: dict[str, Judgement] = defaultdict(Judgement)
        self.comparisons: dict[str, Comparison] = {}
        """By entry, of those whose facts a check has read."""
        self.parts: dict[str, list[merging.Part]] = {}
        """By entry, what the documents of other runs say of it."""
        self.started = datetime.datetime.now(tz=datetime.timezone.utc)
        self.weigher: Weigher | None = None
        """What holds the judgements against earlier runs, where that was asked for."""
        self.failed_elsewhere = False
        """Whether anything has failed that is about no image."""

    def pytest_report_header(self) -> list[str]:
        """Say what is tested and where each setting came from; asks no engine."""
        settings = vars(self.settings)
        shown = [name for name in IN_HEADER if settings[name].value]
        shown += [
            name
            for name, setting in settings.items()
            if name not in shown and setting.source != "default" and setting.value != ()
        ]
        lines = ["dcs: " + ", ".join(f"{name} {settings[name]}" for name in shown)]
        return [*lines, f"dcs: {local_run.HEADER}"] if self.settings.is_local else lines

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say which image and runtime will be judged, with the digest."""
        plan = self.config.stash.get(stash.PLAN, None)
        lines = [f"dcs: {entry.title}" for entry in plan.entries] if plan else []
        engine = self.config.stash.get(stash.ENGINE, None)
        if engine is not None and engine.emulated:
            lines.append(f"dcs: {EMULATED}")
        entries = plan.entries if plan else ()
        lines += [f"dcs: {line}" for line in gpu.undeclared(entries, self.settings)]
        return lines

    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Give advice a status of its own: it is no failure."""
        plain = getattr(report, "dcs_finding", None)
        if plain is None or plain["outcome"] != "advice":
            return None
        return "advice", "a", ("ADVICE", {"yellow": True})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the finding off a report, wherever it was made."""
        entry: str | None = getattr(report, "dcs_entry", None)
        if entry is None:
            self.failed_elsewhere |= report.failed
            return
        judgement = self.judgements[entry]
        judgement.seconds |= getattr(report, "dcs_seconds", {})
        judgement.notes = getattr(report, "dcs_notes", judgement.notes)
        judgement.inventory |= getattr(report, "dcs_inventory", {})
        compared: dict[str, Any] | None = getattr(report, "dcs_comparison", None)
        if compared is not None:
            self.comparisons[entry] = Comparison.from_plain(compared)
        plain: dict[str, Any] | None = getattr(report, "dcs_finding", None)
        lost: str = getattr(report, "dcs_lost", "")
        if plain is not None:
            finding = Finding.from_plain(plain)
            judgement.findings[finding.key] = finding
        if lost:
            judgement.lost = lost
        elif plain is None:
            judgement.own_failures += report.failed
            judgement.own_passes += report.passed and report.when == "call"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take down that something could not be collected."""
        self.failed_elsewhere |= report.failed

    def judged(self) -> list[tuple[Entry, Judgement]]:
        """Return the entries that something was found out about, in the order of the plan."""
        plan = self.config.stash.get(stash.PLAN, None)
        entries = plan.entries if plan else ()
        return [
            (entry, self.judgements[entry.id]) for entry in entries if entry.id in self.judgements
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the exit status say what the findings say."""
        if hasattr(session.config, "workerinput"):
            return
        current = int(session.exitstatus)
        if self.parts:
            self._merge()
            # What others have judged makes a verdict, whether or not anything was run here.
            current = 0 if current == pytest.ExitCode.NO_TESTS_COLLECTED else current
        if self.weigher is not None:
            self.weigher.weigh()
        session.exitstatus = exit_status(
            current,
            self.judgements.values(),
            fail_on=self.settings.fail_on.value,
            failed_elsewhere=self.failed_elsewhere,
        )

    def _merge(self) -> None:
        strict = self.settings.strict.value
        for entry in self.config.stash[stash.PLAN].entries:
            parts = self.parts.get(entry.id, [])
            if parts:
                merging.merge(self.judgements[entry.id], parts, entry, strict=strict)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the verdict of every image and runtime."""
        judged = self.judged()
        if not judged:
            return
        terminalreporter.section(TITLE, bold=True)
        for entry, judgement in judged:
            verdict = judgement.verdict
            terminalreporter.write_line(f"{entry.title}: {verdict}", **COLOURS[verdict])
            for line in lines_of(judgement, entry, self.settings):
                terminalreporter.write_line(f"  {line}")
            for line in self._standing_lines(judgement):
                terminalreporter.write_line(f"  {line}")
            for line in self._comparison_lines(entry):
                terminalreporter.write_line(f"  {line}")

    def _standing_lines(self, judgement: Judgement) -> Iterator[str]:
        if judgement.standing is not None:
            whole = self.config.getoption("verbose") > 0
            fail_on = self.settings.fail_on.value
            yield from regressions.lines_of(judgement.standing, fail_on, whole=whole)

    def _comparison_lines(self, entry: Entry) -> Iterator[str]:
        compared = self.comparisons.get(entry.id)
        verbosity: int = self.config.getoption("verbose")
        if compared is not None and verbosity >= 0:
            whole = verbosity > 0
            yield from comparison.lines_of(compared, entry.runtime.version, whole=whole)


def lines_of(judgement: Judgement, entry: Entry, settings: Settings) -> Iterator[str]:
    """Yield what is said below a verdict."""
    yield counts(judgement)
    yield from launch_lines(judgement)
    if judgement.lost:
        yield f"stopped {judgement.lost}"
    for finding in judgement.having("error"):
        if finding.headline != judgement.lost:
            yield f"error   {finding.title}: the check broke, not the image: {finding.headline}"
    for finding in judgement.having("fail"):
        yield f"FAIL    {finding.title}: {finding.headline}"
    for finding in judgement.findings.values():
        if finding.differs:
            yield f"differs {finding.rule} {finding.name}: {finding.differs}"
    if judgement.own_failures:
        yield f"FAIL    {judgement.own_failures} of your own tests"
    for finding in judgement.having("advice"):
        yield f"advice  {finding.title}: {finding.headline}"
        yield f"        {first_line(rules.catalogue()[finding.rule].fix)}"
    yield from blocked_lines(judgement.having("blocked"))
    yield from waiver_lines(judgement)
    yield from unproven_lines(judgement, entry, settings)
    kept = {finding.container for finding in judgement.findings.values() if finding.container}
    for name in sorted(kept):
        yield f"kept    docker exec -it {name} bash; remove it with `python -m pytest_dcs sweep`"


def launch_lines(judgement: Judgement) -> Iterator[str]:
    """Yield how long the steps of the launch took, those that ran beside each other among them."""
    taken = [
        f"{step.name}{NO_BREAK}{judgement.seconds[step.name]:.1f}{NO_BREAK}s"
        for step in steps.all_steps()
        if step.name in judgement.seconds
    ]
    for number, line in enumerate(
        textwrap.wrap(", ".join(taken), STEPS_WIDTH, break_on_hyphens=False)
    ):
        yield f"{'launch' if number == 0 else '':<8}{line.replace(NO_BREAK, ' ')}"


def counts(judgement: Judgement) -> str:
    """Return how many rules had which outcome."""
    parts = []
    for outcome, (one, many) in COUNTED.items():
        number = len(judgement.having(outcome))
        if number:
            parts.append(f"{number} {one if number == 1 else many}")
    return ", ".join(parts) or "no rule was run, only own tests"


def blocked_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield what kept which rules from being checked."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        by_reason[finding.headline].append(finding.rule)
    for reason, blocked in by_reason.items():
        yield f"blocked {', '.join(blocked)}: {reason}"


def waiver_lines(judgement: Judgement) -> Iterator[str]:
    """Yield every waiver that took effect, ends soon, or is no longer needed."""
    by_reason: dict[str, list[Finding]] = defaultdict(list)
    for finding in judgement.having("waived"):
        by_reason[finding.message].append(finding)
    for reason, waived in by_reason.items():
        names = [finding.rule if len(waived) > 1 else finding.title for finding in waived]
        yield f"waived  {', '.join(names)}: {reason}"
    for finding in judgement.findings.values():
        if finding.stale_waiver and finding.outcome == "pass":
            yield f"waiver  {finding.title} passes: delete the entry ({finding.stale_waiver})"
        elif finding.stale_waiver:
            yield f"waiver  {finding.title} no longer finds {finding.stale_waiver}: see `only`"
        if finding.ending_waiver:
            yield f"waiver  {finding.title} has ended or soon will ({finding.ending_waiver})"


def unproven_lines(judgement: Judgement, entry: Entry, settings: Settings) -> Iterator[str]:
    """Yield what a reader might think was checked and was not."""
    catalogue = {
        rule.id: rule
        for rule in rules.catalogue().values()
        if rule.family not in rules.REMOTE_FAMILIES
    }
    yield from (f"note    {note}" for note in judgement.notes)
    no_gpu = gpu.untested(judgement, entry)
    if no_gpu:
        yield f"note    {no_gpu}"
    for feature in sorted(entry.features):
        if not any(rule.feature == feature for rule in catalogue.values()):
            yield f"note    no rule looks at {feature} yet"
    judged = {finding.rule for finding in judgement.findings.values()}
    missing = [rule for rule in catalogue.values() if rule.id not in judged]
    if settings.engine.value == NO_ENGINE:
        dynamic = [rule for rule in missing if rule.where != "image"]
        missing = [rule for rule in missing if rule.where == "image"]
        if dynamic:
            count = len(dynamic)
            yield f"note    {count} rules need a container and were not run, see --dcs-engine"
    if judged and not settings.deep.value:
        deep = [rule for rule in missing if rule.probe == rules.DEEP_PROBE]
        missing = [rule for rule in missing if rule.probe != rules.DEEP_PROBE]
        if deep:
            yield f"note    {len(deep)} rules of the deep Spark job were not run, see --dcs-deep"
    if judged and missing:
        yield f"note    {len(missing)} of {len(catalogue)} rules were not selected"
    if entry.guessed:
        yield f"note    the runtime is {entry.runtime_source}, with --dcs-runtime"


def first_line(text: str) -> str:
    """Return a text's first line."""
    return text.partition("\n")[0]
