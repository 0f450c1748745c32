"""The document of a run: written whole or not at all, read with a message for anything else."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors, snapshot
from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.image.layers import Layer, Layers
from pytest_dcs.inventory import Inventory, Java, OsRelease, Python
from pytest_dcs.report import document
from pytest_dcs.stages import Smoke, Stage

from . import runs

if TYPE_CHECKING:
    from collections.abc import Callable


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    written = runs.run(runs.entry({"PY001": "fail"}), day=2)
    document.write(str(path), written)
    assert document.read(path) == written
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_document_replaces_an_older_one_and_may_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    document.write(str(path), runs.run())
    assert document.read(path)["format"] == document.FORMAT
    beside = tmp_path / "beside"
    beside.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


def test_what_cannot_be_written_leaves_the_old_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    document.write(str(path), runs.run(day=1))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(errors.DocumentNotWritten, match="No space left on device"):
        document.write(str(path), runs.run(day=2))
    assert document.read(path) == runs.run(day=1)
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_a_dash_is_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    document.write("-", runs.run())
    assert json.loads(capsys.readouterr().out) == runs.run()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it is not JSON"),
        ('{"format": 1, "plug', "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it is not the document of a run"),
        ('{"image": "acme/ml:1"}', "it is not the document of a run"),
        ('{"format": 2}', "its format is 2, and this pytest-dcs reads 1"),
        ('{"format": 1}', "field 'plugin' is not a text"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(
    tmp_path: Path, content: str, problem: str
) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(errors.DocumentUnreadable, match=problem) as refused:
        document.read(path)
    assert "--dcs-json=FILE" in str(refused.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.DocumentUnreadable, match="No such file"):
        document.read(tmp_path / "missing.json")
    with pytest.raises(errors.DocumentUnreadable, match="Is a directory"):
        document.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda made: made["entries"].append(7), "entry 2: it is not an object"),
        (lambda made: made.pop("entries"), "field 'entries' is not a list"),
        (lambda made: made["entries"][0].pop("digest"), "entry 1: field 'digest' is not a text"),
        (
            lambda made: made["entries"][0].update(own_failures="1"),
            "entry 1: field 'own_failures' is not a number",
        ),
        (
            lambda made: made["entries"][0].update(inventory=[]),
            "entry 1: field 'inventory' is not an object",
        ),
        (
            lambda made: made["entries"][0]["findings"][0].pop("outcome"),
            "entry 1: field 'findings' has something that is no finding",
        ),
    ],
)
def test_a_document_with_a_part_missing_is_refused(
    change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    made = runs.run()
    assert document.problem_of(made) == ""
    change(made)
    assert document.problem_of(made) == problem


@pytest.mark.parametrize(
    ("target", "problem"),
    [("folder", "it is a folder"), ("missing/run.json", "there is no folder")],
)
def test_a_file_that_cannot_be_written_is_refused_early(
    tmp_path: Path, target: str, problem: str
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.DocumentNotWritten, match=problem):
        document.refuse_unwritable(str(tmp_path / target))
    document.refuse_unwritable("-")
    document.refuse_unwritable(str(tmp_path / "new.json"))


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("PATH", "/usr/bin", "/usr/bin"),
        ("DB_PASSWORD", "hunter2-and-more", snapshot.HIDDEN),
        ("MODEL_TOKEN", "x", snapshot.HIDDEN),
        ("AWS_SECRET_ACCESS_KEY", "", ""),
        ("INDEX", "https://me:hunter2xyz@index.example.com/simple", snapshot.HIDDEN),
        ("PYSPARK_PYTHON", "/databricks/python3/bin/python3", "/databricks/python3/bin/python3"),
    ],
)
def test_values_that_may_be_secret_are_hidden(name: str, value: str, shown: str) -> None:
    assert snapshot.shown(name, value) == shown


def test_a_snapshot_tells_each_fact_once_and_as_plain_data() -> None:
    image = Image("acme/ml:1", "sha256:1", ImageConfig(layers=("a", "b")), size=5)
    seen = Inventory(
        os=OsRelease("debian", "12"),
        java=Java("/usr/lib/jvm/x", 17, "17.0.15"),
        python=Python("/p", "3.11.2", "final", "/databricks/python3", {"numpy": "1.23.5"}),
        packages={"acl": "2"},
        machine="2 x Some CPU",
    )
    spark = Smoke(
        (Stage("sql", "passed", seconds=2.0), Stage("rdd", "failed", seconds=9.0)), "", {}
    )
    of_gpu = {
        "devices": [{"name": "A GPU"}],
        "driver": {"version": "535.1"},
        "framework": "torch 2.4.1",
        "measurements": {"matmul_tflop_s": 1.0},
    }
    gpu = Smoke((), "", of_gpu)
    snapshots = snapshot.Snapshots()
    assert snapshots.more("entry", image, {}, None) == {
        "environment": {},
        "layers": 2,
        "image_bytes": 5,
    }
    fixtures = {
        "dcs_inventory": seen,
        "dcs_layers": Layers((Layer("a", 3), Layer("b", 2))),
        "dcs_spark_smoke": spark,
        "dcs_gpu_smoke": gpu,
    }
    more = snapshots.more("entry", image, fixtures, None)
    assert more == {
        "machine": "2 x Some CPU",
        "os": "debian 12",
        "java": "17.0.15",
        "python": "3.11.2",
        "python_packages": {"numpy": "1.23.5"},
        "system_packages": {"acl": "2"},
        "largest_layer_bytes": 3,
        "spark_seconds": {"sql": 2.0},
        "gpus": ["A GPU"],
        "gpu_driver": "535.1",
        "gpu_framework": "torch 2.4.1",
        "measurements": {"matmul_tflop_s": 1.0},
    }
    assert json.loads(json.dumps(more)) == more
    assert snapshots.more("entry", image, fixtures, None) == {}
    assert snapshots.more("another", image, fixtures, None)


def test_a_snapshot_without_the_images_config_says_nothing_of_its_environment() -> None:
    seen = ImageConfig(environment={"OF_THE_JOB": "1"}, layers=("a",))
    image = Image("acme/ml:1", "", seen, size=5, config_known=False)
    assert snapshot.of_image(image) == {"image_bytes": 5}


def test_the_document_that_the_manual_shows_can_be_read() -> None:
    manual = Path(__file__).parents[2] / "docs" / "nightly.md"
    shown = manual.read_text().partition("```json\n")[2].partition("```")[0]
    assert document.problem_of(json.loads(shown)) == ""
