"""What a look through the compiled files says of packages, and what need not be there."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import elf, probe
from pytest_dcs.probe import ProbeFailed

if TYPE_CHECKING:
    from pytest_dcs.elf import CompiledFiles

PINNED = frozenset({"numpy", "pyodbc"})


def a_file(
    package: str = "lightgbm", library: str = "libgomp.so.1", **fields: Any
) -> dict[str, Any]:
    path = f"/site-packages/{package}/lib.so"
    return {
        "path": path,
        "package": package,
        "owned": True,
        "root": True,
        "faults": [{"kind": "library", "subject": library, "by": path}],
        **fields,
    }


def found_in(
    *files: dict[str, Any], roots: int = 1, pinned: frozenset[str] = PINNED
) -> CompiledFiles:
    counts = {file["package"]: roots for file in files}
    return elf.parse({"faulty": list(files), "roots": counts}, pinned)


def test_a_package_none_of_whose_roots_can_be_loaded_is_unusable() -> None:
    assert found_in(a_file()).unusable() == {"lightgbm"}
    assert found_in(a_file(), roots=2).unusable() == set()


@pytest.mark.parametrize(
    "fields", [{"package": "pyodbc"}, {"owned": False}, {"root": False}], ids=str
)
def test_nothing_is_unusable_that_the_runtime_has_or_that_is_no_package(
    fields: dict[str, Any],
) -> None:
    assert found_in(a_file(**fields)).unusable() == set()


def test_where_the_runtime_s_packages_are_unknown_nothing_is_unusable() -> None:
    assert found_in(a_file(), pinned=frozenset()).unusable() == set()


@pytest.mark.parametrize(
    ("package", "library"),
    [("cupy", "libcuda.so.1"), ("pynvml", "libnvidia-ml.so.1"), ("numba", "libtbb.so.12")],
)
def test_libraries_that_need_not_be_there_are_no_fault(package: str, library: str) -> None:
    assert found_in(a_file(package, library)).faulty == ()


def test_what_one_package_need_not_have_another_one_does() -> None:
    assert found_in(a_file("scoring", "libtbb.so.12")).unusable() == {"scoring"}


def test_each_exception_has_its_reason_and_its_source() -> None:
    for each in elf.expected():
        assert each.reason.endswith(".")
        assert each.source.startswith("https://")


class BrokenProbe:
    def wait(self, timeout: float) -> None:
        what = "the probe elf_sweep.py died with status 1"
        raise ProbeFailed(what, "a log", None)


def test_a_probe_that_dies_is_told() -> None:
    found = elf.result(BrokenProbe(), 1.0, PINNED)  # type: ignore[arg-type]
    assert found.failure.startswith("the probe elf_sweep.py died with status 1")
    assert found.log == "a log"


def test_a_package_is_brought_without_what_was_compiled_of_it() -> None:
    names = {name for name, _ in probe._python_files("elftools", resources.files("elftools"))}
    assert {"elftools/__init__.py", "elftools/elf/elffile.py"} <= names
    assert all(name.endswith(".py") for name in names)
