"""Waivers for what fails: which are made, how they are written, what they must not hold."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import adoption, errors, runtimes, waiver_file, waivers
from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.plan import Entry
from pytest_dcs.report.findings import Finding, Judgement, Outcome
from pytest_dcs.rules import Item
from pytest_dcs.waivers import Waiver

if TYPE_CHECKING:
    from pathlib import Path

TODAY = datetime.date(2026, 11, 23)
MADE_UP = "https://robot:not-a-password@index.example.com/simple"


def entry_of(reference: str = "acme/ml:1.4", *known: Waiver, archive: str = "") -> Entry:
    return Entry(
        image=Image(reference, "sha256:" + "1f3c" * 16, ImageConfig(), archive=archive),
        runtime=runtimes.load().find("15.4"),
        runtime_source="test",
        profile="python",
        features=frozenset({"python"}),
        waivers=known,
    )


def finding_of(entry: Entry, *subjects: str, outcome: Outcome = "fail") -> Finding:
    items = tuple(Item(subject, "something", "something else") for subject in subjects)
    return Finding(entry=entry.id, rule="SYS004", name="", outcome=outcome, items=items)


def adopted(entry: Entry, *findings: Finding) -> adoption.Adoption:
    judgement = Judgement({finding.key: finding for finding in findings})
    return adoption.adopt([entry], {entry.id: judgement}, TODAY)


@pytest.mark.parametrize(
    ("reference", "glob"),
    [
        ("acme/ml:1.4", "acme/ml:*"),
        ("acme/ml", "acme/ml"),
        ("localhost:5000/ml", "localhost:5000/ml"),
        ("localhost:5000/acme/ml:1.4", "localhost:5000/acme/ml:*"),
        ("acme/ml@sha256:" + "0" * 64, "acme/ml@*"),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_the_next_build_of_an_image_is_meant_too(reference: str, glob: str) -> None:
    entry = entry_of(reference)
    (waiver,) = adopted(entry, finding_of(entry, "nohup")).waivers
    assert waiver.image == glob
    assert waiver.concerns("SYS004", reference, "15.4")
    assert not waiver.concerns("SYS004", "acme/ml-gpu:1.4", "15.4")


def test_a_file_of_this_machine_is_meant_by_its_own_name() -> None:
    entry = entry_of("oci:out/[new]:1.4", archive="oci:out/[new]:1.4")
    (waiver,) = adopted(entry, finding_of(entry, "nohup")).waivers
    assert waiver.concerns("SYS004", "oci:out/[new]:1.4", "15.4")
    assert not waiver.concerns("SYS004", "oci:out/n:1.4", "15.4")


def test_two_tags_of_one_image_share_a_waiver() -> None:
    first, second = entry_of("acme/ml:1"), entry_of("acme/ml:2")
    judgements = {
        first.id: Judgement({"SYS004": finding_of(first, "nohup", "stat")}),
        second.id: Judgement({"SYS004": finding_of(second, "stat", "id")}),
    }
    (waiver,) = adoption.adopt([first, second], judgements, TODAY).waivers
    assert waiver.only == ("nohup", "stat", "id")


def test_only_what_is_not_waived_yet_is_written() -> None:
    known = Waiver("SYS004", "ENG-1", TODAY, only=("nohup",))
    entry = entry_of("acme/ml:1.4", known)
    (waiver,) = adopted(entry, finding_of(entry, "nohup", "stat")).waivers
    assert waiver.only == ("stat",)
    items = (Item("nohup", "", ""), Item("stat", "", ""))
    assert waivers.together((known, waiver), items, TODAY) == (known, waiver)


@pytest.mark.parametrize("outcome", ["pass", "advice", "waived", "not-applicable", "error"])
def test_what_does_not_fail_is_not_waived(outcome: Outcome) -> None:
    entry = entry_of()
    assert adopted(entry, finding_of(entry, "nohup", outcome=outcome)) == adoption.Adoption((), ())


def test_blocked_rules_are_left_and_said() -> None:
    entry = entry_of()
    made = adopted(entry, finding_of(entry, outcome="blocked"))
    assert not made.waivers
    assert "blocked rules were not checked" in made.left[0]


def test_a_check_that_failed_itself_is_left() -> None:
    entry = entry_of()
    made = adopted(entry, finding_of(entry))
    assert not made.waivers
    assert "the check itself failed" in made.left[0]


def test_no_secret_gets_into_the_file() -> None:
    entry = entry_of()
    told = Finding(
        entry=entry.id,
        rule="SYS004",
        name="",
        outcome="fail",
        message=f"index: found {MADE_UP}; needed none",
        items=(Item("index", MADE_UP, "none"),),
    )
    assert "robot" not in waiver_file.document(adopted(entry, told).waivers, TODAY)
    named = adopted(entry, finding_of(entry, f"ENV PIP_INDEX_URL={MADE_UP}"))
    assert not named.waivers
    assert "robot" not in named.left[0]


@pytest.mark.parametrize(
    "subject",
    [
        'a "quoted" \\ path',
        "two\nlines\tand\x7f\x1b[0m",
        "grün ✓ # no comment",
        "'''",
        '"""',
        "",
    ],
)
def test_any_subject_can_be_read_back(tmp_path: Path, subject: str) -> None:
    entry = entry_of()
    made = adopted(entry, finding_of(entry, subject, "another")).waivers
    path = tmp_path / "dcs-waivers.toml"
    waiver_file.append(path, waiver_file.document(made, TODAY))
    assert waivers.load(path) == made


@pytest.mark.parametrize("before", ["", "# a comment", "# a comment\n", "# a comment\r\n"])
def test_what_stands_in_the_file_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "dcs-waivers.toml"
    path.write_bytes(before.encode())
    entry = entry_of()
    made = adopted(entry, finding_of(entry, "nohup")).waivers
    waiver_file.append(path, waiver_file.document(made, TODAY))
    assert path.read_bytes().startswith(before.encode())
    assert waivers.load(path) == made


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(errors.WaiversNotWritten):
        waiver_file.refuse_unwritable(tmp_path / "none" / "dcs-waivers.toml")
