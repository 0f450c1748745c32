"""The matrix file: several images with runtimes, profiles and waivers of their own."""

from __future__ import annotations

import pytest

MATRIX = "--dcs-image=dcs-images.toml"
GOOD_AND_ARM = """
[[image]]
image = "good:1"
runtimes = ["14.3", "15.4"]
profile = "minimal"

[[image]]
image = "arm:1"
runtimes = ["16.4"]

[[image.waive]]
rule = "IMG001"
reason = "ENG-2"
until = 2099-01-01
"""


@pytest.fixture
def matrix(dcs: pytest.Pytester) -> pytest.Pytester:
    (dcs.path / "dcs-images.toml").write_text(GOOD_AND_ARM)
    return dcs


def test_each_entry_has_its_own_runtimes_and_waivers(matrix: pytest.Pytester) -> None:
    result = matrix.runpytest(MATRIX, "--dcs-select=IMG001,IMG003")
    result.assert_outcomes(passed=5, xfailed=1)
    result.stdout.fnmatch_lines(
        ["good:1 * on 14.3: *", "good:1 * on 15.4: *", "arm:1 * on 16.4: *"]
    )


def test_each_entry_has_its_own_profile(matrix: pytest.Pytester) -> None:
    result = matrix.runpytest(MATRIX, "--dcs-select=IMG001,FUS002", "-rs")
    result.stdout.fnmatch_lines(["SKIPPED*profile minimal does not declare fuse"])


def test_the_command_line_wins_over_the_matrix(matrix: pytest.Pytester) -> None:
    result = matrix.runpytest(MATRIX, "--dcs-select=IMG001", "--dcs-runtime=17.3")
    result.stdout.fnmatch_lines(["good:1 * on 17.3: *"])


def test_the_command_lines_profile_wins_over_the_matrix(matrix: pytest.Pytester) -> None:
    result = matrix.runpytest(MATRIX, "--dcs-select=IMG001,FUS002", "--dcs-profile=dbfsfuse", "-rs")
    result.stdout.no_fnmatch_line("*does not declare*")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[image]]\nruntimes = ['15.4']", "*image 1: field 'image' is missing*"),
        ("[[image]]\nimage = 'good:1'\nruntime = '15.4'", "*image 1: field 'runtime' is unknown*"),
        ("[[image]]\nimage = 1", "*image 1: field 'image' must be a text*"),
        ("[[image]\n", "*is not valid TOML*"),
        ("", "*there is no ??image??*"),
        ("[[image]]\nimage = 'good:1'\n[[image.waive]]\nrule = 'IMG001'", "*image 1, waiver 1: *"),
    ],
)
def test_a_broken_matrix_names_file_entry_and_field(
    dcs: pytest.Pytester, text: str, message: str
) -> None:
    (dcs.path / "dcs-images.toml").write_text(text)
    result = dcs.runpytest(MATRIX, "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: dcs-images.toml: {message}"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_matrix_that_is_not_there_is_named(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=no-such.toml", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: no-such.toml: cannot be read*"])
