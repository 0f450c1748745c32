"""The one file for a run inside an image: what goes into it, and how it starts and ends."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.__main__ import main
from pytest_dcs.bundle import builder, inside, stub, wheels
from pytest_dcs.image import layer_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

WAIT = 20.0

PIP = """
import shutil, sys
from pathlib import Path

here = Path(__file__).parent
if sys.argv[1] == "download":
    with (here / "calls").open("a") as calls:
        print(*sys.argv[2:], file=calls)
    destination = Path(next(word[7:] for word in sys.argv if word.startswith("--dest=")))
    destination.mkdir(parents=True)
    for word in sys.argv[2:]:
        if not word.startswith("-"):
            name = word.partition(">")[0].partition("<")[0]
            shutil.copy(next(here.glob(f"{name}-*.whl")), destination)
"""
REFUSING_PIP = """
import sys
if sys.argv[1] == "download":
    sys.exit("ERROR: No matching distribution found for pluggy")
"""

OWN = ["alpha>=1", "docker>=7", "backports.zstd; python_version < '3.14'", "xdist; extra == 'more'"]
NEEDED_BY = {
    "alpha": [
        "beta<9",
        "gamma; python_version < '3.11'",
        "PyYAML",
        "delta; sys_platform == 'win32'",
    ],
    "beta": ["epsilon; python_version >= '3.14'"],
    "gamma": [],
    "epsilon": [],
}

PRINTS_FLAGS = """
import sys
def main(arguments, folder):
    print(sys.flags.isolated, sys.flags.no_site, sys.flags.optimize, *arguments)
    print("sitecustomize" in sys.modules)
    print(folder)
    return 3
"""
RAISES = """
def main(arguments, folder):
    print(folder)
    raise RuntimeError("a bug")
"""
SLEEPS = """
import time
def main(arguments, folder):
    print(folder, flush=True)
    time.sleep(60)
"""


def write_wheel(folder: Path, name: str, requirements: Sequence[str] = ()) -> Path:
    """Write the smallest wheel: a module, and metadata with what it depends on."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = [f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {r}" for r in requirements)]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{name}-1.0.data/scripts/{name}", "#!python\n")
        wheel.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(metadata))
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that our pip takes wheels from; the plugin depends on what is in there."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, requirements in NEEDED_BY.items():
        write_wheel(folder, name, requirements)
    (folder / "pip.py").write_text(PIP)
    monkeypatch.setattr(wheels, "own_requirements", lambda: OWN)
    monkeypatch.setattr(
        wheels, "find_pip_commands", lambda: [(sys.executable, str(folder / "pip.py"))]
    )
    return folder


def archive(folder: Path, content: str) -> Path:
    """Write a file that starts with the real stub and runs this."""
    path = folder / "out.pyz"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(str(stub.__file__), "__main__.py")
        packed.writestr("site/pytest_dcs/__init__.py", "")
        packed.writestr("site/pytest_dcs/bundle/__init__.py", "")
        packed.writestr("site/pytest_dcs/bundle/inside.py", content)
    return path


def without_coverage() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_what_any_of_the_pythons_depends_on_is_fetched(index: Path, tmp_path: Path) -> None:
    found = wheels.provision(tmp_path / "cache", lambda _: None)
    assert [wheel.name.partition("-")[0] for wheel in found] == [
        "alpha",
        "beta",
        "epsilon",
        "gamma",
    ]
    last = (index / "calls").read_text().splitlines()[-1].split()
    assert [word for word in last if not word.startswith("-")] == [
        "alpha>=1",
        "beta<9",
        "epsilon",
        "gamma",
    ]
    assert {"--python-version=3.10", "--only-binary=:all:", "--platform=any"} <= {*last}


def test_wheels_are_fetched_once_and_again_when_asked_for(index: Path, tmp_path: Path) -> None:
    wheels.provision(tmp_path / "cache", lambda _: None)
    calls = (index / "calls").read_text()
    wheels.provision(tmp_path / "cache", lambda _: None)
    assert (index / "calls").read_text() == calls
    wheels.provision(tmp_path / "cache", lambda _: None, fresh=True)
    assert len((index / "calls").read_text().splitlines()) == 2 * len(calls.splitlines())


def test_equal_content_is_an_equal_file(index: Path, tmp_path: Path) -> None:
    first = builder.build(tmp_path / "a.pyz", tmp_path / "cache", lambda _: None)
    for wheel in index.glob("*.whl"):
        os.utime(wheel, (0, 0))
    second = builder.build(tmp_path / "b.pyz", tmp_path / "cache", lambda _: None, fresh=True)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.packages == ("alpha 1.0", "beta 1.0", "epsilon 1.0", "gamma 1.0")


def test_the_order_of_the_wheels_does_not_matter(tmp_path: Path) -> None:
    found = [write_wheel(tmp_path, "alpha"), write_wheel(tmp_path, "beta")]
    one, other = io.BytesIO(), io.BytesIO()
    builder.write(one, found)
    builder.write(other, found[::-1])
    assert one.getvalue() == other.getvalue()


def test_the_file_has_the_stub_the_wheels_and_this_package(index: Path, tmp_path: Path) -> None:
    built = builder.build(tmp_path / "out.pyz", tmp_path / "cache", lambda _: None)
    assert built.path.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert os.access(built.path, os.X_OK)
    with zipfile.ZipFile(built.path) as packed:
        names = packed.namelist()
        assert packed.read("__main__.py") == Path(str(stub.__file__)).read_bytes()
    assert {"site/alpha.py", "site/beta-1.0.dist-info/METADATA"} <= {*names}
    assert {"site/pytest_dcs/plugin.py", "site/pytest_dcs/runtimes/runtimes.toml"} <= {*names}
    assert any(name.endswith("/entry_points.txt") for name in names)
    assert not any("__pycache__" in name or ".data/" in name for name in names)


def test_the_command_says_what_is_in_the_file_and_what_is_not(
    index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DCS_CACHE", str(tmp_path / "cache"))
    assert main(["bundle", str(tmp_path / "out.pyz")]) == 0
    said = capsys.readouterr().out
    assert "MB, for Python 3.10 to 3.14" in said
    assert "python3 -I -S out.pyz --dcs-image=acme/ml:1.4 --dcs-runtime=15.4 > run.json" in said
    assert "it brings alpha 1.0, beta 1.0" in said
    assert "  docker: starts containers" in said


def test_without_pip_there_is_a_message(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels, "find_pip_commands", lambda: [("/no/such/pip",)])
    assert main(["bundle", str(tmp_path / "out.pyz")]) == 4
    assert "neither pip nor uv can be run here" in capsys.readouterr().err
    assert not (tmp_path / "out.pyz").exists()


def test_what_pip_said_last_is_in_the_message(index: Path, tmp_path: Path) -> None:
    (index / "pip.py").write_text(REFUSING_PIP)
    with pytest.raises(errors.BundleNotBuilt, match="No matching distribution found for pluggy"):
        wheels.provision(tmp_path / "cache", lambda _: None)
    assert [*(tmp_path / "cache").iterdir()] == []


def test_a_folder_that_is_not_there_is_a_message(index: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.BundleNotWritten, match="No such file or directory"):
        builder.build(tmp_path / "no" / "out.pyz", tmp_path / "cache", lambda _: None)


def test_nothing_compiled_is_wanted() -> None:
    wanted = {*wheels.needed(wheels.own_requirements())}
    assert {"docker", "backports-zstd"}.isdisjoint(each.partition(">")[0] for each in wanted)
    assert any(each.startswith("tomli") for each in wanted)


def test_the_stub_is_written_for_python_3_6() -> None:
    ast.parse(Path(str(stub.__file__)).read_text(), feature_version=(3, 6))


def test_an_old_python_gets_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it starts itself again"))
    assert stub.main() == 4
    said = capsys.readouterr().err
    assert said.startswith("ERROR: dcs: this file needs Python 3.10 or newer, and ")
    assert "is 3.8.10." in said
    assert "judge the image from outside" in said


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 14, 2)])
def test_a_new_python_gets_none(version: tuple[int, ...]) -> None:
    assert stub.obstacle(version, "python3") == ""


def test_the_image_s_python_variables_and_site_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").touch()
    environment = {**without_coverage(), "PYTHONPATH": str(tmp_path), "PYTHONOPTIMIZE": "2"}
    path = archive(tmp_path, PRINTS_FLAGS)
    run = subprocess.run(
        [sys.executable, path, "--dcs-runtime=15.4"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    flags, customized, folder = run.stdout.splitlines()
    assert flags == "1 1 0 --dcs-runtime=15.4"
    assert customized == "False"
    assert run.returncode == 3
    assert not Path(folder).exists()


def test_the_folder_goes_when_the_run_breaks(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-S", archive(tmp_path, RAISES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RuntimeError: a bug" in run.stderr
    assert not Path(run.stdout.strip()).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_folder_goes_when_a_signal_ends_the_run(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", archive(tmp_path, SLEEPS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        assert Path(folder).is_dir()
        process.send_signal(number)
        process.communicate(timeout=WAIT)
    assert process.returncode == 128 + number
    assert not Path(folder).exists()


def test_a_damaged_file_is_a_message(tmp_path: Path) -> None:
    path = archive(tmp_path, RAISES)
    path.write_bytes(path.read_bytes().replace(b"a bug", b"a hug"))
    run = subprocess.run(
        [sys.executable, "-I", "-S", path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 4
    assert run.stderr.startswith("ERROR: dcs: this file could not be unpacked (Bad CRC-32")


def test_a_checkout_s_own_pytest_configuration_is_left_aside(tmp_path: Path) -> None:
    chosen = inside.defaults(["--dcs-runtime=15.4"], str(tmp_path))
    assert "--noconftest" in chosen
    assert chosen[chosen.index("-c") + 1] == str(tmp_path / "pytest.ini")
    assert "--noconftest" not in inside.defaults(["-c", "own.ini"], str(tmp_path))


def test_a_layer_that_the_file_brings_no_zstd_for_is_called_unreadable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("compression", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("backports.zstd", raising=False)
    layer = io.BytesIO(layer_reading.ZSTD + bytes(100))
    with pytest.raises(tarfile.ReadError, match="compressed by zstd, which this Python cannot"):
        layer_reading.read_layer(layer, "sha256:1f3c", ())


def test_what_is_left_out_says_which_spark_it_needs() -> None:
    entry = SimpleNamespace(runtime=SimpleNamespace(pyspark="3.5.0"))
    note = inside.note_on(entry, 7, Path("/cache"))  # type: ignore[arg-type]
    assert note.startswith("7 checks need Spark 3.5.0, which is not in /cache")
