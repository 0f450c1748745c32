"""How the built-in checks join a run, and how they can be chosen."""

from __future__ import annotations

import pytest

from pytest_dcs import collect, rules

from .conftest import STATIC

GOOD = "--dcs-image=good:1"


def test_checks_are_collected_from_an_empty_folder(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "-v")
    result.stdout.fnmatch_lines(["dcs/image::test_platform_is_linux_amd64?good:1-15.4? PASSED*"])
    assert result.ret == pytest.ExitCode.OK


def test_patterns_of_the_users_project_do_not_hide_the_checks(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\npython_files = check_*.py\npython_functions = check_*\n")
    dcs.runpytest(GOOD, "--dcs-select=IMG001", "--dcs-runtime=15.4").assert_outcomes(passed=1)


@pytest.mark.parametrize("mode", ["prepend", "importlib", "append"])
def test_checks_are_collected_in_every_import_mode(dcs: pytest.Pytester, mode: str) -> None:
    result = dcs.runpytest_subprocess(GOOD, *STATIC, "--dcs-select=IMG001", f"--import-mode={mode}")
    assert result.ret == pytest.ExitCode.OK


def test_the_suite_of_the_repository_is_not_run_along(dcs: pytest.Pytester) -> None:
    dcs.makepyfile("def test_of_the_repository(): assert False")
    result = dcs.runpytest(GOOD, "--dcs-select=IMG001", "--dcs-runtime=15.4")
    result.assert_outcomes(passed=1)


def test_own_tests_named_in_the_configuration_are_run_along(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_tests = image_tests\n")
    dcs.mkdir("image_tests").joinpath("test_own.py").write_text(
        "def test_user(dcs_image): assert dcs_image.config.user == ''"
    )
    result = dcs.runpytest(GOOD, "--dcs-select=IMG001", "--dcs-runtime=15.4", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["image_tests/test_own.py::test_user?good:1-15.4? PASSED*"])


def test_a_path_runs_just_that_path(dcs: pytest.Pytester) -> None:
    path = dcs.makepyfile("def test_own(dcs_runtime): assert dcs_runtime.version == '15.4'")
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", path)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*no rule was run, only own tests"])


def test_a_failing_own_test_makes_the_image_not_releasable(dcs: pytest.Pytester) -> None:
    path = dcs.makepyfile("def test_own(dcs_image): assert dcs_image.config.user == 'x'")
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", path)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*NOT releasable", "*1 of your own tests"])


def test_collect_only_starts_nothing_and_gives_no_verdict(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write("\n\nImagesOnly.resolve = None\n")
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["dcs/system::test_*?good:1-15.4?"])
    result.stdout.no_fnmatch_line("*releasable*")


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["--dcs-select=IMG001"], 1),
        (["--dcs-select=IMG001,IMG002"], 2),
        (["--dcs-select=IMG", "--dcs-ignore=IMG", "--dcs-select=IMG001"], 1),
        (["--dcs-select=img001"], 1),
        (["--dcs-select=IMG", "-k", "IMG001"], 1),
        (["--dcs-select=IMG", "-k", "linux_amd64"], 1),
        (["--dcs-select=IMG001", "-m", "dcs"], 1),
        (["--dcs-select=IMG001,IMG002", "--deselect=dcs/image::test_user_is_root[good:1-15.4]"], 1),
    ],
)
def test_rules_are_chosen_by_id_prefix_keyword_and_marker(
    dcs: pytest.Pytester, arguments: list[str], passed: int
) -> None:
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", *arguments)
    result.assert_outcomes(passed=passed, deselected=None)


def test_own_tests_run_behind_the_rules_and_before_slow_probes(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_tests = image_tests\n")
    dcs.mkdir("image_tests").joinpath("test_own.py").write_text("def test_own(dcs_host): pass")
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", "--collect-only", "-q")
    modules = [line.partition("::")[0] for line in result.outlines if "::" in line]
    assert modules[0] == "dcs/image"
    behind = modules[modules.index("image_tests/test_own.py") + 1 :]
    not_waited_for = {None, rules.DEEP_PROBE, rules.REMOTE_PROBE, *collect.ON_DEMAND_PROBES}
    slow = [rule for rule in rules.catalogue().values() if rule.probe not in not_waited_for]
    assert sorted(behind) == sorted(rule.check.partition("::")[0] for rule in slow)


def test_last_failed_runs_only_the_failing_rule(dcs: pytest.Pytester) -> None:
    arguments = ("--dcs-image=arm:1", *STATIC)
    assert dcs.runpytest(*arguments).ret == pytest.ExitCode.TESTS_FAILED
    dcs.runpytest(*arguments, "--lf").assert_outcomes(failed=1)


def test_nothing_selected_is_pytests_own_exit_status(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "-k", "no_such_rule")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_checks_can_be_run_as_a_module(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(
        GOOD, "--dcs-runtime=15.4", "--dcs-select=IMG001", "--pyargs", "pytest_dcs.checks.image"
    )
    result.assert_outcomes(passed=1)
