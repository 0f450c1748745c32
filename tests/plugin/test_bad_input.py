"""A user's mistake gets what happened, the likely cause and the next step, and no traceback."""

from __future__ import annotations

import pytest

from .conftest import STATIC

GOOD = "--dcs-image=good:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dcs-image=no/such:1", "--dcs-runtime=15.4"], "image 'no/such:1' was not found*"),
        ([GOOD, "--dcs-runtime=15.5"], "'15.5' is not a known Databricks Runtime."),
        ([GOOD, "--dcs-runtime=15.4.x-cpu-ml-scala2.12"], "*Runtime ML*does not support*"),
        ([GOOD, *STATIC, "--dcs-select=XYZ9"], "no rule has the id or prefix 'XYZ9'."),
        ([GOOD, *STATIC, "--dcs-profile=huge"], "'huge' is not a profile."),
        ([GOOD, *STATIC, "--dcs-timeout=soon"], "option --dcs-timeout is 'soon'."),
        ([GOOD, *STATIC, "--dcs-timeout=-1"], "option --dcs-timeout is '-1'."),
        ([GOOD, GOOD, *STATIC], "good:1 * on 15.4 would be tested twice."),
        ([GOOD, *STATIC, "--hosts=local"], "--hosts and --dcs-image both say what*"),
        (["--dcs-image=arm:1", "--dcs-runtime=15.4"], "image 'arm:1' is for linux/arm64;*"),
        (["--dcs-explain=XYZ9"], "no rule has the id or prefix 'XYZ9'."),
    ],
)
def test_a_mistake_stops_the_run_with_exit_status_4(
    dcs: pytest.Pytester, arguments: list[str], message: str
) -> None:
    result = dcs.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: {message}"])
    assert len(result.stderr.str().strip().splitlines()) >= 3
    result.stderr.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_an_unknown_runtime_names_the_known_ones_and_how_to_add_it(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, "--dcs-runtime=99.9")
    result.stderr.fnmatch_lines(["Known: *15.4*17.3*", "*dcs-runtimes.toml*"])


def test_a_machine_learning_runtime_names_the_standard_one(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4-ml")
    result.stderr.fnmatch_lines(["*--dcs-runtime=15.4*"])


def test_an_image_for_another_platform_can_still_be_judged_by_static_rules(
    dcs: pytest.Pytester,
) -> None:
    result = dcs.runpytest("--dcs-image=arm:1", *STATIC)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_an_unusable_environment_variable_is_named(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_STRICT", "maybe")
    result = dcs.runpytest(GOOD, *STATIC)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: environment DCS_STRICT is 'maybe'."])


def test_an_unusable_choice_in_the_ini_file_is_named(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_pull = sometimes\n")
    result = dcs.runpytest(GOOD, *STATIC)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: ini dcs_pull is 'sometimes'."])


def test_a_runtime_that_cannot_be_guessed_has_to_be_declared(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: no runtime is declared for 'good:1'."])
