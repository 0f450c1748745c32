"""What runs inside an image needs no more than the oldest runtime's image has."""

from __future__ import annotations

import ast
import subprocess
import sys
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import probe

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_PYTHON = (3, 7)
YOUNGER_MODULES = {"graphlib", "tomllib", "zoneinfo"}
STANDARD_LIBRARY = sys.stdlib_module_names - YOUNGER_MODULES
TRIED_BY_STAGES = {"numpy", "pandas", "pyarrow", "pyspark"}
BROUGHT_ALONG = {"elftools"}

PROBES = Path(str(resources.files("pytest_dcs") / "probes"))
PYTHON_PROBES = sorted(PROBES.glob("*.py"))
SHARED = {path.stem for path in PYTHON_PROBES if fnmatch(path.name, probe.SHARED)}
SHELL_PROBES = sorted(PROBES.glob("*.sh"))
R_PROBES = sorted(PROBES.glob("*.R"))


def tree_of(probe: Path) -> ast.Module:
    return ast.parse(probe.read_text(encoding="utf-8"), feature_version=OLDEST_PYTHON)


def modules_of(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_all_probes_are_looked_at() -> None:
    assert {path.name for path in PROBES.iterdir() if path.is_file()} == {
        path.name for path in [*PYTHON_PROBES, *SHELL_PROBES, *R_PROBES]
    }


@pytest.mark.parametrize("probe", PYTHON_PROBES, ids=lambda path: path.name)
def test_python_probes_have_the_oldest_grammar(probe: Path) -> None:
    tree_of(probe)


@pytest.mark.parametrize("probe", PYTHON_PROBES, ids=lambda path: path.name)
def test_python_probes_start_with_the_standard_library_alone(probe: Path) -> None:
    tree = tree_of(probe)
    assert modules_of(tree.body) <= STANDARD_LIBRARY | SHARED
    assert modules_of(ast.walk(tree)) <= (
        STANDARD_LIBRARY | SHARED | TRIED_BY_STAGES | BROUGHT_ALONG
    )


@pytest.mark.parametrize("probe", SHELL_PROBES, ids=lambda path: path.name)
def test_shell_probes_are_posix_shell(probe: Path) -> None:
    checked = subprocess.run(["/bin/sh", "-n", str(probe)], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize("probe", R_PROBES, ids=lambda path: path.name)
def test_r_probes_are_ascii_which_every_locale_can_read(probe: Path) -> None:
    assert probe.read_bytes().isascii()
