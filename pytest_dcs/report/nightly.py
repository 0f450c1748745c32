"""What a run does with the history and the baseline: looks before it begins, adds at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.options import FAIL_ON_FAILURE
from pytest_dcs.report import document
from pytest_dcs.report.baseline import Baseline
from pytest_dcs.report.findings import INCONCLUSIVE
from pytest_dcs.report.history import History
from pytest_dcs.report.standing import Standing

if TYPE_CHECKING:
    from pytest_dcs.options import Settings
    from pytest_dcs.report.terminal import Summary

FINISHED = frozenset(
    {
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.USAGE_ERROR,
        INCONCLUSIVE,
    }
)
"""Exit statuses of runs that came to their end; with 4 an image or an engine was lost."""


class Weigher:
    """Holds each judgement against earlier runs."""

    def __init__(
        self, config: pytest.Config, settings: Settings, summary: Summary, history: History | None
    ) -> None:
        """Raise a `SetupError` for a baseline that nothing is known of."""
        self.config = config
        self.summary = summary
        self.baseline = Baseline(settings, history)

    def weigh(self) -> None:
        """Note how each judgement stands; what kept it from being told stands there instead."""
        run = document.of_run(self.config, self.summary)
        for (_, judgement), entry in zip(self.summary.judged(), run["entries"], strict=True):
            try:
                judgement.standing = self.baseline.standing(entry, run)
            except errors.SetupError as error:
                problem = str(error).partition("\n")[0].removeprefix("dcs: ")
                judgement.standing = Standing(missing=f"no baseline: {problem}")


class Recorder:
    """Adds the run to the history at its end."""

    def __init__(self, config: pytest.Config, history: History, summary: Summary) -> None:
        self.config = config
        self.history = history
        self.summary = summary
        self.lines: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Add it, unless it was not finished: half a run would look better than it is."""
        if not self.summary.judgements:
            return
        if session.exitstatus not in FINISHED or session.shouldstop or session.shouldfail:
            self.lines = ["history: the run did not come to its end and is not added"]
            return
        try:
            self.history.add(document.of_run(self.config, self.summary))
        except errors.HistoryUnusable as error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            self.lines.append(f"ERROR: {error}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why the run was not added."""
        for line in self.lines:
            terminalreporter.write_line(line)


def register(config: pytest.Config, settings: Settings, summary: Summary) -> None:
    """Register what was asked for; raises a `SetupError` for a file that will not do."""
    history = History(Path(settings.history.value)) if settings.history.value else None
    if history is not None:
        history.prepare()
        config.pluginmanager.register(Recorder(config, history, summary), "dcs-history")
    if settings.json.value:
        document.refuse_unwritable(settings.json.value)
        writer = document.Writer(config, settings.json.value, summary)
        config.pluginmanager.register(writer, "dcs-json")
    if history is not None or settings.baseline.value or settings.fail_on.value != FAIL_ON_FAILURE:
        summary.weigher = Weigher(config, settings, summary, history)
