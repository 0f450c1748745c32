"""--dcs-gpus: what it takes, and that a run without GPUs says so and fails only when strict."""

from __future__ import annotations

import pytest

GPU = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-profile=python,gpu")

NO_GPUS = '''

class Refused:
    name, emulated, fuse = "refused", False, False
    gpu_refusal = "the engine has none"

    def end(self):
        pass


@pytest.fixture(scope="session")
def _dcs_node(dcs_engine, _dcs_entry, pytestconfig):
    """A launch without shell and init scripts, as this engine runs no command."""
    from pytest_dcs import gpu_request
    from pytest_dcs.launch import Launch
    from types import SimpleNamespace

    gpus = gpu_request.parse(pytestconfig.stash[stash.SETTINGS].gpus.value, "")
    launch = Launch(dcs_engine, SimpleNamespace(gpus=gpus, features=_dcs_entry.features))
    launch._container = Refused()
    return launch
'''


@pytest.mark.parametrize("value", ["0", "some", "device="])
def test_other_values_are_refused_with_the_forms(dcs: pytest.Pytester, value: str) -> None:
    result = dcs.runpytest(*GPU, f"--dcs-gpus={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*option --dcs-gpus is '{value}'*", "*all, a number above 0*"])


def test_the_header_says_which_gpus_are_asked_for_and_where(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_GPUS", "device=0,1")
    result = dcs.runpytest(*GPU, "--dcs-select=IMG001")
    result.stdout.fnmatch_lines(["dcs: *gpus device=0,1 (environment DCS_GPUS)*"])


def test_the_command_line_can_take_back_what_the_ini_file_asks_for(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_gpus = all\n")
    result = dcs.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001")
    result.stdout.fnmatch_lines(["dcs: good:1 is to get GPUs, and no rule looks at them*"])
    result = dcs.runpytest(
        *("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001", "--dcs-gpus=none")
    )
    result.stdout.no_fnmatch_line("*is to get GPUs*")


def test_a_run_without_gpu_rules_says_that_no_gpu_was_tested(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(*GPU, "--dcs-select=IMG001")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*note    GPU not tested: no rule that needs one was run"])


@pytest.fixture
def refused(dcs: pytest.Pytester) -> pytest.Pytester:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(NO_GPUS)
    return dcs


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        ((), pytest.ExitCode.OK, "see --dcs-gpus"),
        (("--dcs-strict",), pytest.ExitCode.OK, "see --dcs-gpus"),
        (("--dcs-gpus=all",), pytest.ExitCode.OK, "the engine has none"),
    ],
)
def test_a_gpu_that_was_not_tested_is_noted_and_nothing_fails(
    refused: pytest.Pytester, options: tuple[str, ...], status: int, reason: str
) -> None:
    result = refused.runpytest(*GPU, "--dcs-select=IMG001,GPU03", *options)
    assert result.ret == status
    result.stdout.fnmatch_lines([f"*note    GPU not tested: {reason}"])


def test_gpus_that_a_strict_run_does_not_get_make_it_inconclusive(
    refused: pytest.Pytester,
) -> None:
    result = refused.runpytest(*GPU, "--dcs-select=IMG001,GPU03", "--dcs-strict", "--dcs-gpus=all")
    assert result.ret == 75
    result.stdout.fnmatch_lines(
        ["*: inconclusive", "*blocked GPU030: GPU not tested: the engine has none"]
    )
