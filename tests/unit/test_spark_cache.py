"""The Spark to inject is made once, completely, and from what is at hand."""

from __future__ import annotations

import io
import sys
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.spark_cache import find_pip_commands, provision, volume_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = "9.9.9"

PIP = """
import shutil, sys, time
from pathlib import Path

here = Path(__file__).parent
if sys.argv[1] == "download":
    with (here / "calls").open("a") as calls:
        print(*sys.argv[2:], file=calls)
    time.sleep({seconds})
    destination = next(word[7:] for word in sys.argv if word.startswith("--dest="))
    shutil.copy(here / "pyspark-9.9.9.tar.gz", destination)
"""
REFUSING_PIP = """
import sys
if sys.argv[1] == "download":
    print("Looking around", file=sys.stderr)
    sys.exit("ERROR: No matching distribution found for pyspark==9.9.9")
"""


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


PY4J = zipped({"py4j/__init__.py": b"", "py4j/java_gateway.py": b"# the gateway\n"})

SDIST = {
    "PKG-INFO": b"",
    "deps/bin/spark-submit": b"#!/usr/bin/env bash\n",
    "deps/bin/spark-submit.cmd": b"rem\n",
    "deps/examples/pi.py": b"",
    "deps/jars/spark-core_2.12-9.9.9.jar": b"PK",
    "lib/py4j-0.10-src.zip": PY4J,
    "pyspark/__init__.py": b"# the package\n",
    "pyspark/python/pyspark/shell.py": b"",
    "pyspark/sql/__init__.py": b"",
    "pyspark/sql/tests/test_udf.py": b"",
    "setup.py": b"",
}
INSTALLED = {
    "__init__.py": b"# the package\n",
    "bin/spark-submit": b"#!/usr/bin/env bash\n",
    "examples/src/main/python/pi.py": b"",
    "jars/spark-core_2.12-9.9.9.jar": b"PK",
    "python/lib/py4j-0.10-src.zip": PY4J,
    "python/lib/pyspark.zip": b"",
    "sbin/start-all.sh": b"",
    "sql/__init__.py": b"",
    "sql/__pycache__/__init__.cpython-311.pyc": b"",
}
HOME_FILES = [
    "RELEASE",
    "bin/spark-submit",
    "jars/spark-core_2.12-9.9.9.jar",
    "python/lib/py4j-0.10-src.zip",
    "python/py4j/__init__.py",
    "python/py4j/java_gateway.py",
    "python/pyspark/__init__.py",
    "python/pyspark/sql/__init__.py",
]


class Index:
    """A package index with one pyspark, behind a stand-in for pip."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir()
        self.put(SDIST)
        self.messages: list[str] = []
        self.set_pip(PIP.format(seconds=0))

    @property
    def pip(self) -> tuple[str, ...]:
        return (sys.executable, str(self.directory / "pip.py"))

    @property
    def sdist(self) -> Path:
        return self.directory / f"pyspark-{VERSION}.tar.gz"

    @property
    def downloads(self) -> list[str]:
        calls = self.directory / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def set_pip(self, script: str) -> None:
        (self.directory / "pip.py").write_text(script)

    def put(self, files: Mapping[str, bytes]) -> None:
        with tarfile.open(self.sdist, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"pyspark-{VERSION}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    def provision(self, cache: Path) -> Path:
        return provision(VERSION, cache, self.messages.append, pip_commands=[self.pip])


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path / "index")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def members_of(archive: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(archive, "r:") as tar:
        return tar.getmembers()


def files_of(archive: Path) -> list[str]:
    return sorted(member.name for member in members_of(archive) if member.isfile())


def test_the_source_distribution_becomes_a_spark_home(index: Index, cache: Path) -> None:
    archive = index.provision(cache)
    assert archive == cache / f"{volume_name(VERSION)}.tar"
    assert files_of(archive) == HOME_FILES
    members = members_of(archive)
    assert {"conf", "work"} < {member.name for member in members if member.isdir()}
    assert members[-1].name == "RELEASE", "it says that all else is there"
    modes = {member.name: member.mode for member in members if member.isfile()}
    assert modes.pop("bin/spark-submit") == 0o755
    assert set(modes.values()) == {0o644}
    assert {(member.uid, member.gid) for member in members} == {(0, 0)}


def test_folders_come_before_what_is_in_them(index: Index, cache: Path) -> None:
    seen = {""}
    for member in members_of(index.provision(cache)):
        assert member.name.rpartition("/")[0] in seen
        seen.add(member.name)


def test_it_is_fetched_once(index: Index, cache: Path) -> None:
    assert index.provision(cache) == index.provision(cache)
    assert len(index.downloads) == 1
    assert f"pyspark=={VERSION}" in index.downloads[0]


def test_equal_content_is_an_equal_tar(index: Index, cache: Path, tmp_path: Path) -> None:
    first, second = index.provision(cache), index.provision(tmp_path / "other")
    assert first.read_bytes() == second.read_bytes()


def test_nothing_else_stays_in_the_cache(index: Index, cache: Path) -> None:
    (cache / f"{volume_name(VERSION)}.tar.part").mkdir(parents=True)
    (cache / f"{volume_name(VERSION)}.tar.part" / "of an interrupted run").touch()
    archive = index.provision(cache)
    assert sorted(path.name for path in cache.iterdir()) == [
        archive.name,
        f"{archive.name}.lock",
        f"{archive.name}.size",
    ]


@pytest.mark.parametrize("damage", ["cut", "no-marker", "broken-marker"])
def test_a_damaged_file_is_made_again(index: Index, cache: Path, damage: str) -> None:
    archive = index.provision(cache)
    whole = archive.read_bytes()
    marker = archive.with_name(f"{archive.name}.size")
    if damage == "cut":
        archive.write_bytes(whole[:-1])
    elif damage == "no-marker":
        marker.unlink()
    else:
        marker.write_text("")
    assert index.provision(cache).read_bytes() == whole
    assert len(index.downloads) == 2


def test_runs_side_by_side_fetch_once(index: Index, cache: Path) -> None:
    index.set_pip(PIP.format(seconds=1.5))
    archives: list[Path] = []
    runs = [
        threading.Thread(target=lambda: archives.append(index.provision(cache))) for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(archives) == 2
    assert len(index.downloads) == 1
    assert any(message.startswith("waiting for another run") for message in index.messages)


def test_without_any_pip_there_is_no_source(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.NoSparkSource, match="neither pip nor uv can be run here"):
        provision(VERSION, cache, print, pip_commands=[(str(tmp_path / "pip"),)])


def test_the_first_pip_that_answers_is_taken(index: Index, cache: Path, tmp_path: Path) -> None:
    broken = (sys.executable, "-c", "raise SystemExit(1)")
    commands = [(str(tmp_path / "pip"),), broken, index.pip]
    assert provision(VERSION, cache, print, pip_commands=commands).exists()


def test_a_refusal_is_told_in_the_words_of_pip(index: Index, cache: Path) -> None:
    index.set_pip(REFUSING_PIP)
    with pytest.raises(errors.NoSparkSource, match=r"\(ERROR: No matching distribution"):
        index.provision(cache)
    assert not list(cache.glob("*.tar"))


def test_a_damaged_download_is_no_source(index: Index, cache: Path) -> None:
    whole = index.sdist.read_bytes()
    index.sdist.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.NoSparkSource, match="what came is damaged"):
        index.provision(cache)
    index.sdist.write_bytes(whole)
    assert files_of(index.provision(cache)) == HOME_FILES


def test_a_distribution_without_jars_is_no_source(index: Index, cache: Path) -> None:
    index.put({name: content for name, content in SDIST.items() if "jars" not in name})
    with pytest.raises(errors.NoSparkSource, match="what came has no jars"):
        index.provision(cache)


def test_a_folder_that_cannot_be_written_is_told(index: Index, cache: Path) -> None:
    cache.touch()
    with pytest.raises(errors.CacheUnusable, match="cannot be used"):
        index.provision(cache)


def install(site: Path, version: str) -> None:
    for name, content in INSTALLED.items():
        path = site / "pyspark" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    information = site / f"pyspark-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: pyspark\nVersion: {version}\n")


def test_an_installed_pyspark_of_that_version_is_taken(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", VERSION)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert files_of(index.provision(cache)) == HOME_FILES
    assert not index.downloads


def test_an_installed_pyspark_of_another_version_is_left_alone(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "9.9.8")
    monkeypatch.syspath_prepend(tmp_path / "site")
    index.provision(cache)
    assert len(index.downloads) == 1


def test_pip_is_looked_for_beside_python_and_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pip", "uv"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(find_pip_commands())[:3] == [
        (sys.executable, "-m", "pip"),
        (f"{tmp_path}/pip",),
        (f"{tmp_path}/uv", "tool", "run", "pip"),
    ]
