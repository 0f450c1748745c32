"""What goes wrong in other plugins: each trap was met in the wild, and each has its test."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import STATIC, junit_properties

GOOD = "--dcs-image=good:1"

FAKE_HOST = """
import pytest

@pytest.fixture(scope="session")
def dcs_host():
    return "the container"
"""


def test_host_is_the_container_and_never_this_machine(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FAKE_HOST)
    path = dcs.makepyfile("def test_own(host, dcs_image): assert host == 'the container'")
    dcs.runpytest(GOOD, "--dcs-runtime=15.4", path).assert_outcomes(passed=1)


def test_host_is_the_container_when_testinfra_is_loaded_last(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FAKE_HOST)
    path = dcs.makepyfile("def test_own(host): assert host == 'the container'")
    result = dcs.runpytest_subprocess(
        "-p", "dcs", "-p", "testinfra", GOOD, "--dcs-runtime=15.4", path
    )
    result.assert_outcomes(passed=1)


def test_without_an_image_the_fixtures_skip_and_say_what_they_need(dcs: pytest.Pytester) -> None:
    path = dcs.makepyfile("def test_own(dcs_host, dcs_runtime): assert False")
    result = dcs.runpytest(path, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needs --dcs-image"])


def test_without_an_image_own_image_tests_do_not_look_at_this_machine(
    dcs: pytest.Pytester,
) -> None:
    dcs.makeini("[pytest]\ndcs_tests = image_tests\n")
    dcs.mkdir("image_tests").joinpath("test_own.py").write_text(
        "def test_bash(host): assert host.file('/bin/sh').exists"
    )
    result = dcs.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*needs --dcs-image"])


@pytest.mark.parametrize("optimize", ["1", "2"])
def test_checks_still_bite_where_python_drops_assertions(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, optimize: str
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", optimize)
    result = dcs.runpytest_subprocess("--dcs-image=arm:1", *STATIC)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*FAIL    IMG001*found linux/arm64*"])


def test_the_plugin_module_imports_neither_docker_nor_testinfra() -> None:
    program = (
        "import sys; before = set(sys.modules); import pytest_dcs.plugin; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'docker', 'requests', 'platformdirs', 'filelock', 'testinfra', 'tomllib', 'tarfile'}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_verdict_is_the_same_under_xdist(dcs: pytest.Pytester, workers: str) -> None:
    images = (GOOD, "--dcs-image=arm:1", "--dcs-image=user:1")
    result = dcs.runpytest_subprocess(*images, *STATIC, "-n", workers, "--junitxml=report.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "good:1 * on 15.4: releasable",
            "arm:1 * on 15.4: NOT releasable",
            "user:1 * on 15.4: releasable",
        ]
    )
    found = junit_properties(dcs.path / "report.xml")
    assert found["test_user_is_root[user:1-15.4]"]["dcs_outcome"] == "advice"


@pytest.mark.parametrize("distribution", ["load", "worksteal", "loadfile"])
def test_all_tests_of_one_image_go_to_one_worker(dcs: pytest.Pytester, distribution: str) -> None:
    images = [f"--dcs-image={name}:1" for name in ("good", "user", "entrypoint")]
    result = dcs.runpytest_subprocess(*images, *STATIC, "-n", "2", "--dist", distribution, "-v")
    workers: dict[str, set[str]] = {}
    for line in result.outlines:
        worker, _, check = line.partition("dcs/image::")
        if worker.startswith("[gw") and check:
            workers.setdefault(check.partition("[")[2], set()).add(worker.partition(" ")[0])
    assert len(workers) == 3
    assert all(len(each) == 1 for each in workers.values())


def test_an_engine_that_breaks_during_the_run_is_a_setup_error(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(
            "\n\ndef lose(self, image, spec): raise errors.EngineLost('gone')\n"
            "ImagesOnly.launch = lose\n"
        )
    result = dcs.runpytest(GOOD, "--dcs-runtime=15.4", "--dcs-select=IMG,SYS002,SYS003")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*the container engine stopped answering (gone).*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert result.parseoutcomes()["errors"] == 1
