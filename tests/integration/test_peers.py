"""Other tools say of the sample images what the kill table says they do."""

from __future__ import annotations

import pytest

from sample_images.peers import canary, plain_testinfra, structure_test
from sample_images.peers.answer import Answer

pytestmark = pytest.mark.docker

FEATURES = frozenset({"jvm", "python", "lsp", "virtualenv"})


def test_an_image_that_cannot_be_started_is_red() -> None:
    dangling = "pytest-dcs/broken:shell-dangling"
    assert canary.measure(dangling, FEATURES).red == ("the container does not start",)
    assert "command bash" in plain_testinfra.measure(dangling, FEATURES).red


def test_a_tool_that_cannot_run_is_red() -> None:
    answer = structure_test.measure("pytest-dcs/broken:not-there", FEATURES)
    assert isinstance(answer, Answer)
    assert answer.red
