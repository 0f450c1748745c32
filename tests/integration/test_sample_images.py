"""The sample images give exactly the findings that they were made for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree as ET

import pytest

from pytest_dcs import rules
from sample_images import build, variants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sample_images.variants import Variant

pytestmark = pytest.mark.docker

Depth = Literal["config", "container", "notebook", "spark", "deep"]
Kind = tuple[Depth, tuple[str, ...]]
"""What a run judges alike: how deep it looks, and with which further options."""
Findings = dict[str, tuple[str, str]]
"""The outcome of each rule and what was found, by the rule's id."""

SPARK_IN_NOTEBOOK = "NB012"
OPTIONS: dict[Depth, tuple[str, ...]] = {
    "config": ("--dcs-select=IMG",),
    "container": ("--dcs-ignore=SPK,DAT,NB", "--dcs-without=kernel,language-server"),
    "notebook": (f"--dcs-ignore=SPK,DAT,{SPARK_IN_NOTEBOOK}",),
    "spark": (),
    "deep": ("--dcs-deep",),
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
    init_scripts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """What it is judged together with."""
        return self.depth, self.options


def good(profile: str) -> Sample:
    return Sample(f"{variants.REPOSITORY}/{profile}", profile, "15.4", "deep")


def sample(variant: Variant) -> Sample:
    """Return a variant with how deep it has to be looked into: Spark is slow."""
    return Sample(
        reference=variant.reference,
        profile=variant.profile,
        runtime=variant.runtime,
        depth=depth_of(variant),
        fails=frozenset(variant.fails),
        advice=frozenset(variant.advice),
        init_scripts=variant.init_script_names,
        options=variant.option_words,
    )


def depth_of(variant: Variant) -> Depth:
    if variant.platform != variants.PLATFORM:
        return "config"
    if variant.kind == "good":
        return "deep"
    broken = [rules.catalogue()[rule_id] for rule_id in (*variant.fails, *variant.advice)]
    if any(rule.probe == "dcs_spark_deep_smoke" for rule in broken):
        return "deep"
    if any(each.startswith("SPK") for rule in broken for each in (rule.id, *rule.requires)):
        return "spark"
    return "notebook" if any(rule.family == "NB" for rule in broken) else "container"


SAMPLES = {
    **{image: good(image) for image in build.GOOD},
    **{variant.id: sample(variant) for variant in variants.all_variants()},
}


@pytest.fixture(scope="module")
def findings_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Sample], Findings]:
    """Return a function that judges a sample, and all selected ones of its depth with it."""
    selected: dict[Kind, list[Sample]] = defaultdict(list)
    for item in request.session.items:
        wanted = item.callspec.params.get("wanted") if hasattr(item, "callspec") else None
        if isinstance(wanted, Sample):
            selected[wanted.kind].append(wanted)
    judged: dict[Kind, Mapping[str, Findings]] = {}

    def find(wanted: Sample) -> Findings:
        kind = wanted.kind
        if kind not in judged:
            judged[kind] = {}
            judged[kind] = judge(selected[kind], kind, tmp_path_factory.mktemp(wanted.depth))
        assert judged[kind], "no report: the first failure of this file says why"
        return judged[kind][wanted.reference]

    return find


def judge(samples: list[Sample], kind: Kind, folder: Path) -> Mapping[str, Findings]:
    """Run pytest on the samples in a folder of its own, and return what it found in each."""
    depth, options = kind
    folder.joinpath("dcs-images.toml").write_text(
        "\n".join(
            f"[[image]]\nimage = {json.dumps(each.reference)}\n"
            f"runtimes = [{json.dumps(each.runtime)}]\nprofile = {json.dumps(each.profile)}\n"
            f"init_scripts = {json.dumps(each.init_scripts)}\n"
            for each in samples
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "--dcs-image=dcs-images.toml",
                *OPTIONS[depth],
                *options,
            ),
            *("-n2", "-p", "no:cacheprovider", "--junitxml=junit.xml"),
        ],
        cwd=folder,
        env={**os.environ, "CI": "true"},  # no class-data archives for the odd JDKs of samples
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
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for rule, (outcome, message) in findings_of(wanted).items():
        found[outcome][rule] = message

    assert found["pass"]
    assert set(found["fail"]) == wanted.fails, found["fail"]
    assert set(found["advice"]) == wanted.advice, found["advice"]
    assert not found["error"]
    if not wanted.fails:
        assert set(found["blocked"]) <= CANNOT_BE_CHECKED_EVERYWHERE, found["blocked"]
