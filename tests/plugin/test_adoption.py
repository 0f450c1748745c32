"""Adopting the gate: one run writes waivers for what fails, the next is green."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import waivers
from pytest_dcs.report.findings import INCONCLUSIVE

from .conftest import junit_properties

if TYPE_CHECKING:
    from pathlib import Path

TODAY = datetime.datetime.now(tz=datetime.timezone.utc).date()
YESTERDAY = TODAY - datetime.timedelta(days=1)
STATIC = ("--dcs-select=IMG001,IMG002,IMG003", "--dcs-runtime=15.4")
ARM = ("--dcs-image=arm:1", *STATIC)
WRITE = "--dcs-write-waivers"

DEAD_SPARK = """

from pytest_dcs.stages import Smoke, Stage

SMOKE = Smoke((Stage("sql", "failed", "boom"), Stage("python-udf", "not-run", "x"),
               Stage("rdd", "not-run", "x")), "", {})


@pytest.fixture(scope="session")
def dcs_spark_smoke():
    return SMOKE
"""

FAILING_SPARK = """

from pytest_dcs.stages import Smoke, Stage


@pytest.fixture(scope="session")
def dcs_spark_smoke():
    return Smoke((Stage("python-udf", "failed", "boom"), Stage("rdd", "failed", "boom")), "", {})
"""


@pytest.fixture
def file(dcs: pytest.Pytester) -> Path:
    return dcs.path / "dcs-waivers.toml"


def test_the_next_run_is_green(dcs: pytest.Pytester, file: Path) -> None:
    result = dcs.runpytest(*ARM, WRITE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "arm:1 * on 15.4: NOT releasable",
            "waived  IMG001 platform-is-linux-amd64 on arm:* 15.4 until *",
            f"written to {file}: *",
        ]
    )
    (waiver,) = waivers.load(file)
    assert waiver == waivers.Waiver(
        rule="IMG001",
        reason=f"adopted {TODAY}",
        until=TODAY + datetime.timedelta(days=30),
        image="arm:*",
        runtime="15.4",
        only=("platform of the image",),
    )
    again = dcs.runpytest(*ARM)
    assert again.ret == pytest.ExitCode.OK
    again.assert_outcomes(xfailed=1, passed=again.parseoutcomes()["passed"])


def test_the_workers_of_xdist_write_nothing_twice(dcs: pytest.Pytester, file: Path) -> None:
    result = dcs.runpytest_subprocess(
        *ARM, "--dcs-image=user:1", "--dcs-strict", "-n2", "-p", "no:cacheprovider", WRITE
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert sorted((each.rule, each.image) for each in waivers.load(file)) == [
        ("IMG001", "arm:*"),
        ("IMG002", "user:*"),
    ]
    again = dcs.runpytest_subprocess(*ARM, "--dcs-image=user:1", "--dcs-strict", "-n2")
    assert again.ret == pytest.ExitCode.OK


def test_what_would_be_blocked_is_adopted_too(
    dcs: pytest.Pytester, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.spark.provision", lambda *_: None)
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FAILING_SPARK)
    run = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,SPK004,SPK005")
    assert dcs.runpytest(*run).parseoutcomes()["skipped"] == 1
    dcs.runpytest(*run, WRITE).assert_outcomes(passed=1, failed=2)
    assert [each.rule for each in waivers.load(file)] == ["SPK004", "SPK005"]
    again = dcs.runpytest(*run)
    assert again.ret == pytest.ExitCode.OK
    again.assert_outcomes(passed=1, xfailed=2)


def test_what_cannot_be_checked_for_what_is_waived_follows_from_it(
    dcs: pytest.Pytester, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.spark.provision", lambda *_: None)
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(DEAD_SPARK)
    run = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,SPK002,SPK004,SPK005")
    assert dcs.runpytest(*run).parseoutcomes()["skipped"] == 2
    result = dcs.runpytest(*run, WRITE)
    assert [each.rule for each in waivers.load(file)] == ["SPK002"]
    result.stdout.no_fnmatch_line("left *")
    again = dcs.runpytest(*run, "--junitxml=report.xml")
    assert again.ret == pytest.ExitCode.OK
    again.assert_outcomes(passed=1, xfailed=3)
    reason = "not checked, since SPK002 spark-sql is waived"
    again.stdout.fnmatch_lines(
        ["  waived  SPK002 *: waived until *", f"  waived  SPK004, SPK005: {reason}"]
    )
    rdd = junit_properties(dcs.path / "report.xml")["test_python_rdd[good:1-15.4]"]
    assert (rdd["dcs_outcome"], rdd["dcs_found"]) == ("waived", reason)
    assert dcs.runpytest(*run, "--runxfail").ret == pytest.ExitCode.TESTS_FAILED


def test_advice_is_not_adopted_unless_it_fails(dcs: pytest.Pytester, file: Path) -> None:
    result = dcs.runpytest("--dcs-image=user:1", *STATIC, WRITE)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["no waivers were written: nothing fails that could be waived"])
    assert not file.exists()


def test_a_rule_that_cannot_be_waived_and_what_it_blocks_are_left(
    dcs: pytest.Pytester, file: Path
) -> None:
    run = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,SYS")
    result = dcs.runpytest(*run, WRITE)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "left    good:1-15.4 SYS001 shell-answers: it cannot be waived*",
            "left    good:1-15.4 SYS002 and * more: blocked rules were not checked*",
            "no waivers were written*",
        ]
    )
    assert not file.exists()


def test_a_run_with_only_blocked_rules_stays_inconclusive(dcs: pytest.Pytester, file: Path) -> None:
    run = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,SYS002")
    assert dcs.runpytest(*run, WRITE).ret == INCONCLUSIVE
    assert not file.exists()


def test_own_tests_are_not_adopted(dcs: pytest.Pytester, file: Path) -> None:
    dcs.makeini("[pytest]\ndcs_tests = own\n")
    (dcs.path / "own").mkdir()
    (dcs.path / "own" / "test_own.py").write_text("def test_own(dcs_image): raise AssertionError")
    result = dcs.runpytest("--dcs-image=good:1", *STATIC, WRITE)
    result.stdout.fnmatch_lines(["left    good:1-15.4: tests of your own are not waived, 1 *"])
    assert not file.exists()


def test_what_the_file_has_is_kept(dcs: pytest.Pytester, file: Path) -> None:
    before = (
        "# Reviewed by the platform team.\n[[waive]]\nrule = 'IMG002'\n"
        "reason = 'ENG-1'\nuntil = 2099-01-01 # a long time\nonly = ['something else']\n"
        "image = 'user:*'"
    )
    file.write_text(before)
    dcs.runpytest("--dcs-image=user:1", *ARM, "--dcs-strict", WRITE)
    assert file.read_text().startswith(before)
    assert [each.rule for each in waivers.load(file)] == ["IMG002", "IMG002", "IMG001"]
    again = dcs.runpytest("--dcs-image=user:1", *ARM, "--dcs-strict")
    assert again.ret == pytest.ExitCode.OK


def test_what_is_waived_already_is_not_written_again(dcs: pytest.Pytester, file: Path) -> None:
    dcs.runpytest(*ARM, WRITE)
    before = file.read_text()
    result = dcs.runpytest(*ARM, WRITE)
    assert result.ret == pytest.ExitCode.OK
    assert file.read_text() == before


def test_no_waiver_is_written_for_a_stale_waiver(dcs: pytest.Pytester, file: Path) -> None:
    file.write_text("[[waive]]\nrule = 'IMG002'\nreason = 'ENG-1'\nuntil = 2099-01-01\n")
    result = dcs.runpytest(*ARM, "--dcs-strict", WRITE)
    result.stdout.fnmatch_lines(["left *IMG002*: the rule passes, and its waiver is to be deleted"])
    assert [each.rule for each in waivers.load(file)] == ["IMG002", "IMG001"]


def test_a_waiver_that_has_ended_is_not_renewed(dcs: pytest.Pytester, file: Path) -> None:
    file.write_text(f"[[waive]]\nrule = 'IMG001'\nreason = 'ENG-1'\nuntil = {YESTERDAY}\n")
    before = file.read_text()
    result = dcs.runpytest(*ARM, WRITE)
    result.stdout.fnmatch_lines([f"left *IMG001*: its waiver ended on {YESTERDAY}*"])
    assert file.read_text() == before


def test_another_file_of_the_ini_key_is_written(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_waivers = gate/known.toml\n")
    (dcs.path / "gate").mkdir()
    dcs.runpytest(*ARM, WRITE)
    assert waivers.load(dcs.path / "gate" / "known.toml")
    assert dcs.runpytest(*ARM).ret == pytest.ExitCode.OK


def test_an_interrupted_run_writes_nothing(dcs: pytest.Pytester, file: Path) -> None:
    dcs.makeini("[pytest]\ndcs_tests = own\n")
    (dcs.path / "own").mkdir()
    own = "def test_own(dcs_image): raise KeyboardInterrupt"
    (dcs.path / "own" / "test_own.py").write_text(own)
    result = dcs.runpytest_subprocess(*ARM, WRITE)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["no waivers were written: the run did not come to its end"])
    assert not file.exists()


def test_waivers_without_an_image_are_a_mistake(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(WRITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: no waivers can be written*no image is judged*"])


def test_a_file_that_cannot_be_written_stops_the_run_before_it_begins(
    dcs: pytest.Pytester, file: Path
) -> None:
    file.mkdir()
    result = dcs.runpytest(*ARM, WRITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: no waivers can be written*it is a folder*"])


def test_a_file_that_nothing_can_be_added_to_is_kept_and_named(
    dcs: pytest.Pytester, file: Path
) -> None:
    before = 'waive = [{rule = "IMG002", reason = "ENG-1", until = 2099-01-01}]\n'
    file.write_text(before)
    result = dcs.runpytest(*ARM, WRITE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: dcs: no waivers can be written*", "*dcs_waivers*"])
    assert file.read_text() == before
