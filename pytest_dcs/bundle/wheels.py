"""The wheels of the one file: pure Python, for every Python that it runs on, fetched by pip."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_dcs import errors
from pytest_dcs.spark_cache import find_pip, find_pip_commands

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_dcs.spark_cache import Command, Progress

DISTRIBUTION = "pytest-dcs"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""What the file runs on: wheels are taken for the first, and what any of them depends on."""

LEFT_OUT = {
    "docker": "starts containers, and inside there is one already",
    "backports-zstd": "reads compressed layers, is compiled, and inside no layer can be read",
    "pyyaml": "is compiled, and nothing that runs inside reads YAML",
}
"""Dependencies that are not in the file, by their canonical names, and why."""

LAYOUT_REVISION = 1
"""Counts up when the cached folder gets another form."""
MARKER = "complete"
FETCH_WITHIN = 600.0
"""Seconds for one call of pip; all wheels together have about 4 MB."""
MOST_PASSES = 10


def provision(
    cache_directory: Path,
    progress: Progress,
    *,
    fresh: bool = False,
    pip_commands: Iterable[Command] | None = None,
) -> list[Path]:
    """Return the wheels by name, fetched on first use or when they are to be fresh.

    Raises `BundleNotBuilt` when they cannot be had, and `CacheUnusable` when the cache cannot be
    written.
    """
    wanted = set(needed(own_requirements()))
    key = hashlib.sha256(repr((LAYOUT_REVISION, PYTHONS, sorted(wanted))).encode()).hexdigest()[:12]
    folder = cache_directory / f"bundle-wheels-{key}"
    if fresh or not (folder / MARKER).exists():
        try:
            cache_directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache_directory, prefix="bundle-") as workplace:
                progress("fetching the wheels from the package index (4 MB, once)")
                fetched = resolve(wanted, Path(workplace), pip_commands or find_pip_commands())
                (fetched / MARKER).touch()
                # Another process may have made the same folder meanwhile.
                shutil.rmtree(folder, ignore_errors=True)
                fetched.replace(folder)
        except OSError as error:
            raise errors.CacheUnusable(cache_directory, str(error)) from error
    return sorted(folder.glob("*.whl"))


def own_requirements() -> list[str]:
    """Return what this package depends on; raises `BundleNotBuilt` where nobody installed it."""
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        detail = f"{DISTRIBUTION} itself is not installed here"
        raise errors.BundleNotBuilt(detail) from None


def needed(requirements: Iterable[str]) -> Iterator[str]:
    """Yield those that the file needs on any of its Pythons, without their conditions."""
    for text in requirements:
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) not in LEFT_OUT and is_needed(requirement):
            yield f"{canonicalize_name(requirement.name)}{requirement.specifier}"


def is_needed(requirement: Requirement) -> bool:
    """Tell whether a condition holds on a cluster's system with any of the Pythons."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate(environment_of(python)) for python in PYTHONS)


def environment_of(python: str) -> dict[str, str]:
    """Return what conditions are evaluated in: pip itself takes the Python that it runs on.

    https://github.com/pypa/pip/issues/11664
    """
    return {
        "extra": "",
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def resolve(wanted: set[str], workplace: Path, pip_commands: Iterable[Command]) -> Path:
    """Return a folder with all that the wanted depend on; raises `BundleNotBuilt`.

    pip takes each pass's requirements together, so what it fetched last fits to all of them.
    """
    pip = find_pip(pip_commands)
    if pip is None:
        detail = "neither pip nor uv can be run here"
        raise errors.BundleNotBuilt(detail)
    for number in range(MOST_PASSES):
        folder = workplace / str(number)
        fetch(sorted(wanted), folder, pip)
        more = {each for wheel in folder.glob("*.whl") for each in needed(dependencies_of(wheel))}
        if more <= wanted:
            return folder
        wanted = wanted | more
    detail = f"the dependencies still change after {MOST_PASSES} passes"
    raise errors.BundleNotBuilt(detail)


def dependencies_of(wheel: Path) -> list[str]:
    """Return what a wheel says that it depends on; raises `BundleNotBuilt` for a damaged one."""
    try:
        distribution = next(iter(importlib.metadata.distributions(path=[str(wheel)])))
        return distribution.requires or []
    except (StopIteration, zipfile.BadZipFile):
        detail = f"{wheel.name} is damaged"
        raise errors.BundleNotBuilt(detail) from None


def fetch(requirements: Sequence[str], folder: Path, pip: Command) -> None:
    """Let pip download wheels without anything compiled, as its user configured it."""
    arguments = (
        "download",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={PYTHONS[0]}",
        "--implementation=py",
        "--abi=none",
        "--platform=any",
        "--no-input",
        "--disable-pip-version-check",
        f"--dest={folder}",
        *requirements,
    )
    try:
        done = subprocess.run(
            [*pip, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FETCH_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        detail = f"pip took more than {FETCH_WITHIN:.0f} s"
        raise errors.BundleNotBuilt(detail) from None
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        raise errors.BundleNotBuilt(lines[-1] if lines else "pip said nothing")
