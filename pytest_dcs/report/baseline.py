"""The earlier run that a run is compared with: looked up in the history, or read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs import errors
from pytest_dcs.options import FAIL_ON_FAILURE, LAST
from pytest_dcs.report import document, standing
from pytest_dcs.report.drift import drift, limits, usual_of
from pytest_dcs.report.entries import key_of, machine_of, outcomes_of
from pytest_dcs.report.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dcs.options import Settings
    from pytest_dcs.report.history import History, Past

CANDIDATES = 50
"""How many good runs are looked at for the one that has judged the most of the same rules."""
PAST = 1000
"""How many earlier runs tell since when something fails: nearly three years of nights."""
ALIKE = 50
"""How many runs of one digest tell what is flaky."""


class Baseline:
    """What the user named: `last`, an image, a file, or nothing."""

    def __init__(self, settings: Settings, history: History | None) -> None:
        """Look up what was named; raises a `SetupError` where nothing is known of it."""
        self.named = settings.baseline.value
        self.history = history
        self.document: dict[str, Any] | None = None
        if not self.named:
            if settings.fail_on.value != FAIL_ON_FAILURE:
                raise errors.BaselineNeeded(settings.fail_on.source, settings.fail_on.value)
        elif self.is_file:
            self.document = document.read(Path(self.named))
        elif history is None:
            raise errors.NoBaseline(self.named, "there is no --dcs-history to look it up in")
        elif self.named != LAST and not history.has_good_run_of(self.named):
            problem = f"{history.path} has no releasable run of that image"
            raise errors.NoBaseline(self.named, problem)

    @property
    def is_file(self) -> bool:
        """Whether a file was named: its path is absolute, which no image is."""
        return Path(self.named).is_absolute()

    def standing(self, entry: Mapping[str, Any], run: Mapping[str, Any]) -> Standing:
        """Return how an entry of a run's document stands to what was named."""
        alike = self.history.runs_alike(entry, run, ALIKE) if self.history is not None else []
        flaky = standing.flaky(entry, alike)
        if not self.named:
            return Standing(flaky=flaky)
        before = self._find(entry)
        if before is None:
            return Standing(missing=self._why_missing(entry), flaky=flaky)
        past = self.history.runs(key_of(entry), PAST) if self.history is not None else []
        regressions, known, fixed = standing.changes(entry, before, past)
        return Standing(
            baseline=title_of(before),
            regressions=tuple(regressions),
            known=tuple(known),
            fixed=tuple(fixed),
            drift=(*standing.rule_drift(entry, before), *self._drift(entry, run, before)),
            flaky=flaky,
        )

    def _drift(
        self, entry: Mapping[str, Any], run: Mapping[str, Any], before: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        past = (
            self.history.measured(
                key_of(entry), run["engine"], machine_of(entry), limits().most_runs
            )
            if self.history is not None and machine_of(entry)
            else []
        )
        return drift(entry, before, usual_of(entry, run["engine"], before, past))

    def _find(self, entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self.document is not None:
            return find(self.document, entry)
        if self.history is None:
            return None
        if self.named == LAST:
            past = self.history.good_runs(key_of(entry), CANDIDATES)
        else:
            past = self.history.good_runs_of(
                self.named, entry["runtime"], entry["profile"], CANDIDATES
            )
        chosen = closest(past, entry)
        return None if chosen is None else self.history.entry(chosen.id)

    def _why_missing(self, entry: Mapping[str, Any]) -> str:
        wanted = f"{entry['profile']} on {entry['runtime']}"
        if self.document is not None:
            return f"{Path(self.named).name} has no run of {key_of(entry).repository} for {wanted}"
        if self.named != LAST:
            return f"the history has no releasable run of {self.named} for {wanted}"
        runs = len(self.history.runs(key_of(entry), PAST)) if self.history is not None else 0
        if not runs:
            return "no baseline yet: this is the first run in the history"
        return f"no baseline yet: none of the {runs} earlier runs in the history was releasable"


def closest(past: Sequence[Past], entry: Mapping[str, Any]) -> Past | None:
    """Return the run that has judged the most of the same rules, the newest of several.

    A run of a few selected rules is no measure for one of all.
    """
    keys = outcomes_of(entry).keys()
    return max(past, key=lambda each: len(keys & each.outcomes.keys()), default=None)


def find(found: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a document's entry of the same image on the same runtime, else its only one."""
    entries = found["entries"]
    same = [each for each in entries if key_of(each) == key_of(entry)]
    chosen = next(iter(same), entries[0] if len(entries) == 1 else None)
    if chosen is None:
        return None
    return {**chosen, "started": found["started"], "engine": found["engine"]}


def title_of(before: Mapping[str, Any]) -> str:
    """Return a baseline for people."""
    when = before["started"][:16].replace("T", " ")
    return f"{before['image']} ({before['digest'][:19]}) of {when} UTC"
