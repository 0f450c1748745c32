from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import rules
from sample_images import kill_table, variants
from sample_images.judging import Judged
from sample_images.kill_table_page import (
    ALSO_RED,
    MISSED,
    NOT_MEASURED,
    Measured,
    Row,
    Verdict,
    cell,
    count,
    document,
)
from sample_images.peers import PEERS
from sample_images.peers.answer import Answer
from sample_images.samples import all_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "kill-table.md"
BROKEN = Verdict(red=("bash",), below=())
SOUND = Verdict(red=(), below=())
CANARY = PEERS[-1]


def row(verdict: Verdict, name: str = "bash-missing") -> Row:
    return Row(name, ("SYS002",), must_fail=True, verdicts={peer.id: verdict for peer in PEERS})


def measured(*rows: Row) -> Measured:
    tools = ("pytest-dcs", *(peer.id for peer in PEERS))
    return Measured(rows, dict.fromkeys(tools, ()), good_images=4, seconds={"CPU": 1.25}, lanes=2)


def rows_of(page: str) -> Iterator[list[str]]:
    for line in page.splitlines():
        if line.startswith("| `"):
            yield [field.strip() for field in line.strip("|").split("|")]


def test_the_page_names_the_images_and_rules_of_today() -> None:
    written = {fields[0].strip("`"): fields[1] for fields in rows_of(PAGE.read_text())}
    order = list(rules.catalogue())
    expected = {
        each.id: ", ".join(sorted({*each.fails, *each.advice}, key=order.index))
        for each in variants.load("broken")
    }
    assert written == expected, "run: python -m sample_images.kill_table > docs/kill-table.md"


def test_every_cell_of_the_page_says_something() -> None:
    for fields in rows_of(PAGE.read_text()):
        assert len(fields) == 2 + len(PEERS)
        assert all(fields)


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        (None, NOT_MEASURED),
        (SOUND, MISSED),
        (BROKEN, "bash"),
        (Verdict(("a", "b", "c", "d", "e"), ()), "a, b, c, 2 more"),
        (Verdict(("java 8",), ("java 8",)), ALSO_RED),
        (Verdict(("bash", "java 8"), ("java 8",)), f"{ALSO_RED}; here: bash"),
        (Verdict((), ("java 8",)), MISSED),
    ],
)
def test_a_cell_names_the_checks_that_tell_the_images_apart(
    verdict: Verdict | None, shown: str
) -> None:
    assert cell(verdict) == shown


def test_a_tool_that_is_red_on_the_good_image_finds_nothing() -> None:
    also_red = Verdict(("bash", "java 8"), ("java 8",))
    rows = [row(BROKEN), row(SOUND), row(also_red)]
    assert count(rows, CANARY) == "1 of 3; 1 by single checks"
    assert count(rows[:2], CANARY) == "1 of 2"
    assert count([replace(rows[0], verdicts={})], CANARY) == "0 of 0"


def test_the_totals_stand_above_the_rows_and_the_times_below() -> None:
    page = document(measured(row(BROKEN), replace(row(SOUND, "old"), must_fail=False)))
    for text in (
        "| **pytest-dcs** | [its rules](rules.md) | 2 of 2 | 1 of 1 | 0 of 4 |",
        "| `bash-missing` | SYS002 | bash | bash | bash |",
        "| `old` | SYS002 | missed | missed | missed |",
        "medians of the same run, 2 images at a time",
        "| CPU | 1.2 |",
    ):
        assert text in page
    places = [page.index(text) for text in ("**pytest-dcs**", "`bash-missing`", "| CPU |")]
    assert places == sorted(places)


def test_what_was_measured_is_the_same_when_it_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "kill-table.json"
    before = measured(row(BROKEN), row(Verdict(("bash",), ("java 8",))))
    path.write_text(json.dumps(asdict(before)))
    after = kill_table.load(path)
    assert after.rows == before.rows
    assert document(after) == document(before)


def test_what_the_good_image_gives_as_well_finds_nothing() -> None:
    samples = all_samples()
    chosen = [samples["minimal"], samples["bash-missing"], samples["platform-arm64"]]
    passes, advice = ("pass", ""), ("advice", "x")
    judged = {
        "minimal": Judged({"SYS001": passes, "SYS014": advice}, 1.0),
        "bash-missing": Judged({"SYS002": ("fail", "x"), "SYS014": advice, "SYS003": passes}, 3.0),
        "platform-arm64": Judged({"IMG001": ("fail", "x")}, 1.0),
    }
    answers = {
        "minimal": {peer.id: Answer((), 1.0) for peer in PEERS},
        "bash-missing": {peer.id: Answer(("bash",), 2.0) for peer in PEERS},
    }
    result = kill_table.put_together(chosen, judged, answers)
    assert [each.rules for each in result.rows] == [("SYS002",), ("IMG001",)]
    assert result.rows[0].verdicts[CANARY.id] == BROKEN
    assert result.rows[1].verdicts == {}
    assert result.good["pytest-dcs"] == ["minimal"]
    assert result.good[CANARY.id] == []
    assert result.seconds["pytest-dcs, all rules about config and container"] == 3.0
    assert result.seconds[CANARY.title] == 1.5


def test_every_tool_is_linked_to_what_it_was_given() -> None:
    for peer in PEERS:
        for link in re.findall(r"\]\((?!https://)([^)]+)\)", peer.given):
            assert (PAGE.parent / link).exists()
