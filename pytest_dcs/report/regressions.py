"""How an image stands to earlier runs, as lines below its verdict, short or whole."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dcs.report.drift import Drift
    from pytest_dcs.report.findings import FailOn
    from pytest_dcs.report.standing import Change, Standing

NONE = "none"
SHORT = 8
"""How many rows the short table has, and at least one of each kind."""
NAMES = 6
"""How many rules are named that came out alike."""
LONGEST = 40
"""Characters of a value in the table."""
LABEL = 12


def lines_of(standing: Standing, fail_on: FailOn, *, whole: bool) -> Iterator[str]:
    """Yield the lines."""
    for flaky in standing.flaky:
        yield f"flaky   {flaky.title}: {flaky.failed} of {flaky.runs} runs on this digest failed"
    if standing.missing:
        judged = "" if fail_on == "failure" else "; whatever fails makes this run red"
        yield f"note    {standing.missing}{judged}"
    if not standing.baseline:
        return
    yield f"since {standing.baseline}: {counts(standing)}"
    failed, blocked = apart(standing.regressions)
    yield from changes("regression", failed, whole=whole)
    yield from changes("blocked", blocked, whole=whole)
    yield from changes("known", standing.known, whole=whole)
    yield from changes("fixed", standing.fixed, whole=whole)
    yield from table(standing.drift, whole=whole)
    if fail_on != "failure" and standing.known and not standing.regressions:
        yield f"  what was known does not make this run red, with --dcs-fail-on={fail_on}"


def counts(standing: Standing) -> str:
    """Return how much of what there is."""
    failed, blocked = apart(standing.regressions)
    parts = [
        f"{len(some)} {name if len(some) == 1 or not many else many}"
        for some, name, many in (
            (failed, "regression", "regressions"),
            (blocked, "newly blocked", ""),
            (standing.known, "known", ""),
            (standing.fixed, "fixed", ""),
            (standing.drift, "other change", "other changes"),
        )
        if some
    ]
    return ", ".join(parts) or "no change"


def apart(some: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """Return what fails and what cannot be checked any more, which mostly follows from it."""
    failed = [change for change in some if change.now != "blocked"]
    return failed, [change for change in some if change.now == "blocked"]


def changes(label: str, some: Sequence[Change], *, whole: bool) -> Iterator[str]:
    """Yield findings, those that came out alike in one line unless all are wanted."""
    alike: dict[str, list[str]] = defaultdict(list)
    for change in some:
        alike[told(change)].append(change.title)
    for how, titles in alike.items():
        if len(titles) == 1 or whole:
            for title in titles:
                yield f"  {label:<{LABEL}}{title}: {how}"
            continue
        ids = [title.partition(" ")[0] for title in titles]
        rest = f" and {len(ids) - NAMES} more" if len(ids) > NAMES else ""
        yield f"  {label:<{LABEL}}{', '.join(ids[:NAMES])}{rest}: {how}"


def told(change: Change) -> str:
    """Return what has become of a finding."""
    since = f", since {change.since}" if change.since else ""
    if change.before == change.now:
        return f"{change.now}{since}"
    return f"{change.now}{since}, was {change.before}"


def table(rows: Sequence[Drift], *, whole: bool) -> Iterator[str]:
    """Yield what else differs in columns: kind, name, this run, the baseline."""
    shown = rows if whole else first_of_each_kind(rows)
    if not shown:
        return
    kinds = max(len(row.kind) for row in shown)
    names = max(len(row.name) for row in shown)
    middle = max(len(short(row.now)) for row in shown)
    for row in shown:
        now, before = short(row.now), short(row.before)
        yield f"    {row.kind:<{kinds}}  {row.name:<{names}}  {now:<{middle}}  before {before}"
    if len(shown) < len(rows):
        yield f"    and {len(rows) - len(shown)} more: see all with -v"


def first_of_each_kind(rows: Sequence[Drift]) -> list[Drift]:
    """Return as many rows as a short table has, so that no kind is lost among many packages."""
    numbered: dict[str, int] = defaultdict(int)
    places = []
    for place, row in enumerate(rows):
        places.append((numbered[row.kind], place))
        numbered[row.kind] += 1
    chosen = sorted(place for _, place in sorted(places)[:SHORT])
    return [rows[place] for place in chosen]


def short(value: str) -> str:
    """Return a value that fits into a column."""
    if not value:
        return NONE
    line = " ".join(value.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
