"""Runs beside earlier ones: the history, the baseline, and what makes a run red."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.report.entries import Key
from pytest_dcs.report.history import History

if TYPE_CHECKING:
    from collections.abc import Iterable

SWITCHED = '''

from pathlib import Path

STATES = {"good": GOOD, "user": {**GOOD, "user": "1000"}, "arm": {**GOOD, "architecture": "arm64"}}


class Switched(ImagesOnly):
    """Has one image, which is what a file says."""

    def resolve(self, reference, pull):
        state = Path(__file__).with_name("state").read_text()
        return Image(reference, "sha256:" + state.encode().hex() * 8, ImageConfig(**STATES[state]))

'''
RUN = ("--dcs-image=acme/ml:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,IMG002,IMG003")
HISTORY = ("--dcs-history=history.db",)
LAST = (*HISTORY, "--dcs-baseline=last")
KEY = Key("docker.io/acme/ml", "15.4", "python")


@pytest.fixture
def nightly(dcs: pytest.Pytester) -> pytest.Pytester:
    conftest = dcs.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("= ImagesOnly()", "= Switched()") + SWITCHED)
    be(dcs, "good")
    return dcs


def be(dcs: pytest.Pytester, state: str) -> None:
    (dcs.path / "state").write_text(state)


def lines(result: pytest.RunResult, *wanted: str) -> Iterable[str]:
    return [line for line in result.stdout.lines if any(word in line for word in wanted)]


def verdicts(dcs: pytest.Pytester) -> list[str]:
    return [past.verdict for past in History(dcs.path / "history.db").runs(KEY, 99)]


def test_the_first_run_says_so_and_is_judged_as_usual(nightly: pytest.Pytester) -> None:
    be(nightly, "arm")
    result = nightly.runpytest(*RUN, *LAST, "--dcs-fail-on=regression")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "acme/ml:1 * on 15.4: NOT releasable",
            "  note    no baseline yet: this is the first *; whatever fails makes this run red",
        ]
    )
    again = nightly.runpytest(*RUN, *LAST)
    again.stdout.fnmatch_lines(["*none of the 1 earlier runs in the history was releasable"])
    assert verdicts(nightly) == ["NOT releasable"] * 2


def test_what_got_worse_is_shown_below_the_verdict(nightly: pytest.Pytester) -> None:
    assert nightly.runpytest(*RUN, *LAST).ret == pytest.ExitCode.OK
    same = nightly.runpytest(*RUN, *LAST)
    same.stdout.fnmatch_lines(["  since acme/ml:1 (sha256:*) of * UTC: no change"])
    be(nightly, "arm")
    result = nightly.runpytest(*RUN, *LAST, "--dcs-fail-on=regression")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "acme/ml:1 * on 15.4: NOT releasable",
            "  since acme/ml:1 (sha256:*) of * UTC: 1 regression",
            "    regression  IMG001 platform-is-linux-amd64: fail, was pass",
        ]
    )
    again = nightly.runpytest(*RUN, *LAST)
    again.stdout.fnmatch_lines(["    regression  IMG001 *: fail, since 20*, was pass"])
    assert verdicts(nightly) == ["NOT releasable"] * 2 + ["releasable"] * 2


def test_known_failures_do_not_make_a_run_red_where_only_regressions_count(
    nightly: pytest.Pytester,
) -> None:
    be(nightly, "arm")
    nightly.runpytest(*RUN, "--dcs-json=known.json")
    beside = (*RUN, "--dcs-baseline=known.json")
    assert nightly.runpytest(*beside).ret == pytest.ExitCode.TESTS_FAILED
    result = nightly.runpytest(*beside, "--dcs-fail-on=regression")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "acme/ml:1 * on 15.4: NOT releasable",
            "  FAIL    IMG001 *",
            "  since acme/ml:1 * of * UTC: 1 known",
            "    known       IMG001 platform-is-linux-amd64: fail, since 20*",
            "    what was known does not make this run red, with --dcs-fail-on=regression",
        ]
    )


def test_a_failure_of_a_test_of_no_image_is_red_all_the_same(nightly: pytest.Pytester) -> None:
    nightly.runpytest(*RUN, "--dcs-json=known.json")
    nightly.makepyfile("def test_own(dcs_image): pass\ndef test_other(): raise ValueError")
    result = nightly.runpytest(
        *RUN,
        "--dcs-baseline=known.json",
        "--dcs-fail-on=regression",
        "test_a_failure_of_a_test_of_no_image_is_red_all_the_same.py",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_any_change_is_red_where_that_is_asked_for(nightly: pytest.Pytester) -> None:
    nightly.runpytest(*RUN, *LAST)
    be(nightly, "user")
    result = nightly.runpytest(*RUN, *LAST, "--dcs-fail-on=regression")
    assert result.ret == pytest.ExitCode.OK
    result = nightly.runpytest(*RUN, *HISTORY, "--dcs-baseline=acme/ml:1", "--dcs-fail-on=any")
    assert result.ret == pytest.ExitCode.OK, "the run before was releasable, and had the user too"
    be(nightly, "good")
    nightly.runpytest(*RUN, "--dcs-json=good.json")
    be(nightly, "user")
    result = nightly.runpytest(*RUN, "--dcs-baseline=good.json", "--dcs-fail-on=any")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["  since *: 1 other change", "*rule  IMG002 user-is-root  advice  before pass"]
    )


def test_xdist_adds_a_run_once(nightly: pytest.Pytester) -> None:
    result = nightly.runpytest_subprocess(*RUN, "--dcs-runtime=16.4", *LAST, "-n2")
    assert result.ret == pytest.ExitCode.OK
    assert verdicts(nightly) == ["releasable"]
    result = nightly.runpytest_subprocess(*RUN, "--dcs-runtime=16.4", *LAST, "-n2")
    assert len(list(lines(result, "no change"))) == 2


def test_runs_that_did_not_come_to_their_end_are_not_added(nightly: pytest.Pytester) -> None:
    be(nightly, "arm")
    result = nightly.runpytest(*RUN, *LAST, "-x")
    result.stdout.fnmatch_lines(["history: the run did not come to its end and is not added"])
    assert verdicts(nightly) == []
    assert nightly.runpytest(*RUN, *LAST, "--collect-only", "-q").ret == pytest.ExitCode.OK
    assert verdicts(nightly) == []


def test_what_is_flaky_is_told_and_counts_as_found(nightly: pytest.Pytester) -> None:
    conftest = nightly.path / "conftest.py"
    conftest.write_text(conftest.read_text().replace("state.encode().hex() * 8", '"1f3c" * 16'))
    nightly.runpytest(*RUN, *HISTORY)
    be(nightly, "arm")
    result = nightly.runpytest(*RUN, *HISTORY)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    flaky = "  flaky   IMG001 platform-is-linux-amd64: 1 of 2 runs on this digest failed"
    result.stdout.fnmatch_lines(["  FAIL    IMG001 *", flaky])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dcs-baseline=last"], "nothing can be compared*no --dcs-history*"),
        (["--dcs-fail-on=regression"], "option --dcs-fail-on is 'regression', and there is no *"),
        (["--dcs-baseline=missing.json"], "*missing.json cannot be read*No such file*"),
        ([*HISTORY, "--dcs-baseline=acme/base:1"], "*has no releasable run of that image*"),
        (["--dcs-history=missing/history.db"], "the history * cannot be used*no folder*"),
        (["--dcs-history=state"], "the history * cannot be used*not an SQLite database*"),
    ],
)
def test_what_cannot_be_used_stops_the_run_before_it_begins(
    nightly: pytest.Pytester, arguments: list[str], message: str
) -> None:
    (nightly.path / "state").write_text("good" * 200)
    result = nightly.runpytest(*RUN, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: {message}"])
    result.stdout.no_fnmatch_line("*test session starts*")


def test_a_history_that_can_no_longer_be_written_is_told_of(nightly: pytest.Pytester) -> None:
    folder = nightly.mkdir("kept")
    nightly.makepyfile(
        f"""
        from pathlib import Path
        def test_spoil(dcs_image):
            Path({str(folder / "history.db")!r}).write_text("spoilt" * 999)
        """
    )
    result = nightly.runpytest(
        *RUN,
        f"--dcs-history={folder / 'history.db'}",
        "--dcs-baseline=last",
        "test_a_history_that_can_no_longer_be_written_is_told_of.py",
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        [
            "  note    no baseline: the history * cannot be used*",
            "ERROR: dcs: the history * cannot be used (it is not an SQLite database).",
        ]
    )
    assert Path(folder / "history.db").read_text().startswith("spoilt")
