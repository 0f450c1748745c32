from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pytest_dcs import errors, rules
from pytest_dcs.rules import Item, Rule, RuleBroken, answer, catalogue
from pytest_dcs.runtimes import load
from pytest_dcs.toml_files import read_toml
from sample_images import stages

from .fake_host import Result

BROKEN_IMAGES = read_toml(Path(__file__).parents[2] / "sample_images" / "broken.toml")["image"]

WITHOUT_BROKEN_IMAGE = {
    "SPK007": "what breaks toPandas breaks pandas functions too, and SPK006 blocks it then",
    **{
        rule.id: "needs a GPU: the tests of its probe break each stage, with a driver of their own"
        for rule in catalogue().values()
        if rule.probe in rules.GPU_PROBES
    },
    **{
        rule.id: "is about a registry or a cluster: tests/remote breaks each"
        for rule in catalogue().values()
        if rule.family in rules.REMOTE_FAMILIES
    },
}
"""Rules that no sample can break alone, and why; their unit tests break them."""

each_rule = pytest.mark.parametrize("rule", catalogue().values(), ids=str)


@each_rule
def test_a_rule_says_why_and_how_to_fix_it(rule: Rule) -> None:
    assert len(rule.why) > len(rule.name)
    assert rule.fix
    assert re.search(r"`[^`]+`|--", rule.fix), "the fix names no line to write"


@each_rule
def test_a_rule_has_public_sources(rule: Rule) -> None:
    assert rule.sources
    assert all(re.fullmatch(r"https://\S+", source) for source in rule.sources)


@each_rule
def test_a_rules_name_reads_as_its_requirement(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert [each.id for each in catalogue().values() if each.name == rule.name] == [rule.id]


@each_rule
def test_a_rules_need_and_feature_are_in_the_data(rule: Rule) -> None:
    runtimes = load()
    assert rule.need is None or rule.need in runtimes.needs
    assert rule.feature is None or rule.feature in set().union(*runtimes.profiles.values())


@each_rule
def test_a_rule_requires_rules_that_exist(rule: Rule) -> None:
    assert set(rule.requires) <= set(catalogue())


@each_rule
def test_a_rule_about_the_config_needs_no_container(rule: Rule) -> None:
    assert rule.where != "image" or not [
        required for required in rule.requires if catalogue()[required].where != "image"
    ]


@each_rule
def test_an_image_broken_in_just_that_way_exists(rule: Rule) -> None:
    broken = {
        rule_id
        for image in BROKEN_IMAGES
        for rule_id in (*image.get("fails", ()), *image.get("advice", ()))
    }
    assert rule.id in broken | WITHOUT_BROKEN_IMAGE.keys()


@pytest.mark.parametrize("rule", [*filter(stages.is_dynamic, catalogue().values())], ids=str)
def test_a_step_or_stage_has_an_image_that_nothing_else_catches(rule: Rule) -> None:
    assert stages.caught_alone(rule) or rule.id in WITHOUT_BROKEN_IMAGE


def test_the_level_of_a_broken_image_is_the_rules_own() -> None:
    for image in BROKEN_IMAGES:
        for level, key in (("fail", "fails"), ("advice", "advice")):
            for rule_id in image.get(key, ()):
                assert catalogue()[rule_id].level == level, f"{image['id']}: {rule_id}"


def test_no_rule_waits_for_itself() -> None:
    TopologicalSorter({rule.id: rule.requires for rule in catalogue().values()}).prepare()


def test_advice_blocks_nothing() -> None:
    required = {required for rule in catalogue().values() for required in rule.requires}
    assert {catalogue()[rule_id].level for rule_id in required} == {"fail"}


def test_the_rules_of_a_family_are_together_and_in_order() -> None:
    ids = [*catalogue()]
    families = list(dict.fromkeys(rule.family for rule in catalogue().values()))
    assert ids == sorted(ids, key=lambda rule_id: (families.index(rule_id[:-3]), rule_id))


def test_a_check_without_a_fix_is_refused() -> None:
    def test_nothing() -> None:
        """Why, and no more."""

    declare = rules.rule(
        "PY999", "nothing", level="fail", effect="leak", where="image", sources=("https://a",)
    )
    with pytest.raises(ValueError, match="needs an id like PY003 and a paragraph"):
        declare(test_nothing)


def test_a_prefix_matches_its_rules() -> None:
    assert {rule.family for rule in rules.matching("py")} == {"PY"}
    assert [rule.id for rule in rules.matching("PY004")] == ["PY004"]


@pytest.mark.parametrize("text", ["PX", "", "PY0044"])
def test_a_prefix_of_nothing_is_an_error(text: str) -> None:
    with pytest.raises(errors.UnknownRule):
        rules.matching(text)


@pytest.mark.parametrize(
    ("select", "ignore", "is_selected"),
    [
        ((), (), True),
        (("PY",), (), True),
        (("JVM",), (), False),
        ((), ("PY004",), False),
        ((), ("PY",), False),
        (("PY",), ("PY004",), False),
        (("PY004",), ("PY",), True),
        (("PY", "JVM"), ("PY00",), False),
        (("PY004",), ("PY004",), False),
    ],
)
def test_the_longest_prefix_decides(
    select: tuple[str, ...], ignore: tuple[str, ...], is_selected: bool
) -> None:
    assert rules.is_selected("PY004", select, ignore) is is_selected


def test_a_failure_says_all_in_its_first_line() -> None:
    with pytest.raises(RuleBroken) as caught:
        rules.require(condition=False, subject="java", found=8, needed="17")
    assert str(caught.value) == "java: found 8; needed 17"
    assert caught.value.items == (Item("java", "8", "17"),)


def test_no_item_is_no_failure() -> None:
    rules.require_none(iter(()))
    rules.require(condition=True, subject="java", found=17, needed="17")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"rc": 127, "stderr": "sh: 1: ip: not found\n"}, "exit status 127: sh: 1: ip: not found"),
        ({"rc": 1, "stderr": "a\nb\nc\nd\n", "stdout": "e"}, "exit status 1: b; c; d"),
        (
            {"rc": 1, "stderr": "Traceback (most recent call last):\n  x\nOSError: y"},
            "exit status 1: OSError: y",
        ),
        ({"stdout": "Python 3.11.2\n"}, "Python 3.11.2"),
        ({"rc": 1}, "exit status 1: no output"),
        ({}, "no output"),
    ],
)
def test_an_answer_is_the_end_of_the_output_and_the_exit_status(
    result: dict[str, str | int], said: str
) -> None:
    assert answer(Result(**result)) == said  # type: ignore[arg-type]


def test_every_need_has_a_rule() -> None:
    asked = {rule.need for rule in rules.catalogue().values()}
    assert set(load().needs) <= asked
