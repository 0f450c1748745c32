"""What the image's Python says of its packages, and what of it does not fit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pytest_dcs import python_packages
from pytest_dcs.inventory import normalised
from pytest_dcs.python_packages import (
    Clash,
    Distribution,
    PythonPackages,
    clashes_of_two,
    editable,
    in_another_series,
    installed_elsewhere,
    installed_twice,
    series,
    unmet_requirements,
)

MARKERS = {"python_version": "3.11", "sys_platform": "linux"}
PLATFORM = frozenset({"pyspark", "py4j"})


@dataclass
class Environment:
    """A virtualenv without any package, for the probe to look at."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def packages(self) -> Path:
        return next(self.root.glob("lib/python3*/site-packages"))

    def facts(self, **wanted: list[str]) -> dict[str, Any]:
        nothing = {"standard_library": [], "namespaces": [], "not_imported": ["tests"]}
        source = (resources.files("pytest_dcs") / "probes" / python_packages.PROBE).read_text()
        asked = json.dumps({**nothing, **wanted})
        argv = [str(self.root / "bin" / "python"), "-I", "-c", source, asked]
        environment = {**os.environ, **self.environment}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    root = tmp_path / "environment"
    venv.create(root, with_pip=False, symlinks=True)
    home = tmp_path / "home"
    home.mkdir()
    return Environment(root, {"HOME": str(home), "PATH": "/nowhere"})


def install(folder: Path, name: str, version: str, *, requires: str = "", **files: str) -> None:
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir(parents=True)
    requirement = f"Requires-Dist: {requires}\n" if requires else ""
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: BSD\n"
        f"        \n        Name: not-this\n{requirement}\nRequires-Dist: not-this\n"
    )
    for file, text in {"INSTALLER": "pip\n", "REQUESTED": "", **files}.items():
        (metadata / file).write_text(text)


def test_the_probe_describes_a_package(environment: Environment) -> None:
    install(
        environment.packages,
        "acme_ml",
        "1.4",
        requires="numpy<2,>=1.23; extra == 'fast'",
        **{"entry_points.txt": "[console_scripts]\nacme = acme:main\n"},
    )
    install(environment.packages, "~cme_ml", "1.3")

    facts = environment.facts()

    assert facts["prefix"] == str(environment.root.resolve())
    assert facts["markers"]["python_version"] == "{}.{}".format(*sys.version_info)
    assert facts["distributions"] == [
        {
            "name": "acme_ml",
            "version": "1.4",
            "folder": str(environment.packages.resolve()),
            "own": True,
            "installer": "pip",
            "requested": True,
            "has_commands": True,
            "source": "",
            "requires": ["numpy<2,>=1.23; extra == 'fast'"],
        }
    ]


def test_the_probe_reads_packages_without_metadata_of_wheels(environment: Environment) -> None:
    (environment.packages / "distro_info-1.1.egg-info").write_text(
        "Name: distro-info\nVersion: 1\n"
    )
    folder = environment.packages / "acme-2.0-py3.11.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Name: acme\nVersion: 2.0\n")
    (environment.packages / "empty-1.0.dist-info").mkdir()

    found = environment.facts()["distributions"]

    assert [(each["name"], each["version"]) for each in found] == [
        ("acme", "2.0"),
        ("distro-info", "1"),
    ]


def test_the_probe_finds_links_to_sources(environment: Environment) -> None:
    url = json.dumps({"url": "file:///opt/acme", "dir_info": {"editable": True}})
    copy = json.dumps({"url": "file:///opt/other", "dir_info": {}})
    install(environment.packages, "acme", "1.4", **{"direct_url.json": url})
    install(environment.packages, "other", "1.0", **{"direct_url.json": copy})
    (environment.packages / "old-style.egg-link").write_text("/opt/old\n.")

    facts = environment.facts()

    assert [each["source"] for each in facts["distributions"]] == ["file:///opt/acme", ""]
    assert facts["linked"] == [{"name": "old-style", "source": "/opt/old"}]


def record(**digests: str) -> str:
    rows = [f"{name.replace('__', '/', 1)},{digest},1" for name, digest in digests.items()]
    return "\n".join([*rows, "one-column"])


def test_the_probe_finds_files_of_two_packages(environment: Environment) -> None:
    shared = {"shared__same.py": "sha256=a", "shared__data.txt": "sha256=b", "tests__a.py": "x"}
    start = {"shared____init__.py": "sha256=a"}
    install(
        environment.packages,
        "first",
        "1",
        RECORD=record(**shared, **start, **{"shared__core.py": "sha256=1", "top.py": "sha256=1"}),
    )
    others = {
        **shared,
        "shared__data.txt": "sha256=c",
        "shared____init__.py": "sha256=d",
        "tests__a.py": "y",
        "top.py": "sha256=2",
    }
    install(
        environment.packages, "second", "2", RECORD=record(**others, **{"shared__core.py": "z"})
    )

    assert environment.facts()["clashes"] == [
        {"packages": ["first-1", "second-2"], "files": 1, "example": "shared/core.py"}
    ]


def test_the_probe_finds_what_only_root_may_read(environment: Environment) -> None:
    for name, mode in {"open": 0o755, "closed": 0o700, "listed": 0o744}.items():
        (environment.packages / name).mkdir(mode=mode)
        (environment.packages / name).chmod(mode)
    for name, mode in {"open.py": 0o644, "closed.py": 0o600}.items():
        (environment.packages / name).touch()
        (environment.packages / name).chmod(mode)
    (environment.packages / "dangling.py").symlink_to("/nowhere")

    names = [Path(each).name for each in environment.facts()["unreadable"]]

    assert names == ["closed", "closed.py", "listed"]


def test_the_probe_looks_where_other_pythons_and_root_have_packages(
    environment: Environment, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin" / "python3").touch()
    install(other / "lib" / "python3.11" / "site-packages", "elsewhere", "1.0")
    programs = tmp_path / "programs"
    (programs / "bin").mkdir(parents=True)
    install(programs / "lib" / "python3.11" / "site-packages", "no_python_here", "1.0")
    install(environment.packages, "its_own", "1.0")
    own = environment.root / "bin"
    environment.environment["PATH"] = f"{own}::{other / 'bin'}/:{programs / 'bin'}"
    minor = "python{}.{}".format(*sys.version_info)
    home = Path(environment.environment["HOME"])
    install(home / ".local" / "lib" / minor / "site-packages", "of_root", "1.0")

    found = environment.facts()["elsewhere"]

    assert [each["name"] for each in found] == ["of_root", "elsewhere"]


def test_the_probe_tries_modules(environment: Environment) -> None:
    errors = environment.facts(standard_library=["json", "no_such_module"])["incomplete"]
    assert errors == {"no_such_module": "ModuleNotFoundError: No module named 'no_such_module'"}


def test_the_probe_finds_pkg_resources(environment: Environment) -> None:
    assert not environment.facts()["pkg_resources"]
    (environment.packages / "pkg_resources").mkdir()
    assert not environment.facts()["pkg_resources"]
    (environment.packages / "pkg_resources" / "__init__.py").touch()
    assert environment.facts()["pkg_resources"]


@pytest.mark.parametrize(
    ("text", "is_closed"),
    [
        (None, False),
        ("", True),
        ("__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", False),
        ("raise ImportError('sorry')\n", True),
    ],
    ids=["no-file", "empty", "extended", "raising"],
)
def test_the_probe_puts_a_part_before_a_namespace(
    environment: Environment, text: str | None, is_closed: bool
) -> None:
    (environment.packages / "google" / "protobuf").mkdir(parents=True)
    if text is not None:
        (environment.packages / "google" / "__init__.py").write_text(text)

    closed = environment.facts(namespaces=["google", "azure"])["closed_namespaces"]

    assert list(closed) == (["google"] if is_closed else [])


def test_nothing_is_left_behind(environment: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment.environment["TMPDIR"] = str(folder)
    (environment.packages / "google").mkdir()
    (environment.packages / "google" / "__init__.py").touch()
    before = sorted(environment.root.rglob("*"))

    environment.facts(namespaces=["google"], standard_library=["lzma"])

    assert list(folder.iterdir()) == []
    assert sorted(environment.root.rglob("*")) == before


class Shell:
    """Runs the probe with this machine's Python instead of a container's."""

    def __init__(self, interpreter: str | None) -> None:
        self.interpreter = interpreter

    def run(self, command: str) -> subprocess.CompletedProcess[bytes]:
        own = command.replace("/databricks/python3/bin/python", self.interpreter or "/nowhere", 1)
        return subprocess.run(["/bin/sh", "-c", own], capture_output=True, check=False)


def test_facts_are_collected_through_a_shell(environment: Environment) -> None:
    install(environment.packages, "Acme.ML", "1.4", requires="numpy")
    (environment.packages / "old.egg-link").write_text("/opt/old")
    install(environment.packages, "one", "1", RECORD="a/b.py,sha256=1,1")
    install(environment.packages, "two", "2", RECORD="a/b.py,sha256=2,1")

    packages = python_packages.collect(Shell(str(environment.root / "bin" / "python")))

    assert packages is not None
    assert packages.installed["acme-ml"].requires == ("numpy",)
    assert [each.name for each in editable(packages)] == ["old"]
    assert packages.clashes == (Clash(("one-1", "two-2"), 1, "a/b.py"),)
    assert not packages.incomplete


@pytest.mark.parametrize("interpreter", [None, shutil.which("true")], ids=["missing", "silent"])
def test_facts_that_nobody_says_are_unknown(interpreter: str | None) -> None:
    assert python_packages.collect(Shell(interpreter)) is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [("6.25.1", "6"), ("0.18.1", "0.18"), ("0", "0.0"), ("2.0.1+cpu", "2"), ("unknown", None)],
)
def test_a_series_is_what_stays_compatible(version: str, expected: str | None) -> None:
    assert series(version) == expected


def test_only_another_series_of_a_named_package_is_drift() -> None:
    pins = {"a": "6.25.1", "b": "0.18.1", "c": "1.0", "d": "1.0", "e": "1.0"}
    installed = {"a": "6.29.5", "b": "0.19.1", "c": "2.0", "e": "odd", "f": "2"}
    found = list(in_another_series(installed, pins, frozenset("abdef")))
    assert found == [("b", "0.19.1", "0.18.1")]


def having(*distributions: Distribution, **more: Any) -> PythonPackages:
    return PythonPackages("/env", MARKERS, distributions, **more)


def own(name: str, version: str, *requires: str, **more: Any) -> Distribution:
    defaults = {"own": True, "installer": "pip", "folder": "/env", "requires": requires}
    return Distribution(name, version, **{**defaults, **more})


def unmet(packages: PythonPackages, **pins: str) -> list[tuple[str, str]]:
    found = unmet_requirements(packages, pins, PLATFORM)
    return [(each.requirement, each.found) for each in found]


def test_what_is_missing_or_of_the_wrong_version_is_unmet() -> None:
    packages = having(
        own("acme", "1", "gone>=2", "Numpy<2", "pandas>=1.5", "typing-extensions"),
        own("numpy", "2.0.2"),
        own("pandas", "2.0.0rc1"),
        own("typing_extensions", "4.8"),
    )
    assert unmet(packages) == [("gone>=2", "not installed"), ("Numpy<2", "numpy 2.0.2")]


@pytest.mark.parametrize(
    "requirement",
    [
        "gone; python_version < '3.8'",
        "gone; extra == 'dev'",
        "pyspark>=3.5",
        "numpy[extra]>=1.20",
        "not a requirement (",
        "odd>=1",
    ],
)
def test_what_is_not_asked_here_is_met(requirement: str) -> None:
    packages = having(own("acme", "1", requirement), own("numpy", "1.23.5"), own("odd", "odd"))
    assert unmet(packages) == []


def test_what_the_runtimes_own_list_leaves_open_is_no_fault() -> None:
    packages = having(own("ipywidgets", "7.7.2", "widgets", "parso>=0.9"), own("parso", "0.8.3"))
    assert unmet(packages, ipywidgets="7.7.2", parso="0.8.3") == []
    assert unmet(packages, ipywidgets="7.7.2") == [("parso>=0.9", "parso 0.8.3")]
    assert unmet(packages, ipywidgets="7.7.2", parso="0.9.0") == [("parso>=0.9", "parso 0.8.3")]
    assert unmet(packages, ipywidgets="7.8", parso="0.8.3") == [("parso>=0.9", "parso 0.8.3")]


@pytest.mark.parametrize("more", [{"own": False}, {"installer": ""}], ids=["system", "apt"])
def test_packages_of_the_system_are_not_asked(more: dict[str, Any]) -> None:
    assert unmet(having(own("launchpadlib", "1.10", "testresources", **more))) == []


def test_the_first_package_of_the_path_counts() -> None:
    packages = having(
        own("acme", "1", "six>=1.16"),
        own("six", "1.16.0"),
        own("six", "1.14.0", own=False, folder="/usr/lib/python3/dist-packages"),
    )
    assert unmet(packages) == []


def test_two_versions_in_one_folder_are_found() -> None:
    first, second = own("six", "1.16.0"), own("Six", "1.17.0")
    assert list(installed_twice(having(first, second))) == [(first, second)]
    assert list(installed_twice(having(first, own("six", "1.14", folder="/usr", own=False)))) == []


def test_two_versions_of_one_package_do_not_clash() -> None:
    versions = Clash(("six_a-1.16", "Six.A-1.17"), 3, "six/a.py")
    two = Clash(("pyspark-3.5.9", "databricks_connect-15.4"), 3, "pyspark/a.py")
    assert list(clashes_of_two(having(clashes=(versions, two)))) == [two]


def test_what_somebody_installed_elsewhere_is_found() -> None:
    def elsewhere(name: str, **more: Any) -> Distribution:
        defaults: dict[str, Any] = {"installer": "uv", "requested": True}
        return Distribution(name, "1.0", "/opt/venv", **{**defaults, **more})

    lost = elsewhere("sklearn")
    packages = having(
        own("numpy", "1.23.5"),
        elsewhere=(
            lost,
            elsewhere("numpy"),
            elsewhere("setuptools"),
            elsewhere("joblib", requested=False),
            elsewhere("apt-pkg", installer=""),
            elsewhere("awscli", has_commands=True),
        ),
    )
    assert list(installed_elsewhere(packages, frozenset({"setuptools"}))) == [lost]


def test_the_data_names_packages_as_they_are_compared() -> None:
    wanted = python_packages.expectations()
    names = wanted.same_series | wanted.of_the_platform | wanted.installers
    names |= wanted.notebook_helpers.keys()
    assert names == {normalised(name) for name in names}
