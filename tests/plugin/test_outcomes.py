"""Outcomes, exit statuses, the verdict and what JUnit files carry."""

from __future__ import annotations

import pytest

from pytest_dcs.report.findings import INCONCLUSIVE

from .conftest import STATIC, junit_properties

BREAKING_FIXTURE = """


@pytest.fixture
def dcs_image():
    return None
"""

FAILING_SPARK = """

from pytest_dcs.stages import Smoke, Stage

LOG = "\\n".join([*(f"line {number}" for number in range(100)), "Caused by: the reason"])


@pytest.fixture(scope="session")
def dcs_spark_smoke():
    return Smoke((Stage("python-udf", "failed", "boom"), Stage("rdd", "passed")), LOG, {})
"""

ARM = "platform of the image: found linux/arm64; needed linux/amd64"


def test_a_good_image_is_releasable_and_exits_with_0(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", *STATIC)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["*= Databricks Container Services =*", "good:1 (sha256:1f3c*) on 15.4: releasable"]
    )


def test_a_failure_says_found_needed_why_fix_and_where_to_read(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=arm:1", *STATIC)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*_ test_platform_is_linux_amd64?arm:1-15.4? _*",
            ARM,
            "*- IMG001 platform-is-linux-amd64 -*",
            "why   Container Services runs on linux/amd64 only*",
            "fix   build with*",
            "docs  https://*",
            "arm:1 * on 15.4: NOT releasable",
            f"  FAIL    IMG001 platform-is-linux-amd64: {ARM}",
        ]
    )


def test_a_failing_spark_stage_keeps_the_end_of_the_drivers_log(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.spark.provision", lambda *_: None)
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FAILING_SPARK)
    result = dcs.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=SPK004,SPK005")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*SPK004*",
            "why *",
            "*- end of the log behind dcs_spark_smoke -*",
            "Caused by: the reason",
        ]
    )
    # The override asks for no image; the finding still is about one.
    result.stdout.fnmatch_lines(["good:1 * on 15.4: NOT releasable", "*FAIL    SPK004*boom*"])
    result.stdout.no_fnmatch_line("line 0")


def test_a_check_that_breaks_says_nothing_of_the_image(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(BREAKING_FIXTURE)
    result = dcs.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,IMG002")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "good:1 * on 15.4: inconclusive",
            "  error   IMG001 *: the check broke, not the image: *'NoneType'*'config'",
        ]
    )
    result.stdout.no_fnmatch_line("*  FAIL *")


def test_a_failure_shows_no_python_source(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=arm:1", *STATIC)
    result.stdout.no_fnmatch_line("*require(*")


def test_the_short_summary_carries_the_finding(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=arm:1", *STATIC, "-rf")
    result.stdout.fnmatch_lines(
        [f"FAILED dcs/image::test_platform_is_linux_amd64?arm:1-15.4? - {ARM}"]
    )


def test_a_developer_still_gets_the_traceback(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=arm:1", *STATIC, "--tb=short")
    result.stdout.fnmatch_lines(["*in test_platform_is_linux_amd64"])


def test_advice_passes_with_a_status_of_its_own(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=user:1", *STATIC, "-v")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*test_user_is_root* ADVICE*",
            "user:1 * on 15.4: releasable",
            "  advice  IMG002 user-is-root: USER of the image: found 1000; needed root",
            "*1 advice*",
        ]
    )


def test_strict_turns_advice_into_failure(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=user:1", *STATIC, "--dcs-strict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*FAIL    IMG002*"])


def test_an_image_that_does_not_start_is_one_failure_and_the_rest_is_blocked(
    dcs: pytest.Pytester,
) -> None:
    result = dcs.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-ignore=SPK")
    assert result.parseoutcomes()["failed"] == 1
    assert "errors" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(
        ["*FAIL    SYS001*no such file or directory*", "*blocked *PY001*: blocked by SYS001*"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_blocked_rules_alone_are_inconclusive(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=SYS002")
    assert result.ret == INCONCLUSIVE
    result.stdout.fnmatch_lines(["*: inconclusive"])


def test_a_run_in_which_no_rule_passed_is_red(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=user:1", "--dcs-runtime=15.4", "--dcs-select=IMG002")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_feature_that_was_not_declared_does_not_apply(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(
        "--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001,PY001",
        "--dcs-profile=minimal", "-rs",
    )  # fmt: skip
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["SKIPPED*profile minimal does not declare python"])


def test_a_need_that_the_runtime_does_not_have_does_not_apply(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(
        "--dcs-image=good:1", "--dcs-runtime=12.2", "--dcs-select=IMG001,SYS008", "-rs"
    )
    result.stdout.fnmatch_lines(["SKIPPED*runtime 12.2 *need*"])


def test_a_verdict_over_part_of_the_rules_says_so(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", *STATIC)
    result.stdout.fnmatch_lines(
        [
            "*note    * of the deep Spark job *, see --dcs-deep",
            "*note    * of * rules were not selected",
        ]
    )


def test_who_asked_for_the_deep_job_is_not_sent_to_it(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", *STATIC, "--dcs-deep")
    result.stdout.fnmatch_lines(["*note    * of * rules were not selected"])
    result.stdout.no_fnmatch_line("*see --dcs-deep")


def test_junit_properties_name_rule_outcome_and_finding(dcs: pytest.Pytester) -> None:
    dcs.runpytest("--dcs-image=arm:1", *STATIC, "--junitxml=report.xml")
    properties = junit_properties(dcs.path / "report.xml")
    found = properties["test_platform_is_linux_amd64[arm:1-15.4]"]
    assert found["dcs_rule"] == "IMG001"
    assert found["dcs_outcome"] == "fail"
    assert found["dcs_found"] == ARM
    assert found["dcs_runtime"] == "15.4"
    assert found["dcs_digest"].startswith("sha256:1f3c")


def test_advice_is_never_a_failure_in_junit(dcs: pytest.Pytester) -> None:
    dcs.runpytest("--dcs-image=user:1", *STATIC, "--junitxml=report.xml")
    assert "<failure" not in (dcs.path / "report.xml").read_text()
    properties = junit_properties(dcs.path / "report.xml")
    assert properties["test_user_is_root[user:1-15.4]"]["dcs_outcome"] == "advice"


def test_interrupted_stays_interrupted(dcs: pytest.Pytester) -> None:
    path = dcs.makepyfile("def test_own(dcs_image): raise KeyboardInterrupt")
    result = dcs.runpytest_subprocess("--dcs-image=good:1", "--dcs-runtime=15.4", path)
    assert result.ret == pytest.ExitCode.INTERRUPTED
