"""A run beside an earlier one: what is worse, what was known, what has drifted, what is flaky."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors
from pytest_dcs.options import Sourced
from pytest_dcs.report import document, regressions
from pytest_dcs.report.baseline import Baseline
from pytest_dcs.report.drift import Drift
from pytest_dcs.report.entries import repository_of
from pytest_dcs.report.findings import INCONCLUSIVE, Finding, Judgement, exit_status
from pytest_dcs.report.history import History
from pytest_dcs.report.standing import Change, Flaky, Standing

from . import runs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dcs.options import Settings

GOOD = {"PY001": "pass", "JVM001": "pass", "NB003": "advice"}


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "history.db")
    made.prepare()
    return made


def settings_with(named: str, fail_on: str = "failure") -> Settings:
    settings: Any = SimpleNamespace(
        baseline=Sourced(named, "option --dcs-baseline"),
        fail_on=Sourced(fail_on, "option --dcs-fail-on"),
    )
    checked: Settings = settings
    return checked


def standing(
    history: History | None, entry: Mapping[str, Any], named: str = "last", day: int = 20
) -> Standing:
    run = runs.run(entry, day=day)
    return Baseline(settings_with(named), history).standing(entry, run)


def titles(changes: tuple[Change, ...]) -> list[str]:
    return [change.title for change in changes]


def test_the_first_run_has_no_baseline(history: History) -> None:
    made = standing(history, runs.entry(GOOD))
    assert made == Standing(missing="no baseline yet: this is the first run in the history")


def test_without_a_releasable_run_there_is_no_baseline(history: History) -> None:
    history.add(runs.run(runs.entry({"PY001": "fail"})))
    made = standing(history, runs.entry(GOOD))
    assert made.missing == (
        "no baseline yet: none of the 1 earlier runs in the history was releasable"
    )


def test_a_run_like_the_last_one_has_changed_nothing(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD), day=5))
    made = standing(history, runs.entry(GOOD))
    assert made == Standing(baseline="acme/ml:1 (sha256:1f3c) of 2027-03-05 03:00 UTC")


@pytest.mark.parametrize("before", ["pass", "advice", "not-applicable", "waived"])
@pytest.mark.parametrize("now", ["fail", "blocked"])
def test_what_is_red_now_and_was_not_is_a_regression(
    history: History, before: str, now: str
) -> None:
    history.add(runs.run(runs.entry({**GOOD, "SYS004": before})))
    made = standing(history, runs.entry({**GOOD, "SYS004": now}))
    assert made.regressions == (Change("SYS004 some-rule", before, now),)
    assert (made.known, made.fixed, made.drift) == ((), (), ())


def test_a_new_rule_that_fails_is_a_regression_too(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD)))
    made = standing(history, runs.entry({**GOOD, "SYS004": "fail"}))
    assert made.regressions == (Change("SYS004 some-rule", "not judged", "fail"),)


def test_a_regression_says_since_when_it_is_there(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD), day=1))
    red = runs.entry({**GOOD, "PY001": "fail"})
    for day in (2, 4):
        history.add(runs.run(red, day=day))
    history.add(runs.run(runs.entry({"JVM001": "pass", "IMG001": "fail"}), day=5))
    (change,) = standing(history, red).regressions
    assert (change.before, change.since) == ("pass", "2027-03-02")


def test_what_was_red_in_the_baseline_is_known(tmp_path: Path, history: History) -> None:
    red = runs.entry({**GOOD, "PY001": "fail"})
    path = tmp_path / "known.json"
    document.write(str(path), runs.run(red, day=7))
    made = standing(None, runs.entry({**GOOD, "PY001": "blocked", "JVM001": "fail"}), str(path))
    assert titles(made.regressions) == ["JVM001 java-answers"]
    assert made.known == (Change("PY001 python-answers", "fail", "blocked", "2027-03-07"),)
    history.add(runs.run(red, day=3))
    (known,) = standing(history, red, str(path)).known
    assert known.since == "2027-03-03"


def test_what_is_mended_is_told(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    document.write(str(path), runs.run(runs.entry({"PY001": "fail", "JVM001": "blocked"})))
    made = standing(None, runs.entry({"PY001": "pass", "JVM001": "pass"}), str(path))
    assert titles(made.fixed) == ["PY001 python-answers"]
    assert not made.regressions


@pytest.mark.parametrize(
    ("here", "there", "worse", "known"), [(2, 1, 1, 0), (2, 2, 0, 1), (1, 2, 0, 1), (0, 2, 0, 0)]
)
def test_own_tests_are_counted(
    tmp_path: Path, here: int, there: int, worse: int, known: int
) -> None:
    path = tmp_path / "known.json"
    document.write(str(path), runs.run(runs.entry(GOOD, own_failures=there)))
    made = standing(None, runs.entry(GOOD, own_failures=here), str(path))
    assert (len(made.regressions), len(made.known)) == (worse, known)


def test_advice_and_what_is_no_longer_checked_is_drift(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD)))
    made = standing(history, runs.entry({"PY001": "advice", "JVM001": "not-applicable"}))
    assert made.drift == (
        Drift("rule", "PY001 python-answers", "advice", "pass"),
        Drift("rule", "JVM001 java-answers", "not-applicable", "pass"),
    )
    assert not made.regressions


def test_a_run_of_few_rules_is_no_baseline_for_one_of_all(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD), day=1))
    history.add(runs.run(runs.entry({"PY001": "pass"}), day=2))
    made = standing(history, runs.entry({**GOOD, "JVM001": "fail"}))
    assert made.baseline.endswith("of 2027-03-01 03:00 UTC")
    assert [change.before for change in made.regressions] == ["pass"]


def test_another_image_can_be_the_baseline(history: History) -> None:
    history.add(runs.run(runs.entry(GOOD, image="acme/base:7"), day=1))
    history.add(runs.run(runs.entry(GOOD, image="acme/base:8"), day=2))
    made = standing(history, runs.entry({**GOOD, "PY001": "fail"}), "acme/base:7")
    assert made.baseline == "acme/base:7 (sha256:1f3c) of 2027-03-01 03:00 UTC"
    other = {**runs.entry(GOOD), "runtime": "16.4"}
    assert standing(history, other, "acme/base:7").missing == (
        "the history has no releasable run of acme/base:7 for python on 16.4"
    )


def test_the_only_entry_of_a_file_is_the_baseline_of_any_image(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    document.write(str(path), runs.run(runs.entry(image="acme/base:1")))
    assert standing(None, runs.entry(), str(path)).baseline.startswith("acme/base:1")
    two = runs.run(runs.entry(image="acme/base:1"), runs.entry(image="acme/base2:1"))
    document.write(str(path), two)
    assert standing(None, runs.entry(), str(path)).missing == (
        "two.json has no run of docker.io/acme/ml for python on 15.4"
    )


def test_what_cannot_be_looked_up_stops_the_run(tmp_path: Path, history: History) -> None:
    for named in ("last", "acme/base:7"):
        with pytest.raises(errors.NoBaseline, match="no --dcs-history"):
            Baseline(settings_with(named), None)
    with pytest.raises(errors.NoBaseline, match="has no releasable run of that image"):
        Baseline(settings_with("acme/base:7"), history)
    with pytest.raises(errors.DocumentUnreadable, match="No such file"):
        Baseline(settings_with(str(tmp_path / "missing.json")), history)
    with pytest.raises(errors.BaselineNeeded, match="option --dcs-fail-on is 'any'"):
        Baseline(settings_with("", "any"), history)


def slow(seconds: float, **more: Any) -> dict[str, Any]:
    return runs.entry(GOOD, inventory={"spark_seconds": {"start": seconds, "sql": 0.1}, **more})


def speed_rows(made: Standing) -> list[tuple[str, str, str]]:
    return [(row.name, row.now, row.before) for row in made.drift if row.kind == "speed"]


def test_a_stage_is_held_against_the_median_of_several_runs(history: History) -> None:
    for day, seconds in enumerate((4.0, 9.0, 4.2), 1):
        history.add(runs.run(slow(seconds), day=day))
    assert speed_rows(standing(history, slow(6.2))) == []
    assert speed_rows(standing(history, slow(6.4))) == [("spark start", "6.4 s", "4.2 s")]


def test_with_one_run_more_is_needed_to_be_told(history: History) -> None:
    history.add(runs.run(slow(4.0)))
    assert speed_rows(standing(history, slow(7.9))) == []
    assert speed_rows(standing(history, slow(8.1))) == [("spark start", "8.1 s", "4.0 s")]


def test_what_ran_elsewhere_is_not_compared(history: History) -> None:
    for day in (1, 2, 3):
        history.add(runs.run(slow(1.0, machine="64 x Another CPU"), day=day))
        history.add(runs.run(slow(1.0), day=day, engine="local"))
    assert speed_rows(standing(history, slow(9.0))) == []


def test_short_stages_are_not_compared(history: History) -> None:
    history.add(runs.run(slow(0.1)))
    assert speed_rows(standing(history, slow(0.5))) == []


def test_what_differs_between_runs_of_one_digest_is_flaky(history: History) -> None:
    good, bad = runs.entry(GOOD), runs.entry({**GOOD, "PY001": "fail"})
    for day, entry in enumerate((good, bad, good), 1):
        history.add(runs.run(entry, day=day))
    assert standing(history, bad).flaky == (Flaky("PY001 python-answers", 2, 4),)
    assert standing(history, good, named="").flaky == (Flaky("PY001 python-answers", 1, 4),)


@pytest.mark.parametrize(
    ("more", "run"),
    [
        ({"digest": "sha256:other"}, {}),
        ({"asked": {"without": ["kernel"]}}, {}),
        ({}, {"plugin": "0.9"}),
        ({}, {"engine": "local"}),
    ],
)
def test_where_something_else_was_asked_nothing_is_flaky(
    history: History, more: dict[str, Any], run: dict[str, Any]
) -> None:
    history.add(runs.run(runs.entry({"PY001": "fail"}, **more), **run))
    assert standing(history, runs.entry()).flaky == ()


@pytest.mark.parametrize("outcome", ["waived", "advice", "not-applicable", "blocked"])
def test_one_finding_in_two_words_is_not_flaky(history: History, outcome: str) -> None:
    history.add(runs.run(runs.entry({"PY001": "fail"})))
    assert standing(history, runs.entry({"PY001": outcome})).flaky == ()


def judgement(outcomes: Mapping[str, str], standing: Standing | None) -> Judgement:
    made = Judgement(standing=standing)
    for rule, outcome in outcomes.items():
        finding = Finding.from_plain(runs.finding(rule, outcome))
        made.findings[finding.key] = finding
    return made


BESIDE = Standing(baseline="some run")
WORSE = Standing(baseline="some run", regressions=(Change("x", "pass", "fail"),))
CHANGED = Standing(baseline="some run", drift=(Drift("size", "image", "2 MB", "1 MB"),))
RED, BLOCKED = {**GOOD, "PY001": "fail"}, {**GOOD, "PY001": "blocked"}


@pytest.mark.parametrize(
    ("fail_on", "outcomes", "made", "status"),
    [
        ("failure", RED, BESIDE, 1),
        ("failure", GOOD, CHANGED, 0),
        ("failure", BLOCKED, BESIDE, INCONCLUSIVE),
        ("regression", RED, BESIDE, 0),
        ("regression", RED, WORSE, 1),
        ("regression", BLOCKED, BESIDE, 0),
        ("regression", BLOCKED, WORSE, 1),
        ("regression", GOOD, CHANGED, 0),
        ("regression", RED, Standing(missing="no baseline yet"), 1),
        ("regression", BLOCKED, Standing(missing="no baseline yet"), INCONCLUSIVE),
        ("regression", {"PY001": "fail"}, BESIDE, 1),
        ("any", GOOD, CHANGED, 1),
        ("any", RED, BESIDE, 0),
        ("any", RED, WORSE, 1),
    ],
)
def test_the_exit_status_says_what_was_asked_for(
    fail_on: Any, outcomes: Mapping[str, str], made: Standing, status: int
) -> None:
    current = 1 if "fail" in outcomes.values() else 0
    assert exit_status(current, [judgement(outcomes, made)], fail_on=fail_on) == status


def test_a_failure_of_no_image_is_red_beside_any_baseline() -> None:
    known = judgement(RED, BESIDE)
    assert exit_status(1, [known], fail_on="regression", failed_elsewhere=True) == 1
    known.lost = "the container ended"
    assert exit_status(1, [known], fail_on="regression") == 4
    assert exit_status(2, [judgement(RED, BESIDE)], fail_on="regression") == 2


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("acme/ml:1", "docker.io/acme/ml"),
        ("index.example.com:5000/acme/ml:1@sha256:" + "1f" * 32, "index.example.com:5000/acme/ml"),
        ("sha256:" + "1f" * 32, "sha256:" + "1f" * 32),
        ("oci:/images/ml:1", "oci:/images/ml"),
        ("docker-archive:/ml.tar:acme/ml:1", "docker-archive:/ml.tar"),
        ("what THIS machine is", "what THIS machine is"),
    ],
)
def test_builds_of_an_image_are_known_by_their_repository(image: str, repository: str) -> None:
    assert repository_of(image) == repository


def test_the_lines_are_short_unless_all_is_wanted() -> None:
    packages = tuple(Drift("python package", f"p{n}", "2", "1") for n in range(30))
    made = Standing(
        baseline="acme/ml:1 (sha256:1f3c) of a day",
        regressions=(
            Change("PY001 python-answers", "pass", "fail", "2027-03-06"),
            *(Change(f"PY{n:03} x", "pass", "blocked") for n in range(2, 12)),
        ),
        drift=(Drift("version", "java", "17.0.16", "17.0.15"), *packages),
        flaky=(Flaky("NB003 kernel-answers", 3, 12),),
    )
    short = list(regressions.lines_of(made, "failure", whole=False))
    assert short[:4] == [
        "flaky   NB003 kernel-answers: 3 of 12 runs on this digest failed",
        "since acme/ml:1 (sha256:1f3c) of a day: 1 regression, 10 newly blocked, 31 other changes",
        "  regression  PY001 python-answers: fail, since 2027-03-06, was pass",
        "  blocked     PY002, PY003, PY004, PY005, PY006, PY007 and 4 more: blocked, was pass",
    ]
    assert short[4].split() == ["version", "java", "17.0.16", "before", "17.0.15"]
    assert short[-1] == "    and 23 more: see all with -v"
    assert len(list(regressions.lines_of(made, "failure", whole=True))) == 2 + 11 + 31


def test_a_note_says_that_known_failures_do_not_count() -> None:
    made = Standing(baseline="some run", known=(Change("PY001 x", "fail", "fail", "2027-03-01"),))
    assert list(regressions.lines_of(made, "regression", whole=False)) == [
        "since some run: 1 known",
        "  known       PY001 x: fail, since 2027-03-01",
        "  what was known does not make this run red, with --dcs-fail-on=regression",
    ]
