"""Who may ask for a launch on a real cluster, and that nothing of it is there otherwise."""

from __future__ import annotations

import sys

import pytest

from .conftest import STATIC

GOOD = "--dcs-image=good:1"
REMOTE = (GOOD, "--dcs-runtime=15.4", "--dcs-select=RUN", "--dcs-remote")


def refused(dcs: pytest.Pytester, said: str, *arguments: str) -> None:
    result = dcs.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: {said}"])


def test_a_run_without_the_option_imports_nothing_of_it(dcs: pytest.Pytester) -> None:
    dcs.makepyfile(
        """
        import sys

        def test_it(dcs_image):
            loaded = [each for each in sys.modules if each.startswith(
                ("pytest_dcs.remote", "pytest_dcs.bundle", "databricks", "requests"))]
            assert loaded == []
        """
    )
    result = dcs.runpytest_subprocess(
        GOOD, "--dcs-runtime=15.4", "test_a_run_without_the_option_imports_nothing_of_it.py"
    )
    result.assert_outcomes(passed=1)


def test_its_rules_are_not_asked_without_it(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "-v")
    result.stdout.no_fnmatch_line("*dcs/remote*")
    result.stdout.no_fnmatch_line("*dcs/registry*")
    alone = dcs.runpytest(GOOD, "--dcs-runtime=15.4", "--dcs-select=RUN")
    assert alone.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("name", ["dcs_remote", "dcs_remote_spec", "dcs_remote_differences"])
def test_own_tests_are_skipped_without_it(dcs: pytest.Pytester, name: str) -> None:
    dcs.makepyfile(f"def test_it({name}): raise AssertionError")
    result = dcs.runpytest(
        GOOD, "--dcs-runtime=15.4", "-rs", "test_own_tests_are_skipped_without_it.py"
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs --dcs-remote*"])


def test_a_variable_launches_nothing(dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCS_REMOTE", "true")
    result = dcs.runpytest(GOOD, *STATIC)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*REAL CLUSTERS*")


def test_an_ini_key_launches_nothing(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\ndcs_remote = true\n")
    result = dcs.runpytest(GOOD, *STATIC, "-W", "ignore")
    result.stdout.no_fnmatch_line("*REAL CLUSTERS*")


def test_a_file_cannot_ask_for_it(dcs: pytest.Pytester) -> None:
    dcs.makeini("[pytest]\naddopts = --dcs-remote\n")
    refused(dcs, "nothing is launched: a configuration file asks for --dcs-remote.", GOOD)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dcs-remote",), "no image is named"),
        ((*REMOTE, "-n1"), "a worker of pytest-xdist*"),
        ((*REMOTE, "--dcs-engine=local"), "with --dcs-engine=local this machine is the image"),
    ],
)
def test_what_cannot_be_launched_is_said_at_once(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    if sys.platform != "linux" and "--dcs-engine=local" in arguments:
        pytest.skip("the engine itself is refused first")
    refused(dcs, f"nothing is launched: {said}.", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no node type is named for the cluster."),
        (("--dcs-remote-cluster=none.json",), "no cluster can be taken from *none.json: No such*"),
        (("--dcs-remote-node-type=m6g.large",), "*node_type_id is m6g.large (AWS Graviton)*"),
        (
            ("--dcs-remote-node-type=i3.xlarge", "--dcs-remote-by-digest"),
            "good:1 has no digest in a registry that is known here.",
        ),
    ],
)
def test_a_cluster_that_cannot_be_made_is_said_before_anything_runs(
    dcs: pytest.Pytester, arguments: tuple[str, ...], said: str
) -> None:
    refused(dcs, said, *REMOTE, *arguments)


def test_without_a_workspace_nothing_is_launched(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CONFIG_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(dcs.path / "none"))
    # Whatever has no checks to bring needs no package index.
    arguments = (*REMOTE, "--dcs-ignore=RUN003,RUN004", "--dcs-remote-node-type=i3.xlarge")
    refused(dcs, "no workspace to launch on*", *arguments)


def test_collecting_launches_nothing(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(*REMOTE, "--collect-only", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*test_cluster_starts_with_the_image*"])


def test_a_selection_without_the_launch_says_so(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, *STATIC, "--dcs-remote")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["dcs: nothing is launched: no selected test asks for it"])
