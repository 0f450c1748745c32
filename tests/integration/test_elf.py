"""The look through compiled files says of real ones what the real loader says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import elf
from pytest_dcs.node import DEFAULT_PYTHON
from pytest_dcs.probe import DIRECTORY

from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.elf import CompiledFiles
    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch

pytestmark = pytest.mark.docker

SITE = "/databricks/python3/lib/python3.11/site-packages"
TAG = "cpython-311-x86_64-linux-gnu.so"
TIMEOUT = 60.0

LOAD_ALL_MODULES = rf"""
import ctypes, glob, json, os, sys
failed = []
for path in glob.glob("{SITE}/**/*.cpython-311-*.so", recursive=True):
    pid = os.fork()
    if not pid:
        try:
            ctypes.PyDLL(path)
        except OSError:
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        failed.append(path)
print(json.dumps(sorted(failed)))
"""


@pytest.fixture
def launch(engine: DockerEngine, python_image: str) -> Iterator[Launch]:
    with launched(engine, python_image, "python") as launch:
        yield launch


def prepare(launch: Launch, command: str) -> None:
    completed = launch.shell.run(command)
    assert completed.returncode == 0, completed.stderr


def look(launch: Launch) -> CompiledFiles:
    return elf.result(elf.start(launch.container), TIMEOUT, frozenset())


def faults_of(found: CompiledFiles) -> set[tuple[str, str, str]]:
    return {
        (each.path.removeprefix(f"{SITE}/"), fault.kind, fault.subject)
        for each in found.faulty
        for fault in each.faults
    }


def test_a_launch_that_is_asked_looks_at_all_files(engine: DockerEngine, python_image: str) -> None:
    with launched(engine, python_image, "python", elf.COMPILED_FILES) as launch:
        found = launch.compiled_files_smoke()
    assert (found.faulty, found.unknown, found.failure, found.left_out) == ((), "", "", 0)
    assert found.files > 150
    assert [each.name for each in found.programs] == ["bash", "python", "java", "libjvm.so"]
    assert "numpy" in found.pinned


def test_what_is_found_cannot_be_loaded_and_all_else_can(launch: Launch) -> None:
    prepare(
        launch,
        f"cd {SITE} && rm Pillow.libs/libtiff-* && printf lfs >psutil/_extra.{TAG}"
        f" && sed -i s/GLIBC_2.14/GLIBC_2.38/ ujson.{TAG}"
        f" && printf '\\267' | dd of=kiwisolver/_cext.{TAG} bs=1 seek=18 conv=notrunc",
    )
    found = look(launch)
    assert faults_of(found) >= {
        (f"psutil/_extra.{TAG}", "damage", "no ELF file"),
        (f"ujson.{TAG}", "version", "GLIBC_2.38"),
        (f"kiwisolver/_cext.{TAG}", "machine", "aarch64"),
    }
    assert any(kind == "library" and name.startswith("PIL/") for name, kind, _ in faults_of(found))
    loaded = launch.shell.run(f"{DEFAULT_PYTHON} -I -c '{LOAD_ALL_MODULES}'")
    assert sorted(each.path for each in found.faulty) == json.loads(loaded.stdout)


def test_programs_for_another_machine_are_told(launch: Launch) -> None:
    java = launch.shell.run('readlink -f "/usr/lib/jvm/$JNAME/bin/java"').stdout.decode().strip()
    prepare(launch, f"printf '\\267' | dd of={java} bs=1 seek=18 conv=notrunc")
    found = look(launch)
    assert [each.name for each in found.programs if not each.runs_here] == ["java"]
    assert found.programs[2].machine == "aarch64"
    assert found.faulty == ()


def test_without_ldconfig_nothing_is_said(launch: Launch) -> None:
    prepare(launch, "rm /sbin/ldconfig")
    assert look(launch).unknown == "there is no ldconfig to read /etc/ld.so.cache with"


def test_what_there_is_no_time_for_is_left_out(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elf, "SECONDS", 0.0)
    found = look(launch)
    assert (found.faulty, found.files) == ((), 0)
    assert found.left_out > 150


def test_an_interpreter_that_is_missing_is_a_failure(launch: Launch) -> None:
    prepare(launch, f"rm {DEFAULT_PYTHON}")
    assert "elf_sweep.py died with status 127 (it was not found)" in look(launch).failure


def test_what_is_brought_along_is_not_found_by_the_image(launch: Launch) -> None:
    assert look(launch).failure == ""
    folder = f"{DIRECTORY}/elf_sweep"
    tried = launch.shell.run(f"cd {folder} && {DEFAULT_PYTHON} -c 'import elftools'")
    assert b"ModuleNotFoundError" in tried.stderr
