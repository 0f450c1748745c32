"""Writes the one file: a zip of the wheels and of this package, which starts with the stub."""

from __future__ import annotations

import importlib.metadata
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import pytest_dcs
from pytest_dcs import errors
from pytest_dcs.bundle import wheels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dcs.spark_cache import Progress

STUB = Path(__file__).with_name("stub.py")
SHEBANG = b"#!/usr/bin/env python3\n"
SITE = "site"
"""The folder of all packages within the zip."""
MODIFIED = (1980, 1, 1, 0, 0, 0)
"""When every file was modified, so that equal content is an equal zip."""
READABLE = 0o644 << 16
UNIX = 3
OF_DISTRIBUTION = ("METADATA", "entry_points.txt")
LICENSES = "licenses"


@dataclass(frozen=True)
class Built:
    """What was written."""

    path: Path
    size: int
    """Bytes."""
    packages: tuple[str, ...]
    """Names and versions of what the file brings beside this package."""


def build(target: Path, cache_directory: Path, progress: Progress, *, fresh: bool = False) -> Built:
    """Write the file; raises `BundleNotBuilt`, `BundleNotWritten` and `CacheUnusable`."""
    found = wheels.provision(cache_directory, progress, fresh=fresh)
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            unnamed = Path(file.name)
            try:
                write(file, found)
                # Temporary files are their owner's alone.
                unnamed.chmod(0o755)
                unnamed.replace(target)
            finally:
                unnamed.unlink(missing_ok=True)
    except OSError as error:
        raise errors.BundleNotWritten(target, error.strerror or str(error)) from error
    return Built(
        path=target,
        size=target.stat().st_size,
        packages=tuple(" ".join(wheel.name.split("-")[:2]) for wheel in found),
    )


def write(file: IO[bytes], found: Sequence[Path]) -> None:
    """Write the zip, in an order and with times that depend on its content only."""
    content = dict(own_files())
    for wheel in found:
        content |= files_of(wheel)
    file.write(SHEBANG)
    with zipfile.ZipFile(file, "w") as packed:
        add(packed, "__main__.py", STUB.read_bytes())
        for path in sorted(content):
            add(packed, f"{SITE}/{path}", content[path])


def add(packed: zipfile.ZipFile, path: str, content: bytes) -> None:
    """Add one file, the same on every machine."""
    member = zipfile.ZipInfo(path, MODIFIED)
    member.create_system = UNIX
    member.external_attr = READABLE
    packed.writestr(member, content, zipfile.ZIP_DEFLATED, compresslevel=9)


def own_files() -> Iterator[tuple[str, bytes]]:
    """Yield the files of this package, and of its distribution what names its hooks."""
    package = Path(str(pytest_dcs.__file__)).parent
    for path in package.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(package.parent).as_posix(), path.read_bytes()
    distribution = importlib.metadata.distribution(wheels.DISTRIBUTION)
    for file in distribution.files or ():
        folder, *rest = file.parts
        if folder.endswith(".dist-info") and (
            rest[0] == LICENSES or PurePosixPath(*rest).name in OF_DISTRIBUTION
        ):
            yield file.as_posix(), Path(str(distribution.locate_file(file))).read_bytes()


def files_of(wheel: Path) -> dict[str, bytes]:
    """Return the files that a wheel installs beside each other; its scripts are no use here."""
    with zipfile.ZipFile(wheel) as packed:
        return {
            name: packed.read(name)
            for name in packed.namelist()
            if not name.endswith("/") and not PurePosixPath(name).parts[0].endswith(".data")
        }


def told(built: Built) -> str:
    """Return what the user should know of the file."""
    left_out = "\n".join(f"  {name}: {why}" for name, why in wheels.LEFT_OUT.items())
    return (
        f"written {built.path}: {built.size / 1e6:.1f} MB, for Python {wheels.PYTHONS[0]} to "
        f"{wheels.PYTHONS[-1]}\n"
        f"run it in the image's container, as root:\n"
        f"  python3 -I -S {built.path.name} --dcs-image=acme/ml:1.4 --dcs-runtime=15.4 > run.json\n"
        f"it brings {', '.join(built.packages)}\n"
        f"it does not bring\n{left_out}\n"
        "  Spark: has 300 MB; rules that need it run where DCS_CACHE names a folder that has it\n"
        "inside, no layer of the image can be read, and its config only with --dcs-image-config; "
        "judge those rules outside, and join both with --dcs-merge=run.json"
    )
