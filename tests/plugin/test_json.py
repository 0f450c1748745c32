"""The document of a run: when it is written, and that it has all of the run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.report import document

from .conftest import STATIC

if TYPE_CHECKING:
    from pathlib import Path

FACTS = """

from pytest_dcs.inventory import Inventory, OsRelease, Python


@pytest.fixture(scope="session")
def dcs_inventory():
    python = Python("/p", "3.11.11", "final", "/databricks/python3", {"numpy": "2.1.3"})
    return Inventory(os=OsRelease("ubuntu", "22.04"), python=python, packages={"acl": "2"})


CONFIGS["good:1"] = {
    **GOOD, "environment": {**GOOD["environment"], "MODEL_TOKEN": "hunter2-and-more", "LANG": "C"}
}
"""
GOOD = "--dcs-image=good:1"


def written(dcs: pytest.Pytester, name: str = "run.json") -> dict[str, Any]:
    return document.read(dcs.path / name)


def test_a_document_has_the_verdict_and_all_findings(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest(GOOD, "--dcs-image=arm:1", *STATIC, "--dcs-json=run.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    made = written(dcs)
    assert (made["engine"], made["seen"]) == ("docker", "outside")
    good, arm = made["entries"]
    assert (good["image"], good["runtime"], good["verdict"]) == ("good:1", "15.4", "releasable")
    assert good["digest"].startswith("sha256:1f3c")
    assert (good["profile"], good["runtime_source"]) == ("python", "option --dcs-runtime")
    assert arm["verdict"] == "NOT releasable"
    outcomes = {finding["rule"]: finding["outcome"] for finding in arm["findings"]}
    assert outcomes["IMG001"] == "fail"
    assert set(outcomes.values()) <= {"pass", "fail", "advice", "not-applicable", "blocked"}
    assert len(outcomes) == len(good["findings"]) > 5


def test_facts_come_from_wherever_they_were_read(dcs: pytest.Pytester) -> None:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FACTS)
    select = ("--dcs-select=IMG001,PY002", "--dcs-runtime=15.4", "--dcs-json=run.json")
    dcs.runpytest(GOOD, *select)
    alone = written(dcs)["entries"][0]["inventory"]
    assert alone["os"] == "ubuntu 22.04"
    assert alone["python_packages"] == {"numpy": "2.1.3"}
    assert alone["system_packages"] == {"acl": "2"}
    assert alone["environment"]["LANG"] == "C"
    assert alone["environment"]["MODEL_TOKEN"] == "(hidden)"
    assert "hunter2" not in (dcs.path / "run.json").read_text()
    dcs.runpytest_subprocess(GOOD, *select, "-n2")
    assert written(dcs)["entries"][0]["inventory"] == alone


def test_a_dash_prints_it_below_all_else(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest_subprocess(GOOD, *STATIC, "--dcs-json=-", "-q")
    assert result.ret == pytest.ExitCode.OK
    text = result.stdout.str()
    made = json.loads(text[text.index("\n{") :])
    assert document.problem_of(made) == ""


def test_own_tests_are_counted(dcs: pytest.Pytester) -> None:
    dcs.makepyfile("def test_good(dcs_image): pass\ndef test_bad(dcs_image): raise ValueError")
    dcs.runpytest(GOOD, *STATIC, "--dcs-json=run.json", "test_own_tests_are_counted.py")
    (entry,) = written(dcs)["entries"]
    assert (entry["own_passes"], entry["own_failures"]) == (1, 1)


def test_a_relative_path_counts_from_where_pytest_was_called(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = dcs.mkdir("below")
    dcs.makeini("[pytest]\ndcs_json = ini.json\n")
    monkeypatch.chdir(below)
    run = (GOOD, *STATIC, f"--rootdir={dcs.path}", f"-c{dcs.path / 'tox.ini'}")
    dcs.runpytest(*run)
    assert (dcs.path / "ini.json").exists()
    monkeypatch.setenv("DCS_JSON", "environment.json")
    dcs.runpytest(*run)
    assert (below / "environment.json").exists()


@pytest.mark.parametrize("name", [".", "missing/run.json"])
def test_a_file_that_cannot_be_written_stops_the_run_before_it_begins(
    dcs: pytest.Pytester, name: str
) -> None:
    result = dcs.runpytest(GOOD, *STATIC, f"--dcs-json={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: the run's document cannot be written to *"])
    result.stdout.no_fnmatch_line("*Databricks Container Services*")


def test_a_file_that_can_no_longer_be_written_is_told_of(dcs: pytest.Pytester) -> None:
    target: Path = dcs.mkdir("target")
    dcs.makepyfile(f"import shutil\ndef test_remove(dcs_image): shutil.rmtree({str(target)!r})")
    own = "test_a_file_that_can_no_longer_be_written_is_told_of.py"
    result = dcs.runpytest(GOOD, *STATIC, f"--dcs-json={target / 'run.json'}", own)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: dcs: the run's document cannot be written*No such file*"])


def test_nothing_is_written_unless_it_is_asked_for(dcs: pytest.Pytester) -> None:
    before = {path.name for path in dcs.path.iterdir()}
    result = dcs.runpytest(GOOD, *STATIC, "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.OK
    assert {path.name for path in dcs.path.iterdir()} - {"__pycache__"} == before
