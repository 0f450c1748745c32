"""What the user knows of the nodes' GPUs is read before anything is judged."""

from __future__ import annotations

import pytest

STATIC = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-profile=python,gpu", "-rs")


@pytest.mark.parametrize(
    ("argument", "messages"),
    [
        (
            "--dcs-gpu-driver=new",
            ["*option --dcs-gpu-driver is 'new'.", "*as `nvidia-smi` shows it: 550.54.15.*"],
        ),
        (
            "--dcs-gpu-type=T4,RTX9999",
            ["*option --dcs-gpu-type is 'RTX9999'.", "*one of K80, *T4, *H100*"],
        ),
    ],
)
def test_a_driver_or_gpu_that_does_not_exist_stops_the_run(
    dcs: pytest.Pytester, argument: str, messages: list[str]
) -> None:
    result = dcs.runpytest(*STATIC, argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(messages)
    result.stderr.no_fnmatch_line("*Traceback*")


def test_without_a_driver_nothing_is_compared_and_the_run_says_how(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(*STATIC, "--dcs-select=GPU008")
    result.stdout.fnmatch_lines(["*no driver is known to compare with: --dcs-gpu-driver=*"])


@pytest.mark.parametrize("by", ["option", "environment", "ini"])
def test_a_driver_is_taken_from_wherever_it_is_named(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv("DCS_GPU_DRIVER", "550.54.15")
    if by == "ini":
        dcs.makeini("[pytest]\ndcs_gpu_driver = 550.54.15\n")
    more = ["--dcs-gpu-driver=550.54.15"] if by == "option" else []
    result = dcs.runpytest(*STATIC, "--dcs-select=GPU008", *more)
    result.assert_outcomes(passed=1)


def test_types_of_gpus_are_taken_in_small_letters_and_in_lists(dcs: pytest.Pytester) -> None:
    dcs.runpytest(*STATIC, "--dcs-select=GPU008", "--dcs-gpu-type=t4,a10").assert_outcomes(
        skipped=1
    )


def test_an_image_for_processors_is_asked_nothing_of_gpus(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(*STATIC[:2], "-rs", "--dcs-select=GPU003", "--dcs-profile=python")
    result.stdout.fnmatch_lines(["*profile python does not declare gpu*"])
