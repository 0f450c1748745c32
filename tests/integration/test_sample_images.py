"""The sample images give exactly the findings that they were made for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import pytest

from sample_images import build, variants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sample_images.variants import Variant

pytestmark = pytest.mark.docker

Depth = Literal["config", "container", "spark"]
Findings = dict[str, tuple[str, str]]
"""The outcome of each rule and what was found, by the rule's id."""

OPTIONS: dict[Depth, tuple[str, ...]] = {
    "config": ("--dcs-select=IMG",),
    "container": ("--dcs-ignore=SPK",),
    "spark": (),
}
TIME_LIMIT = 900
CANNOT_BE_CHECKED_EVERYWHERE = {"FUS001"}
"""An engine may not grant the right to mount."""


@dataclass(frozen=True)
class Sample:
    """An image, and what must be found in it."""

    reference: str
    profile: str
    runtime: str
    depth: Depth
    fails: frozenset[str] = frozenset()
    advice: frozenset[str] = frozenset()


def good(profile: str) -> Sample:
    return Sample(f"{variants.REPOSITORY}/{profile}", profile, "15.4", "spark")


def sample(variant: Variant) -> Sample:
    """Return a variant with how deep it has to be looked into: Spark is slow."""
    depth: Depth = "container"
    if variant.platform != variants.PLATFORM:
        depth = "config"
    elif variant.kind == "good" or any(rule.startswith("SPK") for rule in variant.fails):
        depth = "spark"
    return Sample(
        reference=variant.reference,
        profile=variant.profile,
        runtime=variant.runtime,
        depth=depth,
        fails=frozenset(variant.fails),
        advice=frozenset(variant.advice),
    )


SAMPLES = {
    **{image: good(image) for image in build.GOOD},
    **{variant.id: sample(variant) for variant in variants.all_variants()},
}


@pytest.fixture(scope="module")
def findings_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Sample], Findings]:
    """Return a function that judges a sample, and all selected ones of its depth with it."""
    selected: dict[Depth, list[Sample]] = defaultdict(list)
    for item in request.session.items:
        wanted = item.callspec.params.get("wanted") if hasattr(item, "callspec") else None
        if isinstance(wanted, Sample):
            selected[wanted.depth].append(wanted)
    judged: dict[Depth, Mapping[str, Findings]] = {}

    def find(wanted: Sample) -> Findings:
        depth = wanted.depth
        if depth not in judged:
            judged[depth] = {}
            judged[depth] = judge(selected[depth], depth, tmp_path_factory.mktemp(depth))
        assert judged[depth], "no report: the first failure of this file says why"
        return judged[depth][wanted.reference]

    return find


def judge(samples: list[Sample], depth: Depth, folder: Path) -> Mapping[str, Findings]:
    """Run pytest on the samples in a folder of its own, and return what it found in each."""
    folder.joinpath("dcs-images.toml").write_text(
        "\n".join(
            f"[[image]]\nimage = {json.dumps(each.reference)}\n"
            f"runtimes = [{json.dumps(each.runtime)}]\nprofile = {json.dumps(each.profile)}\n"
            for each in samples
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--dcs-image=dcs-images.toml", *OPTIONS[depth]),
            *("-n2", "-p", "no:cacheprovider", "--junitxml=junit.xml"),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    report = folder / "junit.xml"
    assert report.is_file(), done.stdout + done.stderr
    findings: dict[str, Findings] = {each.reference: {} for each in samples}
    for case in ET.parse(report).getroot().iter("testcase"):
        properties = {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
        findings[properties["dcs_image"]][properties["dcs_rule"]] = (
            properties["dcs_outcome"],
            properties["dcs_found"],
        )
    return findings


@pytest.mark.parametrize("wanted", SAMPLES.values(), ids=SAMPLES)
def test_sample_gives_its_findings_and_no_others(
    wanted: Sample, findings_of: Callable[[Sample], Findings]
) -> None:
    found = findings_of(wanted)
    rules: dict[str, dict[str, str]] = defaultdict(dict)
    for rule, (outcome, message) in found.items():
        rules[outcome][rule] = message

    assert rules["pass"]
    assert set(rules["fail"]) == wanted.fails, rules["fail"]
    assert set(rules["advice"]) == wanted.advice, rules["advice"]
    assert not rules["error"]
    if not wanted.fails:
        assert set(rules["blocked"]) <= CANNOT_BE_CHECKED_EVERYWHERE, rules["blocked"]
