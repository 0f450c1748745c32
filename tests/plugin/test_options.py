"""Options, ini keys and environment variables, and what the header says of them."""

from __future__ import annotations

import pytest

from .conftest import STATIC

GOOD = "--dcs-image=good:1"


def test_header_names_the_source_of_each_value(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    dcs.makeini("[pytest]\ndcs_profile = minimal\n")
    monkeypatch.setenv("DCS_RUNTIME", "15.4")
    result = dcs.runpytest(GOOD, "--dcs-select=IMG")
    result.stdout.fnmatch_lines(
        ["dcs: image good:1 (option --dcs-image), runtime 15.4 (environment DCS_RUNTIME), *"]
    )


def test_default_profile_is_said_to_be_the_default(dcs: pytest.Pytester) -> None:
    dcs.runpytest(GOOD, *STATIC).stdout.fnmatch_lines(["*profile python (default)*"])


@pytest.mark.parametrize(
    ("ini", "variable", "option", "source"),
    [
        ("14.3", "15.4", "16.4", "16.4 (option --dcs-runtime)"),
        ("14.3", "15.4", None, "15.4 (environment DCS_RUNTIME)"),
        ("14.3", None, None, "14.3 (ini dcs_runtime)"),
    ],
)
def test_option_wins_over_environment_over_ini(
    dcs: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    ini: str,
    variable: str | None,
    option: str | None,
    source: str,
) -> None:
    dcs.makeini(f"[pytest]\ndcs_runtime = {ini}\n")
    if variable:
        monkeypatch.setenv("DCS_RUNTIME", variable)
    arguments = [f"--dcs-runtime={option}"] if option else []
    result = dcs.runpytest(GOOD, "--dcs-select=IMG", *arguments)
    result.stdout.fnmatch_lines([f"*runtime {source}*"])


def test_a_flag_in_the_ini_file_takes_effect(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_strict = true\n")
    assert dcs.runpytest("--dcs-image=user:1", *STATIC).ret == pytest.ExitCode.TESTS_FAILED


def test_image_label_names_the_runtime(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=labelled:1", "--dcs-select=IMG", "-v")
    result.stdout.fnmatch_lines(["*labelled:1-14.3*"])


def test_several_images_and_runtimes_are_all_tested(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(
        GOOD,
        "--dcs-image=user:1",
        "--dcs-runtime=15.4",
        "--dcs-runtime=16.4",
        "--dcs-select=IMG001",
    )
    result.assert_outcomes(passed=4)
    for line in ("good:1 * on 15.4", "good:1 * on 16.4", "user:1 * on 15.4", "user:1 * on 16.4"):
        result.stdout.fnmatch_lines([f"{line}: releasable"])


def test_profiles_unite_with_a_comma(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "--dcs-profile=minimal,gpu")
    result.stdout.fnmatch_lines(["*GPU not tested: no rule that needs one was run"])


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_work_with_broken_settings(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, argument: str
) -> None:
    monkeypatch.setenv("DCS_TIMEOUT", "soon")
    assert dcs.runpytest(argument).ret == pytest.ExitCode.OK


def test_help_shows_the_section_of_the_plugin(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--help")
    result.stdout.fnmatch_lines(["Databricks Container Services:", "*--dcs-image=IMAGE*"])


def test_emulation_is_noted(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write("\n\nImagesOnly.emulated = True\n")
    dcs.runpytest(GOOD, *STATIC).stdout.fnmatch_lines(["dcs: *not linux/amd64*"])


def test_list_shows_every_rule_without_an_engine(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-list")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*IMG001*fail*platform-is-linux-amd64", "*SYS001*"])


def test_explain_shows_why_fix_and_sources(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-explain=img001")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["IMG001*", "*does not start*", "Fix:", "Sources:", "*https://*"])


def test_without_an_image_the_plugin_shows_nothing(dcs: pytest.Pytester) -> None:
    dcs.makepyfile("def test_own(): pass")
    result = dcs.runpytest()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("dcs:*")
    result.stdout.no_fnmatch_line("*Databricks*")


def test_the_plugin_can_be_switched_off(dcs: pytest.Pytester) -> None:
    dcs.makeconftest("")
    dcs.makepyfile("def test_own(): pass")
    dcs.runpytest_subprocess("-p", "no:dcs").assert_outcomes(passed=1)
