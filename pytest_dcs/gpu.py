"""What is known of NVIDIA's GPUs, drivers and libraries, whatever image is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATA = Path(__file__).with_name("gpu.toml")

Version = tuple[int, ...]
"""`(550, 54, 14)`."""

VERSION = re.compile(r"\d+(\.\d+)*")
WHEEL = re.compile(r"nvidia-([a-z-]+?)(-cu\d+)?")


@dataclass(frozen=True)
class Library:
    """One of CUDA's libraries; `gpu.toml` explains the fields."""

    name: str
    wheel: str
    ask: str
    answer: str
    base: tuple[int, ...] = ()
    base_before: Mapping[str, Sequence[int]] = field(default_factory=dict, hash=False)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    partial: str = ""


@dataclass(frozen=True)
class CpuBuild:
    """A package that computes without a GPU; `gpu.toml` explains the fields."""

    package: str
    instead: str
    local: str = ""
    unless: tuple[str, ...] = ()
    unless_local: str = ""


@dataclass(frozen=True)
class DriverFiles:
    """What the machine's driver brings into a container, by file names and folders."""

    libraries: tuple[str, ...]
    """Patterns."""
    programs: frozenset[str]
    library_folders: frozenset[str]
    program_folders: frozenset[str]


def version_of(text: str) -> Version:
    """Return the numbers that a text begins with, none if it begins with another sign."""
    found = VERSION.match(text)
    return tuple(map(int, found[0].split("."))) if found else ()


def text_of(version: Version) -> str:
    """Return a version for people."""
    return ".".join(map(str, version))


def toolkit_driver(cuda: Version) -> Version | None:
    """Return the driver that a CUDA toolkit comes with, None for one that is not known."""
    return _toolkits().get(cuda[:2])


def oldest_driver(cuda: Version) -> Version | None:
    """Return the oldest driver on which a CUDA version runs, None where that is not known."""
    oldest = _data()["oldest_driver"].get(str(cuda[0]))
    return version_of(oldest) if oldest else toolkit_driver(cuda)


def cuda_of_driver(driver: Version) -> Version:
    """Return the newest CUDA that a driver offers, none for one older than all that is known."""
    offered = [cuda for cuda, needed in _toolkits().items() if needed <= driver]
    return max(offered, default=())


def capabilities() -> Mapping[str, Version]:
    """Return the compute capability of each type of GPU."""
    return {name: version_of(text) for name, text in _data()["types"].items()}


@cache
def libraries() -> tuple[Library, ...]:
    """Return CUDA's libraries."""
    return tuple(
        Library(**{**entry, "base": tuple(entry.get("base", ()))}) for entry in _data()["library"]
    )


def library_of_wheel(package: str) -> Library | None:
    """Return the library that a package of NVIDIA's brings, None for another package."""
    found = WHEEL.fullmatch(package.lower().replace("_", "-"))
    if not found:
        return None
    return next((each for each in libraries() if each.wheel == found[1]), None)


@cache
def cpu_builds() -> tuple[CpuBuild, ...]:
    """Return the packages that compute without a GPU."""
    return tuple(
        CpuBuild(**{**entry, "unless": tuple(entry.get("unless", ()))})
        for entry in _data()["cpu_build"]
    )


@cache
def driver_files() -> DriverFiles:
    """Return what the machine's driver brings."""
    table = _data()["driver"]
    return DriverFiles(
        libraries=tuple(table["libraries"]),
        programs=frozenset(table["programs"]),
        library_folders=frozenset(table["library_folders"]),
        program_folders=frozenset(table["program_folders"]),
    )


def extras() -> Mapping[str, Sequence[str]]:
    """Return the extras by which packages name libraries that they look for themselves."""
    found: Mapping[str, Sequence[str]] = _data()["extras"]
    return found


@cache
def _data() -> Mapping[str, Any]:
    return read_toml(DATA)


@cache
def _toolkits() -> Mapping[Version, Version]:
    return {version_of(cuda): version_of(driver) for cuda, driver in _data()["toolkits"].items()}
