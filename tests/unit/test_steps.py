"""The launch is one ordered list of steps, each with its sources and its open assumptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import steps
from pytest_dcs.report import pages
from pytest_dcs.rules import catalogue

if TYPE_CHECKING:
    from pytest_dcs.steps import Step

each_step = pytest.mark.parametrize("step", steps.all_steps(), ids=lambda step: step.name)


def test_the_steps_stand_in_the_order_of_a_node() -> None:
    assert [step.name for step in steps.all_steps()] == [
        "image",
        "container",
        "runtime-code",
        "init-scripts",
        "cluster",
        "driver",
        "cluster-libraries",
        "notebook-environment",
        "notebook-user",
        "kernel",
        "language-server",
        "r-session",
    ]


@each_step
def test_a_step_has_public_sources(step: Step) -> None:
    assert step.sources
    assert all(re.fullmatch(r"https://\S+", source) for source in step.sources)


@each_step
def test_an_assumption_says_what_happens_without_it(step: Step) -> None:
    for assumption in step.assumptions:
        assert assumption.says.endswith((".", "not published."))
        assert assumption.without.endswith(".")


def test_every_switch_has_one_name() -> None:
    switches = steps.switches()
    assert len(switches) == len({*switches, *(step.name for step in steps.all_steps())}) - len(
        [step for step in steps.all_steps() if not step.optional]
    )


def test_every_step_after_the_image_is_judged_by_a_rule() -> None:
    judged = {rule.step for rule in catalogue().values()}
    for step in steps.all_steps()[1:]:
        names = {step.name, *(assumption.name for assumption in step.assumptions)}
        assert names & judged, step.name


def test_every_step_that_a_rule_judges_exists() -> None:
    names = {*steps.switches(), *(step.name for step in steps.all_steps())}
    assert {rule.step for rule in catalogue().values() if rule.step} <= names


def test_the_page_of_the_launch_shows_steps_rules_sources_and_switches() -> None:
    page = pages.explain("launch")
    for expected in (
        " 2  A container is created from the image (container)",
        "    rule      SYS001 shell-answers",
        "    source    https://",
        "    assumed   host-name",
        "              Without it: The engine chooses the host name.",
        "    left out  by --dcs-without=kernel",
    ):
        assert expected in page
    assert max(map(len, page.splitlines())) <= 120


def test_a_step_or_an_assumption_names_what_is_assumed() -> None:
    assert steps.assumptions_of("notebook-user") == ("user-isolation",)
    assert steps.assumptions_of("shared-driver") == ("shared-driver",)
    assert steps.assumptions_of("image") == steps.assumptions_of(None) == ()
