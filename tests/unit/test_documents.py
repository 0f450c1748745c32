"""What the documents say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import fixtures, options, plan, runtimes, waivers
from pytest_dcs.remote.registry import pull
from pytest_dcs.report import answers, pages
from sample_images import stages

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
OTHER_OPTIONS = {"--dcs-list", "--dcs-explain", options.WRITE_WAIVERS}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_document_of_rules_is_current() -> None:
    written = (ROOT / "docs" / "rules.md").read_text()
    assert written == pages.document(), "run: python -m pytest_dcs rules > docs/rules.md"


def test_the_document_of_symptoms_is_current() -> None:
    path = ROOT / "docs" / "when-a-cluster-fails.md"
    written = path.read_text()
    assert written == answers.document(), f"run: python -m pytest_dcs symptoms > docs/{path.name}"


def test_the_table_of_stages_is_current() -> None:
    written = (ROOT / "docs" / "stages.md").read_text()
    assert written == stages.document(), "run: python -m sample_images.stages > docs/stages.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_that_a_document_names_exists(document: Path) -> None:
    known = OTHER_OPTIONS | {each.flag for each in options.OPTIONS.values() if each.on_command_line}
    assert set(re.findall(r"--dcs-[a-z-]+", document.read_text())) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_ini_key_and_variable_that_a_document_names_exists(document: Path) -> None:
    known = {each.ini for each in options.OPTIONS.values()}
    known |= {each.variable for each in options.OPTIONS.values()}
    known |= {name for name in vars(fixtures) if name.startswith("dcs_")}
    known |= {pull.USER_VARIABLE, pull.PASSWORD_VARIABLE}
    text = re.sub(r"def dcs_\w+|\| `dcs_[^|]*\|", "", document.read_text())
    assert set(re.findall(r"(?:ini (?:key )?`|`|\b)(DCS_\w+|dcs_\w+)(?= = |`)", text)) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_another_document_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize(
    ("document", "number", "read"),
    [
        ("matrix-and-waivers.md", 0, lambda path: list(plan.read_matrix(path))),
        ("matrix-and-waivers.md", 1, waivers.load),
        ("matrix-and-waivers.md", 2, waivers.load),
        ("runtimes.md", 0, runtimes.load),
    ],
)
def test_every_file_that_a_document_shows_can_be_read(
    tmp_path: Path, document: str, number: int, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "example.toml"
    path.write_text(blocks(ROOT / "docs" / document, "toml")[number])
    assert read(path)


def test_python_examples_are_valid() -> None:
    for example in blocks(ROOT / "docs" / "own-tests.md", "python"):
        compile(example, "own-tests.md", "exec")
