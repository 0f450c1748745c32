"""Waivers: reason and date, shown wherever they take effect, never silent."""

from __future__ import annotations

import datetime

import pytest

from .conftest import STATIC

TODAY = datetime.datetime.now(tz=datetime.timezone.utc).date()
NEXT_YEAR = TODAY + datetime.timedelta(days=365)
YESTERDAY = TODAY - datetime.timedelta(days=1)
ARM = "--dcs-image=arm:1"


JAVA_OPTIONS = """

options = {"JAVA_TOOL_OPTIONS": "-Xmx1g", "_JAVA_OPTIONS": "-Xmx1g"}
CONFIGS["java:1"] = {"environment": {**GOOD["environment"], **options}}
"""


def waive(dcs: pytest.Pytester, **fields: object) -> None:
    values = {"rule": "IMG001", "reason": "ENG-1: moves next month", "until": NEXT_YEAR, **fields}
    lines = [
        f"{name} = {value}" if isinstance(value, (datetime.date, list)) else f'{name} = "{value}"'
        for name, value in values.items()
        if value is not None
    ]
    (dcs.path / "dcs-waivers.toml").write_text("\n".join(["[[waive]]", *lines]))


def test_a_waived_rule_is_an_expected_failure_and_is_shown(dcs: pytest.Pytester) -> None:
    waive(dcs)
    result = dcs.runpytest(ARM, *STATIC, "-rx")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "arm:1 * on 15.4: releasable",
            f"  waived  IMG001 *waived until {NEXT_YEAR}: ENG-1: moves next month",
            "XFAIL dcs/image::test_platform_is_linux_amd64*ENG-1: moves next month",
        ]
    )


def test_a_run_in_which_all_is_waived_proves_nothing(dcs: pytest.Pytester) -> None:
    waive(dcs)
    result = dcs.runpytest(ARM, "--dcs-select=IMG001", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["arm:1 * on 15.4: inconclusive"])


def test_a_waiver_reaches_the_workers_of_xdist(dcs: pytest.Pytester) -> None:
    waive(dcs)
    result = dcs.runpytest_subprocess(ARM, *STATIC, "-n1")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*1 is waived*"])


def test_a_waiver_that_has_ended_no_longer_waives(dcs: pytest.Pytester) -> None:
    waive(dcs, until=YESTERDAY)
    result = dcs.runpytest(ARM, *STATIC)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*has ended or soon will (waived until {YESTERDAY}: ENG-1*"])


def test_a_waiver_that_soon_ends_is_announced(dcs: pytest.Pytester) -> None:
    waive(dcs, until=TODAY + datetime.timedelta(days=3))
    result = dcs.runpytest(ARM, *STATIC)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*has ended or soon will*"])


def test_a_waiver_that_is_not_needed_is_to_be_deleted(dcs: pytest.Pytester) -> None:
    waive(dcs)
    result = dcs.runpytest("--dcs-image=good:1", *STATIC)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*waiver  IMG001 * passes: delete the entry*"])


def test_a_stale_waiver_fails_a_strict_run(dcs: pytest.Pytester) -> None:
    waive(dcs)
    result = dcs.runpytest("--dcs-image=good:1", *STATIC, "--dcs-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "fields", [{"image": "other/*"}, {"runtime": "16.4"}, {"only": ["another subject"]}]
)
def test_a_waiver_for_something_else_does_not_waive(
    dcs: pytest.Pytester, fields: dict[str, object]
) -> None:
    waive(dcs, **fields)
    assert dcs.runpytest(ARM, *STATIC).ret == pytest.ExitCode.TESTS_FAILED


def test_a_waiver_for_just_this_waives(dcs: pytest.Pytester) -> None:
    waive(dcs, image="arm:*", runtime="15.4", only=["platform of the image"])
    assert dcs.runpytest(ARM, *STATIC).ret == pytest.ExitCode.OK


def test_waivers_for_parts_of_a_finding_waive_it_together(dcs: pytest.Pytester) -> None:
    parts = [["ENV JAVA_TOOL_OPTIONS of the image"], ["ENV _JAVA_OPTIONS of the image"]]
    run = ("--dcs-image=java:1", "--dcs-select=IMG001,IMG005", "--dcs-runtime=15.4", "--dcs-strict")
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(JAVA_OPTIONS)
    waive(dcs, rule="IMG005", only=parts[0])
    one = (dcs.path / "dcs-waivers.toml").read_text()
    assert dcs.runpytest(*run).ret == pytest.ExitCode.TESTS_FAILED
    waive(dcs, rule="IMG005", reason="ENG-2", only=parts[1])
    other = (dcs.path / "dcs-waivers.toml").read_text()
    (dcs.path / "dcs-waivers.toml").write_text(f"{one}\n{other}")
    result = dcs.runpytest(*run)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*waived  IMG005 *ENG-1*; waived until *ENG-2"])


def test_a_part_that_is_no_longer_found_is_said(dcs: pytest.Pytester) -> None:
    waive(dcs, only=["platform of the image", "what was mended"])
    result = dcs.runpytest(ARM, *STATIC)
    result.stdout.fnmatch_lines(["*waiver  IMG001 * no longer finds 'what was mended'*"])


def test_runxfail_shows_the_failure(dcs: pytest.Pytester) -> None:
    waive(dcs)
    assert dcs.runpytest(ARM, *STATIC, "--runxfail").ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reason": None}, "*waiver 1: field 'reason' is missing*"),
        ({"reason": " "}, "*waiver 1: field 'reason' is empty*"),
        ({"rule": "IMG"}, "*waiver 1: field 'rule' names 'IMG', which is not a rule*"),
        ({"rule": "SYS001"}, "*waiver 1: SYS001 cannot be waived*"),
        ({"until": "2027-01-01"}, "*waiver 1: field 'until' must be a date*"),
        ({"comment": "x"}, "*waiver 1: field 'comment' is unknown*"),
    ],
)
def test_a_broken_waiver_names_file_entry_and_field(
    dcs: pytest.Pytester, fields: dict[str, object], message: str
) -> None:
    waive(dcs, **fields)
    result = dcs.runpytest(ARM, *STATIC)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: dcs-waivers.toml: {message}"])
