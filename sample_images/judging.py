"""Judges sample images the way a user does: pytest in an empty folder, with a file of images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from pytest_dcs import rules
from sample_images.samples import parts_of_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sample_images.samples import Part, Sample

Findings = dict[str, tuple[str, str]]
"""The outcome of each rule and what was found, by the rule's id."""

BATCH_SECONDS = 40.0
"""How much work an ended run may lose; a pytest run costs most of a second to start."""
TIME_LIMIT = 900
SHOWN_LINES = 30


@dataclass(frozen=True)
class Judged:
    """What was found in a sample."""

    findings: Findings
    seconds: float
    """For all its rules, and its part of pytest's start."""
    problem: str = ""
    """Why there are no findings."""

    def outcome(self, outcome: str) -> dict[str, str]:
        """Return what the rules with this outcome have found, by their ids."""
        return {rule: found for rule, (each, found) in self.findings.items() if each == outcome}


def batches(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Return samples that one run of pytest can judge together, what takes longest first."""
    by_kind: dict[object, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_kind[sample.kind].append(sample)
    found: list[list[Sample]] = []
    for alike in by_kind.values():
        size = max(1, round(BATCH_SECONDS / max(alike[0].seconds, 1.0)))
        found += [alike[start : start + size] for start in range(0, len(alike), size)]
    return sorted(found, key=lambda batch: batch[0].seconds, reverse=True)


def judge(batch: Sequence[Sample]) -> list[tuple[Sample, Judged]]:
    """Judge samples of one kind.

    Where pytest writes no report, each is judged alone, so that one does not hide the others.
    """
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
        report = Path(folder, "junit.xml")
        problem = _run_pytest(batch, report)
        if not problem:
            return list(_read_report(batch, report))
    if len(batch) > 1:
        return [result for sample in batch for result in judge([sample])]
    return [(batch[0], Judged({}, 0.0, problem))]


def options_of(parts: frozenset[Part]) -> list[str]:
    """Return the options of pytest with which these parts are judged and no others."""
    catalogue = rules.catalogue().values()
    if not parts:
        return [f"--dcs-select={','.join(rule.id for rule in catalogue if rule.where == 'image')}"]
    left_out = [rule.id for rule in catalogue if not parts_of_rule(rule) <= parts]
    return [
        *([f"--dcs-ignore={','.join(left_out)}"] if left_out else ()),
        *(["--dcs-without=kernel,language-server"] if "notebook" not in parts else ()),
        *(["--dcs-deep"] if "deep" in parts else ()),
    ]


def _run_pytest(batch: Sequence[Sample], report: Path) -> str:
    """Run pytest on samples and return why there is no report, if there is none."""
    matrix = report.with_name("dcs-images.toml")
    matrix.write_text("\n".join(map(_matrix_entry, batch)), encoding="utf-8")
    parts, options = batch[0].kind
    own = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", f"--dcs-image={matrix.name}"),
                *(*options_of(frozenset(parts)), *options),
                *("-p", "no:cacheprovider", f"--junitxml={report.name}"),
            ],
            cwd=report.parent,
            env={**own, "CI": "true"},  # no class-data archives for the odd JDKs of samples
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"pytest has not ended within {TIME_LIMIT} s"
    if report.is_file():
        return ""
    return "\n".join(["there is no report:", *done.stdout.strip().splitlines()[-SHOWN_LINES:]])


def _is_setting(variable: str) -> bool:
    """Tell whether a variable of this shell would change what is judged."""
    is_ours = variable.startswith("DCS_") and variable != "DCS_CACHE"
    return is_ours or variable == "PYTEST_ADDOPTS"


def _matrix_entry(sample: Sample) -> str:
    return (
        f"[[image]]\nimage = {json.dumps(sample.reference)}\n"
        f"runtimes = [{json.dumps(sample.runtime)}]\nprofile = {json.dumps(sample.profile)}\n"
        f"init_scripts = {json.dumps(sample.init_scripts)}\n"
    )


def _read_report(batch: Sequence[Sample], report: Path) -> Iterator[tuple[Sample, Judged]]:
    findings: dict[str, Findings] = defaultdict(dict)
    seconds: dict[str, float] = defaultdict(float)
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    for case in suite.iter("testcase"):
        properties = {each.attrib["name"]: each.attrib["value"] for each in case.iter("property")}
        image, rule = properties["dcs_image"], properties["dcs_rule"]
        findings[image][rule] = properties["dcs_outcome"], properties["dcs_found"]
        seconds[image] += float(case.attrib["time"])
    start = max(0.0, float(suite.attrib["time"]) - sum(seconds.values())) / len(batch)
    for sample in batch:
        image = sample.reference
        yield sample, Judged(findings[image], round(seconds[image] + start, 2))
