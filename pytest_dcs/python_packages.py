"""What is installed for the Python of `/databricks/python3`, and which of it does not fit.

The image's own interpreter reads the facts, in one process; what they mean is told here.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from pytest_dcs.inventory import RUNTIME_PYTHON, normalised, output_of
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dcs.inventory import Commands

PROBE = "packages.py"
PIP_LIKE = frozenset({"pip", "uv", "poetry"})
"""What writes itself into the INSTALLER of a package that somebody asked it for."""


@dataclass(frozen=True)
class Expectations:
    """What is looked for; `python_packages.toml` explains the fields."""

    same_series: frozenset[str]
    of_the_platform: frozenset[str]
    installers: frozenset[str]
    standard_library: tuple[str, ...]
    namespaces: tuple[str, ...]
    not_imported: tuple[str, ...]
    notebook_helpers: Mapping[str, str] = field(hash=False)
    """Statements by package."""


@dataclass(frozen=True)
class Distribution:
    """One installed package, as its metadata describes it."""

    name: str
    """As its author writes it."""
    version: str
    folder: str
    own: bool = False
    """It lies in the environment itself, not in the Python below it."""
    installer: str = ""
    requested: bool = False
    """Somebody asked for it, and not another package."""
    has_commands: bool = False
    source: str = ""
    """Where an editable install has its files; else empty."""
    requires: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name as packaging tools compare it."""
        return normalised(self.name)

    def __str__(self) -> str:
        return f"{self.name} {self.version}".strip()


@dataclass(frozen=True)
class Clash:
    """Two packages of one folder that claim the same files with different contents."""

    packages: tuple[str, str]
    """Their names and versions."""
    files: int
    example: str


@dataclass(frozen=True)
class Unmet:
    """A package that requires what is not there."""

    distribution: Distribution
    requirement: str
    found: str


@dataclass(frozen=True)
class PythonPackages:
    """The facts about an environment and the Pythons around it."""

    prefix: str
    markers: Mapping[str, str] = field(default_factory=dict)
    """What the markers of requirements are decided by, as `python_version`."""
    distributions: tuple[Distribution, ...] = ()
    """What the environment can import, in the order of its path."""
    elsewhere: tuple[Distribution, ...] = ()
    """What lies where other Pythons on PATH, or root alone, look."""
    linked: tuple[Distribution, ...] = ()
    """What `setup.py develop` has linked."""
    clashes: tuple[Clash, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Paths of packages that others than root cannot read."""
    incomplete: Mapping[str, str] = field(default_factory=dict)
    """Errors by module of the standard library."""
    pkg_resources: bool = True
    closed_namespaces: Mapping[str, str] = field(default_factory=dict)
    """The file that closes it, by namespace."""

    @property
    def installed(self) -> Mapping[str, Distribution]:
        """What an import finds, by normalised name: the first on the path."""
        return {each.key: each for each in reversed(self.distributions)}


@cache
def expectations() -> Expectations:
    """Return what the product's own data says."""
    data = read_toml(Path(str(resources.files("pytest_dcs") / "python_packages.toml")))
    return Expectations(
        same_series=frozenset(data["same_series"]),
        of_the_platform=frozenset(data["of_the_platform"]),
        installers=frozenset(data["installers"]),
        standard_library=tuple(data["standard_library"]),
        namespaces=tuple(data["namespaces"]),
        not_imported=tuple(data["not_imported"]),
        notebook_helpers=data["notebook_helpers"],
    )


def collect(shell: Commands) -> PythonPackages | None:
    """Read the facts of a running container; None where its interpreter does not say them."""
    wanted = expectations()
    arguments = {
        "standard_library": wanted.standard_library,
        "namespaces": wanted.namespaces,
        "not_imported": wanted.not_imported,
    }
    source = (resources.files("pytest_dcs") / "probes" / PROBE).read_text(encoding="utf-8")
    words = [RUNTIME_PYTHON, "-I", "-W", "ignore", "-c", source, json.dumps(arguments)]
    return parse(output_of(shell, f"cd / && {shlex.join(words)}") or "")


def parse(text: str) -> PythonPackages | None:
    """Return what the probe's last line says; None where it is no JSON."""
    try:
        facts = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return PythonPackages(
        **{
            **facts,
            "distributions": tuple(map(_distribution, facts["distributions"])),
            "elsewhere": tuple(map(_distribution, facts["elsewhere"])),
            "linked": tuple(
                Distribution(version="", folder="", **each) for each in facts["linked"]
            ),
            "clashes": tuple(map(_clash, facts["clashes"])),
            "unreadable": tuple(facts["unreadable"]),
        }
    )


def _distribution(entry: Mapping[str, Any]) -> Distribution:
    return Distribution(**{**entry, "requires": tuple(entry["requires"])})


def _clash(entry: Mapping[str, Any]) -> Clash:
    return Clash(**{**entry, "packages": tuple(entry["packages"])})


def in_another_series(
    installed: Mapping[str, str], pins: Mapping[str, str], names: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and pin of the named packages that are of another series than pinned.

    Both tables have versions by normalised name. What is not installed is no drift.
    """
    for name in sorted(names & installed.keys() & pins.keys()):
        found, pinned = series(installed[name]), series(pins[name])
        if found is not None and pinned is not None and found != pinned:
            yield name, installed[name], pins[name]


def series(version: str) -> str | None:
    """Return the part of a version that changes with what a package offers; None for no version.

    It is the major version, before 1.0 with the minor one: https://semver.org/#spec-item-4
    """
    try:
        release = Version(version).release
    except InvalidVersion:
        return None
    major, minor = (*release, 0)[:2]
    return str(major) if major else f"{major}.{minor}"


def unmet_requirements(
    packages: PythonPackages, pins: Mapping[str, str], of_the_platform: frozenset[str]
) -> Iterator[Unmet]:
    """Yield what the environment's packages require and the image does not have.

    Runtimes install their own list without looking at requirements, so what that list alone says
    is no fault of the image: what a package of the list lacks, and versions that are both pinned.
    """
    installed = packages.installed
    for _, distribution in sorted(installed.items()):
        if not distribution.own or not distribution.installer:
            continue
        for requirement in requirements(distribution.requires, packages.markers):
            key = normalised(requirement.name)
            needed = installed.get(key)
            wanted = f"{requirement.name}{requirement.specifier}"
            if needed is None:
                if distribution.key not in pins and key not in of_the_platform:
                    yield Unmet(distribution, wanted, "not installed")
            elif not _is_met(requirement, needed.version) and not (
                pins.get(distribution.key) == distribution.version
                and pins.get(key) == needed.version
            ):
                yield Unmet(distribution, wanted, str(needed))


def requirements(texts: Sequence[str], markers: Mapping[str, str]) -> Iterator[Requirement]:
    """Yield the requirements that hold in an environment; those of extras do not."""
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({**markers, "extra": ""}):
            yield requirement


def _is_met(requirement: Requirement, version: str) -> bool:
    """Tell whether a version will do; one that is no version is not compared."""
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def installed_twice(packages: PythonPackages) -> Iterator[tuple[Distribution, Distribution]]:
    """Yield the environment's packages of which one folder has two descriptions."""
    seen: dict[tuple[str, str], Distribution] = {}
    for distribution in packages.distributions:
        first = seen.setdefault((distribution.folder, distribution.key), distribution)
        if first is not distribution and distribution.own:
            yield first, distribution


def clashes_of_two(packages: PythonPackages) -> Iterator[Clash]:
    """Yield the clashes of two packages, not those of two versions of one."""
    for clash in packages.clashes:
        names = {normalised(package.partition("-")[0]) for package in clash.packages}
        if len(names) > 1:
            yield clash


def installed_elsewhere(
    packages: PythonPackages, installers: frozenset[str]
) -> Iterator[Distribution]:
    """Yield what somebody installed with pip where the environment does not look.

    What brings commands may be meant as a program, which needs no import.
    """
    known = packages.installed.keys() | installers
    for distribution in packages.elsewhere:
        asked_for = distribution.requested and distribution.installer in PIP_LIKE
        if asked_for and not distribution.has_commands and distribution.key not in known:
            yield distribution


def editable(packages: PythonPackages) -> Iterator[Distribution]:
    """Yield the environment's packages whose files stay where they are developed."""
    yield from (each for each in packages.distributions if each.own and each.source)
    yield from packages.linked
