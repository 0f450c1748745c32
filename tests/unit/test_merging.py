"""What another run has found joins this one's judgement."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors, runtimes
from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.plan import Entry, Plan
from pytest_dcs.report import merging
from pytest_dcs.report.findings import Finding, Judgement
from pytest_dcs.rules import Item
from pytest_dcs.waivers import Waiver

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dcs.report.findings import Outcome

IMAGE_ID = "sha256:" + "1f3c" * 16
OTHER_ID = "sha256:" + "0bad" * 16
ITEM = Item("/bin/bash", "dash", "bash")
CATALOGUE = runtimes.load()
ENTRY = Entry(
    image=Image("acme/ml:1", IMAGE_ID, ImageConfig()),
    runtime=CATALOGUE.find("15.4"),
    runtime_source="option",
    profile="python",
    features=frozenset({"jvm", "python"}),
)
FAR = datetime.date(2999, 1, 1)


def finding(outcome: Outcome, rule: str = "SYS004", **more: Any) -> Finding:
    items = (ITEM,) if outcome in {"fail", "advice"} else ()
    return Finding(ENTRY.id, rule, "a-name", outcome, message="what was found", items=items, **more)


def entry_of_document(**more: Any) -> dict[str, Any]:
    return {
        "image": "acme/ml:1",
        "digest": IMAGE_ID,
        "image_id": IMAGE_ID,
        "runtime": "15.4",
        "profile": "python",
        "verdict": "releasable",
        "lost": "",
        "notes": [],
        "own_failures": 0,
        "own_passes": 0,
        "seconds": {},
        "findings": [],
        "inventory": {},
        **more,
    }


def write(path: Path, *entries: dict[str, Any]) -> Path:
    run = {"plugin": "0.1.0", "run": "r", "started": "s", "engine": "local", "seen": "inside"}
    path.write_text(json.dumps({"format": 1, **run, "entries": entries}))
    return path


def part(*findings: Finding, **more: Any) -> merging.Part:
    return merging.Part("inside (gpu-runner.json)", findings, **more)


def merged(
    ours: Finding | None, *parts: merging.Part, entry: Entry = ENTRY, strict: bool = False
) -> Finding:
    """Return what one rule's findings come to."""
    judgement = Judgement({ours.key: ours} if ours else {})
    merging.merge(judgement, parts, entry, strict=strict)
    (result,) = judgement.findings.values()
    return result


def test_what_only_the_other_run_judged_counts_as_if_judged_here() -> None:
    judgement = Judgement()
    merging.merge(judgement, [part(finding("fail"))], ENTRY, strict=False)
    assert judgement.verdict == "NOT releasable"
    (found,) = judgement.having("fail")
    assert found.title == "SYS004 a-name, inside (gpu-runner.json)"
    assert judgement.notes == [
        "merged inside (gpu-runner.json): 1 of its 1 findings are on rules not judged here"
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "outcome", "differs"),
    [
        ("pass", "pass", "pass", ""),
        ("pass", "fail", "fail", "pass here, FAIL inside (gpu-runner.json)"),
        ("fail", "pass", "fail", "FAIL here, pass inside (gpu-runner.json)"),
        ("advice", "pass", "advice", "advice here, pass inside (gpu-runner.json)"),
        ("waived", "fail", "fail", "waived here, FAIL inside (gpu-runner.json)"),
        ("blocked", "pass", "pass", ""),
        ("not-applicable", "fail", "fail", ""),
        ("pass", "not-applicable", "pass", ""),
        ("pass", "error", "pass", ""),
        ("blocked", "not-applicable", "not-applicable", ""),
        ("not-applicable", "blocked", "not-applicable", ""),
    ],
)
def test_the_worse_of_two_outcomes_counts_and_their_difference_is_told(
    ours: Outcome, theirs: Outcome, outcome: Outcome, differs: str
) -> None:
    found = merged(finding(ours), part(finding(theirs)))
    assert (found.outcome, found.differs) == (outcome, differs)


def test_three_runs_that_disagree_are_all_told() -> None:
    third = merging.Part("inside (other.json)", (finding("pass"),))
    found = merged(finding("pass"), part(finding("fail")), third)
    assert found.outcome == "fail"
    assert found.differs == ("pass here, FAIL inside (gpu-runner.json), pass inside (other.json)")


def test_a_waiver_of_this_run_covers_what_the_other_found() -> None:
    waiver = Waiver("SYS004", "known", FAR)
    found = merged(None, part(finding("fail")), entry=replace(ENTRY, waivers=(waiver,)))
    assert (found.outcome, found.message) == ("waived", "waived until 2999-01-01: known")


def test_a_waiver_for_something_else_covers_nothing() -> None:
    waiver = Waiver("SYS004", "known", FAR, only=("/bin/sh",))
    found = merged(None, part(finding("fail")), entry=replace(ENTRY, waivers=(waiver,)))
    assert found.outcome == "fail"


def test_what_a_waived_rule_blocks_is_waived_as_well() -> None:
    waiver = Waiver("PY001", "known", FAR)
    judgement = Judgement()
    findings = (finding("fail", "PY001"), finding("blocked", "PY004"), finding("blocked", "JVM001"))
    merging.merge(judgement, [part(*findings)], replace(ENTRY, waivers=(waiver,)), strict=False)
    assert [each.rule for each in judgement.having("waived")] == ["PY001", "PY004"]
    assert judgement.findings["PY004"].message.startswith("not checked, since PY001")
    assert judgement.findings["JVM001"].outcome == "blocked"


def test_a_strict_run_is_strict_with_what_it_merges() -> None:
    assert merged(None, part(finding("advice")), strict=True).outcome == "fail"


def test_own_tests_notes_and_facts_of_the_other_run_are_kept() -> None:
    judgement = Judgement(inventory={"java": "here"})
    there = part(own_failures=2, notes=("no FUSE",), inventory={"java": "there", "os": "Debian"})
    merging.merge(judgement, [there], ENTRY, strict=False)
    assert judgement.verdict == "NOT releasable"
    assert "inside (gpu-runner.json): no FUSE" in judgement.notes
    assert judgement.inventory == {"java": "here", "os": "Debian"}


def test_a_run_that_was_lost_leaves_the_verdict_inconclusive() -> None:
    judgement = Judgement({"SYS004": finding("pass")})
    merging.merge(judgement, [part(lost="the container ended")], ENTRY, strict=False)
    assert judgement.verdict == "inconclusive"
    assert judgement.lost == "inside (gpu-runner.json): the container ended"


@pytest.mark.parametrize(
    ("known_there", "digest_here"),
    [
        ({}, None),
        ({"image": "localhost"}, None),
        ({"image_id": "sha256:manifest", "digest": "sha256:abc"}, "sha256:abc"),
        ({"image_id": "", "digest": ""}, None),
    ],
)
def test_a_document_is_about_the_same_build_by_id_then_digest_then_name(
    tmp_path: Path, known_there: dict[str, str], digest_here: str | None
) -> None:
    path = write(tmp_path / "run.json", entry_of_document(**known_there))
    entry = replace(ENTRY, image=replace(ENTRY.image, digest=digest_here))
    assert [*merging.read([path], Plan((entry,)))] == [ENTRY.id]


@pytest.mark.parametrize(
    ("told_there", "problem"),
    [
        ({"image_id": OTHER_ID, "digest": OTHER_ID}, "it is about another build, acme/ml:1"),
        ({"image": "localhost", "image_id": "", "digest": ""}, "localhost (of unknown id) on 15.4"),
        ({"runtime": "14.3"}, "on runtime 14.3"),
    ],
)
def test_a_document_about_something_else_is_refused(
    tmp_path: Path, told_there: dict[str, str], problem: str
) -> None:
    path = write(tmp_path / "run.json", entry_of_document(**told_there))
    with pytest.raises(errors.NothingToMerge) as refused:
        merging.read([path], Plan((ENTRY,)))
    said = str(refused.value)
    assert "--dcs-merge=run.json cannot be merged" in said
    assert problem in said
    assert "This run judges acme/ml:1 (sha256:1f3c" in said


def test_a_document_that_judged_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.NothingToMerge, match="it has judged no image"):
        merging.read([write(tmp_path / "run.json")], Plan((ENTRY,)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rule": "SYS999"}, "has no rule SYS999"),
        ({"colour": "red"}, "a finding has other fields"),
    ],
)
def test_findings_of_another_version_are_refused(
    tmp_path: Path, change: dict[str, str], problem: str
) -> None:
    plain = {**finding("pass").to_plain(), **change}
    path = write(tmp_path / "run.json", entry_of_document(findings=[plain]))
    with pytest.raises(errors.DocumentUnreadable, match=problem):
        merging.read([path], Plan((ENTRY,)))
