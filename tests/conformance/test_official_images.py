"""No rule may fail on an official image, and which advice each of them gets is known.

The rules that need no container are run on the images as data; `--official-registry` runs all rules
on the images themselves.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import runtimes
from pytest_dcs.rules import Blocked, NotApplicable, Rule, RuleBroken, catalogue
from tests.checking import check_of

from .official import OfficialImage, official_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IMAGES = tuple(official_images())
KNOWN_RUNTIMES = runtimes.load()

every_image = pytest.mark.parametrize("official", IMAGES, ids=str)


def fixtures_of(official: OfficialImage) -> Mapping[str, Any]:
    """Return what checks ask for and what an image as data can answer."""
    # Support of a runtime ends some day; that is no property of the image.
    runtime = replace(KNOWN_RUNTIMES.find(official.runtime), end_of_support=None)
    known = {
        "dcs_image": official.image,
        "dcs_runtime": runtime,
        "dcs_inventory": official.inventory,
        "dcs_java": official.inventory.java,
        "dcs_python": official.inventory.python,
        "dcs_features": KNOWN_RUNTIMES.features(official.profile),
        "dcs_catalogue": KNOWN_RUNTIMES,
    }
    return {name: value for name, value in known.items() if value is not None}


def applicable_rules(fixtures: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules that are asked of an image and that these fixtures can answer."""
    for rule in catalogue().values():
        is_needed = rule.need is None or KNOWN_RUNTIMES.needs[rule.need].of(fixtures["dcs_runtime"])
        is_declared = rule.feature in {None, *fixtures["dcs_features"]}
        if is_needed and is_declared and set(parameters(rule)) <= set(fixtures):
            yield rule


def parameters(rule: Rule) -> list[str]:
    """Return the names of the fixtures that a rule's check asks for."""
    return list(inspect.signature(check_of(rule)).parameters)


def broken_rules(official: OfficialImage) -> Iterator[tuple[Rule, RuleBroken]]:
    """Yield the rules that an image does not meet, with what was found."""
    fixtures = fixtures_of(official)
    for rule in applicable_rules(fixtures):
        try:
            check_of(rule)(**{name: fixtures[name] for name in parameters(rule)})
        except (Blocked, NotApplicable):
            continue
        except RuleBroken as broken:
            yield rule, broken


@every_image
def test_no_rule_fails(official: OfficialImage) -> None:
    failing = {str(rule): str(why) for rule, why in broken_rules(official) if rule.level == "fail"}

    assert not failing, official.source


@every_image
def test_the_advice_is_the_known_one(official: OfficialImage) -> None:
    advised = {rule.id: str(why) for rule, why in broken_rules(official) if rule.level == "advice"}

    assert set(advised) == official.advice, advised


@every_image
def test_rules_of_the_config_and_the_jvm_are_run(official: OfficialImage) -> None:
    families = {rule.family for rule in applicable_rules(fixtures_of(official))}

    assert families >= {"IMG", "JVM"}


def test_a_broken_image_does_not_conform() -> None:
    good = IMAGES[0]
    arm = replace(good.image, config=replace(good.image.config, architecture="arm64"))

    assert [rule.id for rule, _ in broken_rules(replace(good, image=arm))] == ["IMG001"]


def test_every_need_that_a_rule_names_is_known() -> None:
    named = {rule.need for rule in catalogue().values() if rule.need}

    assert named <= set(KNOWN_RUNTIMES.needs)


def test_every_feature_that_a_rule_names_is_in_a_profile() -> None:
    named = {rule.feature for rule in catalogue().values() if rule.feature}

    assert named <= set().union(*KNOWN_RUNTIMES.profiles.values())


def test_images_add_to_their_bases() -> None:
    standard = next(image for image in IMAGES if image.name == "standard-15.4")

    assert standard.image.config.environment["LANG"] == "C.UTF-8"
    assert standard.image.config.environment["USER"] == "root"
    assert standard.inventory.packages is not None
    assert {"acl", "fuse", "openssh-server"} <= set(standard.inventory.packages)
    assert standard.inventory.users is not None
    assert [(user.name, user.uid) for user in standard.inventory.users[3:]] == [
        ("libraries", 1000),
        ("ubuntu", 1001),
    ]


def test_a_gpu_image_keeps_the_path_of_its_base() -> None:
    gpu = next(image for image in IMAGES if image.name == "gpu-venv-17.3")

    assert gpu.image.config.environment["PATH"].startswith("/usr/local/nvidia/bin:")
    assert gpu.image.config.environment["PATH"].endswith(":/usr/sbin:/usr/bin:/sbin:/bin")
    assert gpu.image.config.command == ()
