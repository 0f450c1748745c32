"""`--dcs-explain` with a code or an error, and the same as a command."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.__main__ import main

if TYPE_CHECKING:
    from _pytest.capture import CaptureFixture


def test_an_error_is_explained_without_engine_and_image(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-explain", 'Cannot run program "virtualenv"')
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "The driver found no virtualenv to run",
            "  look at  the image",
            "  rule     PY004 virtualenv-builds",
            "  docs     https://*",
            "In an image:  pytest --dcs-image=IMAGE --dcs-select=PY004*",
        ]
    )
    result.stdout.no_fnmatch_line("*test session starts*")


@pytest.mark.parametrize("code", ["SPARK_STARTUP_FAILURE", "spark_startup_failure"])
def test_a_termination_code_is_explained_in_any_case(dcs: pytest.Pytester, code: str) -> None:
    result = dcs.runpytest(f"--dcs-explain={code}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["Spark's driver did not start", "  rule     *"])


def test_what_nothing_fits_to_is_said_with_a_next_step(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-explain", "the weather was bad " * 9)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: dcs: nothing is known that fits to 'the weather * …'.", "*Caused by:*--dcs-list*"]
    )
    result.stderr.no_fnmatch_line("*Traceback*")


def test_the_command_reads_a_log_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ps: unrecognized option: p\nusage: ps\n"))
    assert main(["explain", "-"]) == 0
    assert capsys.readouterr().out.startswith("SYS005 procps\n")


def test_the_command_exits_with_4_where_nothing_fits(capsys: CaptureFixture[str]) -> None:
    assert main(["explain", "hello world"]) == 4
    assert "nothing is known" in capsys.readouterr().err
