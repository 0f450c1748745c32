"""The table of an image beside the official one: when it is shown, and that it decides nothing."""

from __future__ import annotations

import pytest

FACTS = """

from pytest_dcs.inventory import Inventory, OsRelease, Python


@pytest.fixture(scope="session")
def dcs_inventory():
    python = Python(
        executable="/databricks/python3/bin/python",
        version="3.11.11",
        release_level="final",
        prefix="/databricks/python3",
        packages={"numpy": "2.1.3", "tabulate": "0.9.0"},
    )
    return Inventory(os=OsRelease("ubuntu", "22.04"), python=python)
"""
TITLE = "  beside the official image of 15.4:"
RUN = ("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=PY002")


@pytest.fixture
def facts(dcs: pytest.Pytester) -> pytest.Pytester:
    with (dcs.path / "conftest.py").open("a") as conftest:
        conftest.write(FACTS)
    return dcs


def test_the_table_stands_below_the_verdict_and_decides_nothing(facts: pytest.Pytester) -> None:
    result = facts.runpytest(*RUN)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "good:1 * on 15.4: releasable",
            "  1 rule passes",
            TITLE,
            "*packages: 0 the same, 1 in another version, * missing, 1 more",
            "*numpy  2.1.3  official 1.23.5",
            "*more      tabulate",
            "*the whole table: -v",
        ]
    )
    result.stdout.no_fnmatch_line("*zipp *")


def test_the_whole_table_is_shown_when_more_is_asked_for(facts: pytest.Pytester) -> None:
    result = facts.runpytest(*RUN, "-v")
    result.stdout.fnmatch_lines([TITLE, "*zipp * none * official 3.11.0"])


def test_no_table_is_shown_when_less_is_asked_for(facts: pytest.Pytester) -> None:
    facts.runpytest(*RUN, "-q").stdout.no_fnmatch_line(TITLE)


def test_the_table_comes_from_the_workers_of_xdist_once(facts: pytest.Pytester) -> None:
    result = facts.runpytest_subprocess(*RUN, "--dcs-select=PY006", "-n2")
    assert result.stdout.str().count(TITLE) == 1


def test_each_image_has_a_table_of_its_own(facts: pytest.Pytester) -> None:
    result = facts.runpytest(*RUN, "--dcs-runtime=16.4")
    result.stdout.fnmatch_lines([TITLE, "  beside the official image of 16.4:"])


def test_a_run_that_reads_no_facts_shows_no_table(facts: pytest.Pytester) -> None:
    result = facts.runpytest("--dcs-image=good:1", "--dcs-runtime=15.4", "--dcs-select=IMG001")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*beside the official image*")


def test_a_runtime_without_an_official_image_shows_no_table(facts: pytest.Pytester) -> None:
    result = facts.runpytest("--dcs-image=good:1", "--dcs-runtime=18", "--dcs-select=PY002")
    result.stdout.no_fnmatch_line("*beside the official image*")
