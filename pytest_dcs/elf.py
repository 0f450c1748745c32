"""The compiled files of the Python environment: which of them could not be loaded, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_dcs.node import DEFAULT_PYTHON, time_factor
from pytest_dcs.probe import Probe, ProbeFailed
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.engines import Container

SWEEP = "elf_sweep.py"
OPTIONS = "PYTEST_DCS_ELF"
COMPILED_FILES = "dcs_compiled_files_smoke"
"""The fixture by whose name a launch is asked for this."""

SECONDS = 60.0
"""Until then files are read; on an idle machine 300 take half a second."""
TIMEOUT = 120.0
"""Seconds until the probe must have ended, which runs at the lowest priority."""

DATA = Path(__file__).with_name("elf.toml")

Kind = Literal["library", "version", "machine", "damage"]


@dataclass(frozen=True)
class Program:
    """Something that the platform starts."""

    name: str
    path: str
    machine: str
    runs_here: bool
    """Whether it is for x86-64, which clusters run."""


@dataclass(frozen=True)
class Fault:
    """Why a compiled file cannot be loaded."""

    kind: Kind
    subject: str
    """The library or version that is missing, the other machine, or what is damaged."""
    by: str
    """The file with the fault: the compiled file itself, or what comes with that."""
    library: str = ""
    """The library that lacks a version."""
    newest: str = ""
    """The newest version of that kind that it has."""


@dataclass(frozen=True)
class Compiled:
    """A compiled file that cannot be loaded."""

    path: str
    package: str
    owned: bool
    """Whether the package has recorded the file as its own; else its name is a guess."""
    root: bool
    """Whether it is a module or, in a package without any, a library that is loaded by itself."""
    faults: tuple[Fault, ...]

    def having(self, kind: Kind) -> list[Fault]:
        """Return the faults of one kind."""
        return [fault for fault in self.faults if fault.kind == kind]


@dataclass(frozen=True)
class CompiledFiles:
    """What was found in one look at all of them."""

    programs: tuple[Program, ...] = ()
    faulty: tuple[Compiled, ...] = ()
    roots: Mapping[str, int] | None = None
    """How many roots the packages have that have faulty files."""
    pinned: frozenset[str] = frozenset()
    """The packages of the runtime, which the image need not have added; empty if unknown."""
    files: int = 0
    """How many compiled files the environment has."""
    left_out: int = 0
    """How many files could not be read, or not in time."""
    unknown: str = ""
    """Why the image cannot be judged, if that is no fault of the image."""
    failure: str = ""
    """Why the probe failed."""
    log: str = ""
    """The end of what it wrote to stderr."""

    def unusable(self) -> frozenset[str]:
        """Return the packages added to the runtime's none of whose roots finds its libraries."""
        without = [each for each in self.faulty if each.root and each.having("library")]
        packages = {each.package for each in without if each.owned}
        return frozenset(
            package
            for package in packages
            if self.pinned
            and package not in self.pinned
            and sum(each.package == package for each in without) == (self.roots or {})[package]
        )


@dataclass(frozen=True)
class Expected:
    """A library that need not be there."""

    library: str
    package: str
    reason: str
    source: str


def start(container: Container) -> Probe:
    """Start the look at the compiled files, by the image's interpreter, in the background.

    Raises `ProbeFailed`, `ContainerEnded` and `EngineLost`.
    """
    return Probe.start(
        container,
        [DEFAULT_PYTHON, "-I"],
        environment={OPTIONS: json.dumps({"seconds": SECONDS * time_factor(container)})},
        source=SWEEP,
        package="elftools",
    )


def result(probe: Probe, timeout: float, pinned: frozenset[str]) -> CompiledFiles:
    """Return what was found, at the probe's end; raises `EngineLost`.

    `timeout` counts in seconds from the start. `pinned` are the packages of the runtime.
    """
    try:
        document = probe.wait(timeout)
    except ProbeFailed as failure:
        return CompiledFiles(failure=str(failure), log=failure.log)
    return parse(document.data, pinned, document.log)


def parse(data: Mapping[str, Any], pinned: frozenset[str], log: str = "") -> CompiledFiles:
    """Return what a report says, without what need not be there."""
    faulty = [_compiled(entry) for entry in data.get("faulty", ())]
    return CompiledFiles(
        programs=tuple(Program(**entry) for entry in data.get("programs", ())),
        faulty=tuple(each for each in faulty if each.faults),
        roots=data.get("roots", {}),
        pinned=pinned,
        files=data.get("files", 0),
        left_out=data.get("left_out", 0),
        unknown=data.get("unknown", ""),
        log=log,
    )


def _compiled(entry: Mapping[str, Any]) -> Compiled:
    faults = [Fault(**fault) for fault in entry["faults"]]
    return Compiled(
        path=entry["path"],
        package=entry["package"],
        owned=entry["owned"],
        root=entry["root"],
        faults=tuple(each for each in faults if not _is_expected(each, entry["package"])),
    )


def _is_expected(fault: Fault, package: str) -> bool:
    """Tell whether a library is missing that the image need not have."""
    return fault.kind == "library" and any(
        fnmatchcase(fault.subject, each.library) and fnmatchcase(package, each.package)
        for each in expected()
    )


@cache
def expected() -> tuple[Expected, ...]:
    """Return what elf.toml lists."""
    return tuple(Expected(**{"package": "*", **entry}) for entry in read_toml(DATA)["expected"])
