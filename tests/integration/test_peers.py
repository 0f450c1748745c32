"""Other tools say of the sample images what the kill table says they do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sample_images import corpus, kill_table, kill_table_page
from sample_images.peers import canary, plain_testinfra, structure_test
from sample_images.peers.answer import Answer
from sample_images.samples import Sample, all_samples

pytestmark = pytest.mark.docker

PAGE = Path(__file__).parents[2] / "docs" / "kill-table.md"
MEASURED_AGAIN = ("bash-is-dash", "sudo-missing", "java-not-on-path", "virtualenv-missing")
FEATURES = frozenset({"jvm", "python", "lsp", "virtualenv"})


def quickly(name: str) -> Sample:
    """Return a sample of which what is slow is left out: the table's rows here need none of it."""
    return replace(all_samples()[name], parts=frozenset({"container"}))


def test_the_table_says_what_is_measured_again() -> None:
    broken = [quickly(name) for name in MEASURED_AGAIN]
    good = [quickly(name) for name in sorted({sample.base for sample in broken})]
    samples = [*good, *broken]
    judged = corpus.judge(samples, fresh=True)
    answers = kill_table.ask_peers(samples, fresh=True)
    measured = kill_table.put_together(samples, judged, answers)
    rows = list(kill_table_page.table(measured))[2:]
    assert len(rows) == len(MEASURED_AGAIN)
    written = PAGE.read_text().splitlines()
    assert [row for row in rows if row not in written] == []


def test_an_image_that_cannot_be_started_is_red() -> None:
    dangling = "pytest-dcs/broken:shell-dangling"
    assert canary.measure(dangling, FEATURES).red == ("the container does not start",)
    assert "command bash" in plain_testinfra.measure(dangling, FEATURES).red


def test_a_tool_that_cannot_run_is_red() -> None:
    answer = structure_test.measure("pytest-dcs/broken:not-there", FEATURES)
    assert isinstance(answer, Answer)
    assert answer.red
