"""The look through compiled files: what glibc's loader would load with each, and what not."""

from __future__ import annotations

import importlib
import os
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROBES = Path(str(resources.files("pytest_dcs") / "probes"))
TAG = f"cpython-{sys.version_info[0]}{sys.version_info[1]}"
MODULE = f"module.{TAG}-x86_64-linux-gnu.so"


@pytest.fixture
def dcs_elf(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import what lies among the probes, as those do."""
    monkeypatch.syspath_prepend(PROBES)
    return importlib.import_module("dcs_elf")


@pytest.fixture
def elf_sweep(monkeypatch: pytest.MonkeyPatch, dcs_elf: Any) -> Any:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return importlib.import_module("elf_sweep")


class Disk:
    """Compiled files without content, and what their headers say."""

    def __init__(self, module: Any, root: Path) -> None:
        self.module = module
        self.root = root
        self.headers: dict[str, Any] = {}
        self.add("python/bin/python3", needed=["libc.so.6"])
        self.add("system/libc.so.6", soname="libc.so.6", versions={"GLIBC_2.9", "GLIBC_2.36"})

    def path(self, name: str) -> str:
        return os.path.realpath(self.root / name)

    def add(self, name: str, machine: str = "x86_64", **fields: Any) -> Any:
        Path(self.path(name)).parent.mkdir(parents=True, exist_ok=True)
        Path(self.path(name)).touch()
        library = self.module.Library(self.path(name), machine, machine == "x86_64")
        for field, value in fields.items():
            setattr(library, field, value)
        self.headers[library.path] = library
        return library

    def read(self, path: str) -> Any:
        if path not in self.headers:
            raise self.module.Unreadable(path)
        return self.headers[path]


@pytest.fixture
def disk(dcs_elf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(dcs_elf, tmp_path)
    monkeypatch.setattr(dcs_elf, "read_headers", disk.read)
    monkeypatch.setattr(dcs_elf, "DEFAULT_FOLDERS", (disk.path("system"),))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    return disk


@pytest.fixture
def missing(disk: Disk) -> Callable[..., list[str]]:
    """Return a function that says which libraries a loader with this cache misses."""

    def find(root: Any, **cache: str) -> list[str]:
        names = {name.replace("_", "."): disk.path(path) for name, path in cache.items()}
        loader = disk.module.Loader(disk.path("python/bin/python3"), names)
        return [fault["subject"] for fault in loader.load(root)[1]]

    return find


def test_a_library_of_a_default_folder_is_found(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/module.so", needed=["libz.so.1", "libgomp.so.1"])
    disk.add("system/libz.so.1")
    assert missing(root) == ["libgomp.so.1"]


def test_a_library_that_the_cache_knows_is_found(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/module.so", needed=["libz.so"])
    disk.add("elsewhere/libz.so")
    assert missing(root, libz_so="elsewhere/libz.so") == []
    assert missing(root, libz_so="elsewhere/removed.so") == ["libz.so"]


def test_a_library_for_another_machine_is_passed_over(
    disk: Disk, missing: Callable[..., Any]
) -> None:
    root = disk.add("site/module.so", needed=["libz.so.1"], rpath=[disk.path("arm")])
    disk.add("arm/libz.so.1", machine="aarch64")
    assert missing(root) == ["libz.so.1"]
    disk.add("system/libz.so.1")
    assert missing(root) == []


def test_a_library_that_is_none_is_passed_over(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/module.so", needed=["libz.so.1"])
    disk.add("system/libz.so.1")
    del disk.headers[disk.path("system/libz.so.1")]
    assert missing(root) == ["libz.so.1"]


def test_a_dangling_link_is_no_library(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/module.so", needed=["libz.so.1"])
    Path(disk.path("system/libz.so.1")).symlink_to("libz.so.1.3")
    assert missing(root) == ["libz.so.1"]


def test_what_a_library_loads_is_looked_for_too(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/module.so", needed=["libarrow.so"], runpath=[disk.path("site")])
    disk.add("site/libarrow.so", needed=["libssl.so.3"])
    assert missing(root) == ["libssl.so.3"]


def test_an_rpath_holds_for_what_the_library_loads(disk: Disk, missing: Callable[..., Any]) -> None:
    disk.add("libs/libone.so", needed=["libtwo.so"])
    disk.add("libs/libtwo.so")
    old = disk.add("site/old.so", needed=["libone.so"], rpath=[disk.path("libs")])
    new = disk.add("site/new.so", needed=["libone.so"], runpath=[disk.path("libs")])
    assert missing(old) == []
    assert missing(new) == ["libtwo.so"]


def test_the_rpath_of_the_interpreter_holds_for_its_modules(
    disk: Disk, missing: Callable[..., Any]
) -> None:
    disk.add("libs/libz.so")
    root = disk.add("site/module.so", needed=["libz.so"])
    disk.headers[disk.path("python/bin/python3")].rpath = [disk.path("libs")]
    assert missing(root) == []


def test_what_is_loaded_already_is_not_looked_for(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add(
        "site/_imaging.so", needed=["libtiff.so", "liblzma.so"], runpath=[disk.path("libs")]
    )
    disk.add("libs/libtiff.so", needed=["liblzma.so"])
    disk.add("libs/liblzma.so")
    assert missing(root) == []
    assert missing(disk.headers[disk.path("libs/libtiff.so")]) == ["liblzma.so"]


def test_a_variable_leads_to_libraries(
    disk: Disk, missing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = disk.add("site/module.so", needed=["libz.so", "libjemalloc.so"])
    disk.add("libs/libz.so")
    disk.add("opt/libjemalloc.so", soname="libjemalloc.so")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{disk.path('libs')}")
    assert missing(root) == ["libjemalloc.so"]
    monkeypatch.setenv("LD_PRELOAD", disk.path("opt/libjemalloc.so"))
    assert missing(root) == []


def test_what_another_package_brings_may_have_been_loaded_before(disk: Disk) -> None:
    root = disk.add("site/torchvision/_C.so", needed=["libtorch.so"])
    loader = disk.module.Loader(disk.path("python/bin/python3"), {})
    loader.brought.add("libtorch.so")
    assert loader.load(root)[1] == []


def test_a_circle_ends(disk: Disk, missing: Callable[..., Any]) -> None:
    root = disk.add("site/one.so", needed=["two.so"], runpath=[disk.path("site")])
    disk.add("site/two.so", needed=["one.so"], runpath=[disk.path("site")])
    assert missing(root) == []


@pytest.mark.parametrize(
    ("needed", "lacking"),
    [
        (["GLIBC_2.9"], []),
        (["GLIBC_2.9", "GLIBC_2.38", "GLIBC_2.37"], [("GLIBC_2.38", "GLIBC_2.36")]),
        (["GLIBC_PRIVATE"], [("GLIBC_PRIVATE", "GLIBC_2.36")]),
        (["MUSL_1"], [("MUSL_1", "none")]),
    ],
)
def test_versions_are_compared_with_what_the_library_has(
    disk: Disk, needed: list[str], lacking: list[tuple[str, str]]
) -> None:
    root = disk.add("site/module.so", needed=["libc.so.6"], versions_needed={"libc.so.6": needed})
    loader = disk.module.Loader(disk.path("python/bin/python3"), {})
    faults = loader.load(root)[1]
    assert [(fault["subject"], fault["newest"]) for fault in faults] == lacking


def test_a_library_without_versions_is_taken_as_it_is(
    disk: Disk, missing: Callable[..., Any]
) -> None:
    disk.add("system/libtinfo.so.6")
    versions = {"libtinfo.so.6": ["NCURSES6_TINFO_5.0"]}
    root = disk.add("site/module.so", needed=["libtinfo.so.6"], versions_needed=versions)
    assert missing(root) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("$ORIGIN/../a.libs:/opt/lib", ["/site/../a.libs", "/opt/lib"]),
        ("${ORIGIN};;/b", ["/site", "/b"]),
        ("/usr/$LIB", ["/usr/lib/x86_64-linux-gnu", "/usr/lib64"]),
    ],
)
def test_search_paths_have_words_of_their_own(dcs_elf: Any, text: str, found: list[str]) -> None:
    assert dcs_elf.folders(text, "/site") == found


def test_the_headers_of_an_executable_are_read(dcs_elf: Any) -> None:
    found = dcs_elf.read_headers(os.path.realpath(sys.executable))
    assert any(name.startswith("lib") for name in found.needed)
    assert not found.is_module


@pytest.mark.parametrize(
    ("length", "told"),
    [(None, ""), (5000, "cut off after 5000 of at least "), (70, "no whole ELF header")],
)
def test_a_file_that_was_cut_off_is_told_from_a_whole_one(
    dcs_elf: Any, tmp_path: Path, length: int | None, told: str
) -> None:
    file = tmp_path / "module.so"
    file.write_bytes(Path(os.path.realpath(sys.executable)).read_bytes()[:length])
    assert dcs_elf.damage(str(file)).startswith(told)
    assert bool(told) == bool(dcs_elf.damage(str(file)))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1"])
def test_a_text_is_no_library(dcs_elf: Any, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "module.so"
    file.write_bytes(content)
    assert dcs_elf.damage(str(file)) == "no ELF file"
    with pytest.raises(dcs_elf.Unreadable):
        dcs_elf.read_headers(str(file))


def test_a_file_with_broken_sections_may_be_loaded(dcs_elf: Any, tmp_path: Path) -> None:
    content = bytearray(Path(os.path.realpath(sys.executable)).read_bytes())
    content[0x28:0x30] = len(content).to_bytes(8, "little")  # where the section headers lie
    file = tmp_path / "module.so"
    file.write_bytes(content)
    with pytest.raises(dcs_elf.Unreadable):
        dcs_elf.read_headers(str(file))
    assert dcs_elf.damage(str(file)) == ""


class Site:
    """A folder of packages that a sweep looks through."""

    def __init__(self, elf_sweep: Any, disk: Disk) -> None:
        self.elf_sweep = elf_sweep
        self.disk = disk

    def add(self, package: str, name: str, **fields: Any) -> None:
        self.disk.add(f"site/{name}", **fields)
        record = Path(self.disk.path(f"site/{package}-1.0.dist-info/RECORD"))
        record.parent.mkdir(exist_ok=True)
        with record.open("a") as lines:
            lines.write(f"{name},sha256=0,1\n")

    def sweep(
        self, seconds: float = 60.0
    ) -> tuple[dict[str, int], list[tuple[str, str, bool]], int]:
        """Return roots by package, what is faulty (file, kind, is it a root), and what is left."""
        loader = self.disk.module.Loader(self.disk.path("python/bin/python3"), {})
        deadline = self.elf_sweep.time.time() + seconds
        sweep = self.elf_sweep.Sweep(loader, [self.disk.path("site")], deadline)
        roots, faulty = sweep.run()
        found = [
            (Path(each["path"]).name, each["faults"][0]["kind"], each["root"]) for each in faulty
        ]
        return dict(roots), found, sweep.left_out


@pytest.fixture
def site(elf_sweep: Any, disk: Disk) -> Site:
    Path(disk.path("site")).mkdir()
    return Site(elf_sweep, disk)


def test_bundled_libraries_come_with_their_module(site: Site) -> None:
    site.add(
        "numpy",
        f"numpy/{MODULE}",
        needed=["libblas.so", "libquad.so"],
        runpath=[site.disk.path("site/numpy.libs")],
    )
    site.add("numpy", "numpy.libs/libblas.so", needed=["libquad.so"])
    site.add("numpy", "numpy.libs/libquad.so")
    assert site.sweep() == ({"numpy": 1}, [], 0)


def test_a_library_that_nothing_comes_with_is_looked_at_by_itself(site: Site) -> None:
    site.add("lightgbm", "lightgbm/lib_lightgbm.so", needed=["libgomp.so.1"])
    assert site.sweep() == ({"lightgbm": 1}, [("lib_lightgbm.so", "library", True)], 0)


def test_beside_modules_a_library_is_no_root(site: Site) -> None:
    site.add("qt", f"qt/{MODULE}")
    site.add("qt", "qt/plugins/libxcb.so", needed=["libX11.so.6"])
    assert site.sweep() == ({"qt": 1}, [("libxcb.so", "library", False)], 0)


def test_a_module_for_another_machine_is_found(site: Site) -> None:
    site.add("ujson", f"ujson.{TAG}-aarch64-linux-gnu.so", machine="aarch64")
    assert site.sweep()[1] == [(f"ujson.{TAG}-aarch64-linux-gnu.so", "machine", True)]


def test_a_module_for_each_machine_is_well(site: Site) -> None:
    site.add("ujson", f"ujson.{TAG}-aarch64-linux-gnu.so", machine="aarch64")
    site.add("ujson", f"ujson.{TAG}-x86_64-linux-gnu.so")
    assert site.sweep() == ({"ujson": 1}, [], 0)


def test_libraries_for_other_machines_beside_others_are_well(site: Site) -> None:
    site.add("debugpy", f"debugpy/{MODULE}")
    site.add("debugpy", "debugpy/attach_linux_x86.so", machine="386")
    site.add("booster", "booster/libbooster.so")
    site.add("booster", "booster/arm/libbooster.so", machine="aarch64")
    assert site.sweep()[1] == []


def test_a_package_with_no_library_for_this_machine_is_found(site: Site) -> None:
    site.add("lightgbm", "lightgbm/lib_lightgbm.so", machine="aarch64")
    assert site.sweep()[1] == [("lib_lightgbm.so", "machine", True)]


def test_modules_of_another_python_are_not_imported(site: Site) -> None:
    site.add("dbus", "_dbus.cpython-36m-x86_64-linux-gnu.so", needed=["libdbus.so"])
    assert site.sweep() == ({}, [], 0)


def test_a_damaged_module_is_found_and_a_damaged_library_is_not(site: Site) -> None:
    for name in (f"scoring/{MODULE}", "scoring/libscoring.so"):
        site.add("scoring", name)
        del site.disk.headers[site.disk.path(f"site/{name}")]
    assert site.sweep() == ({"scoring": 1}, [(MODULE, "damage", True)], 1)


def test_what_there_is_no_time_for_is_counted(site: Site) -> None:
    site.add("lightgbm", "lightgbm/lib_lightgbm.so", needed=["libgomp.so.1"])
    assert site.sweep(seconds=-1.0) == ({}, [], 1)


def test_a_file_that_no_package_has_recorded_has_a_guessed_name(elf_sweep: Any, site: Site) -> None:
    site.add("acme-ml", "acme/one.so")
    site.disk.add("site/own/two.so")
    owners = elf_sweep.Owners([site.disk.path("site")])
    assert owners.of(site.disk.path("site/acme/one.so")) == ("acme-ml", True)
    assert owners.of(site.disk.path("site/own/two.so")) == ("own", False)
    assert owners.of("/elsewhere/three.so") == ("three.so", False)


def test_a_python_that_is_too_old_for_pyelftools_is_named(
    elf_sweep: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "elftools.elf.elffile", None)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    told = f"pyelftools does not run on Python {version} (ModuleNotFoundError)"
    assert elf_sweep.look(60.0) == {"unknown": told}
