"""Options about the launch: what is left out, what is run besides, and what cannot be."""

from __future__ import annotations

import pytest

from .conftest import STATIC

GOOD = "--dcs-image=good:1"


def test_the_launch_is_explained_without_an_image(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-explain", "launch")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([" 4  Init scripts run (init-scripts)", "*assumed   stock-kernel"])


def test_a_step_that_does_not_exist_cannot_be_left_out(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "--dcs-without=kernal")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*option --dcs-without*kernal*"])


def test_rules_of_a_step_that_is_left_out_do_not_apply(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(
        GOOD, "--dcs-runtime=15.4", "--dcs-select=JVM007", "--dcs-without=driver-options", "-rs"
    )
    result.stdout.fnmatch_lines(["*driver-options is left out by --dcs-without*"])


def test_deep_rules_run_only_when_asked_for(dcs: pytest.Pytester) -> None:
    collect = (GOOD, "--dcs-runtime=15.4", "--collect-only", "-q")
    normal = dcs.runpytest(*collect, "--dcs-select=DAT").stdout.str()
    deep = dcs.runpytest(*collect, "--dcs-select=DAT", "--dcs-deep").stdout.str()
    named = dcs.runpytest(*collect, "--dcs-select=DAT003").stdout.str()
    assert "dcs/data::" not in normal
    assert deep.count("dcs/data::") > 1
    assert named.count("dcs/data::") == 1


@pytest.mark.parametrize("option", ["--dcs-smoke", "--dcs-jar"])
def test_a_file_that_is_not_there_is_named(dcs: pytest.Pytester, option: str) -> None:
    result = dcs.runpytest(GOOD, *STATIC, f"{option}=nowhere/file")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{dcs.path}/nowhere/file cannot be read*", f"{option} names*"])


def test_a_setting_without_a_value_is_refused(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "--dcs-spark-conf=spark.sql.ansi.enabled")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--dcs-spark-conf*", "*KEY=VALUE*"])


def test_each_smoke_file_is_a_check_of_its_own(dcs: pytest.Pytester) -> None:
    for name in ("first.py", "second.py"):
        dcs.path.joinpath(name).write_text("")
    result = dcs.runpytest(
        *(GOOD, "--dcs-runtime=15.4", "--collect-only", "-q", "--dcs-select=SPK019"),
        *("--dcs-smoke=first.py", "--dcs-smoke=second.py"),
    )
    result.stdout.fnmatch_lines(
        [
            "dcs/smoke_files::test_own_smoke_job?good:1-15.4-first.py?",
            "dcs/smoke_files::test_own_smoke_job?good:1-15.4-second.py?",
        ]
    )


def test_a_relative_path_counts_from_where_pytest_was_called(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dcs.mkdir("jobs")
    folder.joinpath("etl.py").write_text("")
    monkeypatch.chdir(folder)
    result = dcs.runpytest(f"--rootdir={dcs.path}", GOOD, *STATIC, "--dcs-smoke=etl.py")
    assert result.ret == pytest.ExitCode.OK
