"""Rules about compiled files: which of the faults found is whose finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs.checks import libraries
from pytest_dcs.elf import Compiled, CompiledFiles, Fault, Program
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken

from .fake_host import finding_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dcs.elf import Kind

    Check = Callable[[CompiledFiles], None]

CHECKS: dict[str, Check] = {
    "PY030": libraries.test_compiled_for_clusters,
    "PY031": libraries.test_versions_of_libraries,
    "PY032": libraries.test_libraries_of_added_packages,
    "PY033": libraries.test_libraries_are_there,
}
SITE = "/databricks/python3/lib/python3.11/site-packages"

every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)


def a_program(name: str, machine: str = "x86_64") -> Program:
    return Program(name, f"/usr/bin/{name}", machine, machine == "x86_64")


def a_file(
    package: str, kind: Kind, subject: str, *, name: str = "lib.so", root: bool = True
) -> Compiled:
    path = f"{SITE}/{package}/{name}"
    fault = Fault(kind, subject, path, library="/lib/libc.so.6", newest="GLIBC_2.36")
    return Compiled(path, package, owned=True, root=root, faults=(fault,))


def found(*files: Compiled, roots: int = 1) -> CompiledFiles:
    return CompiledFiles(
        programs=(a_program("bash"), a_program("python")),
        faulty=files,
        roots={file.package: roots for file in files},
        pinned=frozenset({"pyodbc"}),
    )


def findings(facts: CompiledFiles) -> dict[str, str]:
    """Return what each rule finds."""
    told = {}
    for rule_id, check in CHECKS.items():
        try:
            check(facts)
        except RuleBroken as broken:
            told[rule_id] = str(broken)
    return told


@every_check
def test_an_environment_without_faults_is_good(check: Check) -> None:
    check(found())


@every_check
def test_a_probe_that_failed_blocks(check: Check) -> None:
    with pytest.raises(Blocked, match="died with status 9"):
        check(CompiledFiles(failure="the probe elf_sweep.py died with status 9"))


@every_check
def test_a_python_that_cannot_look_is_not_judged(check: Check) -> None:
    with pytest.raises(NotApplicable, match="pyelftools does not run on it"):
        check(CompiledFiles(unknown="pyelftools does not run on it (SyntaxError)"))


def test_of_another_loader_only_programs_are_judged() -> None:
    facts = CompiledFiles(programs=(a_program("bash"),), unknown="its loader is not glibc's")
    libraries.test_compiled_for_clusters(facts)
    with pytest.raises(NotApplicable, match="not glibc's"):
        libraries.test_versions_of_libraries(facts)


def test_programs_for_another_machine_are_one_finding() -> None:
    facts = CompiledFiles(programs=(a_program("bash", "aarch64"), a_program("java")))
    told = finding_of(libraries.test_compiled_for_clusters, facts)
    assert told.startswith("/usr/bin/bash: found code for aarch64; needed code for x86-64")
    with pytest.raises(NotApplicable, match="for another machine"):
        libraries.test_libraries_are_there(facts)


@pytest.mark.parametrize(
    ("file", "rule_id", "told"),
    [
        (
            a_file("ujson", "machine", "aarch64"),
            "PY030",
            "package ujson: found code for aarch64 in ujson/lib.so; needed code for x86-64,",
        ),
        (
            a_file("scoring", "damage", "cut off after 10 bytes"),
            "PY030",
            "package scoring: found cut off after 10 bytes in scoring/lib.so; needed",
        ),
        (
            a_file("scoring", "version", "GLIBC_2.38"),
            "PY031",
            "package scoring: found no GLIBC_2.38 (the newest in /lib/libc.so.6 is GLIBC_2.36) for",
        ),
        (
            a_file("lightgbm", "library", "libgomp.so.1"),
            "PY032",
            "package lightgbm: found no libgomp.so.1 for lightgbm/lib.so; needed all libraries",
        ),
        (
            a_file("pyodbc", "library", "libodbc.so.2"),
            "PY033",
            "package pyodbc: found no libodbc.so.2 for pyodbc/lib.so; needed all libraries",
        ),
        (a_file("qt", "version", "GLIBC_2.38", root=False), "PY033", "package qt: found no GLIBC"),
        (a_file("qt", "library", "libX11.so.6", root=False), "PY033", "package qt: found no libX"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("PY") else "",
)
def test_one_fault_is_the_finding_of_one_rule(file: Compiled, rule_id: str, told: str) -> None:
    found_by = findings(found(file))
    assert list(found_by) == [rule_id]
    assert found_by[rule_id].startswith(told)


def test_a_part_that_cannot_be_loaded_is_advice_only() -> None:
    facts = found(a_file("numba", "library", "libother.so"), roots=14)
    assert list(findings(facts)) == ["PY033"]


def test_many_files_that_lack_the_same_are_one_item() -> None:
    files = [a_file("cv2", "library", "libGL.so.1", name=f"{name}.so") for name in "abc"]
    told = findings(found(*files, roots=3))["PY032"]
    assert told.splitlines() == [told]
    assert "no libGL.so.1 for cv2/a.so and 2 more; needed" in told
