"""Rules about the deep Spark job, and how it tells what an image has more than its runtime."""

from __future__ import annotations

import importlib
import sys
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_dcs.rules import Blocked, NotApplicable, catalogue
from tests.checking import check_of, smoke_with

from .fake_host import finding_of

PROBES = Path(str(resources.files("pytest_dcs") / "probes"))
STAGES = {
    "SPK009": "apply-in-pandas",
    "SPK010": "map-in-arrow",
    "SPK011": "create-from-pandas",
    "SPK012": "parquet-codecs",
    "SPK013": "orc-codecs",
    "SPK014": "joins",
    "SPK015": "window",
    "SPK016": "streaming",
    "SPK017": "worker-imports",
    "DAT001": "arrow-equality",
    "DAT002": "text-files",
    "DAT003": "time-zones-sql",
    "DAT004": "time-zones-python",
    "DAT005": "string-hash",
    "DAT006": "decimals",
}
SECONDS = 20.0

each_stage = pytest.mark.parametrize(("rule_id", "stage"), STAGES.items(), ids=STAGES)


@each_stage
def test_a_stage_that_failed_is_found_by_its_own_rule(rule_id: str, stage: str) -> None:
    smoke = smoke_with(STAGES.values(), stage, "failed", "java.lang.NoSuchMethodError: WindowExec")
    for other in STAGES.keys() - {rule_id}:
        check_of(catalogue()[other])(smoke)
    found = finding_of(check_of(catalogue()[rule_id]), smoke)
    assert found.startswith(f"stage {stage}: found java.lang.NoSuchMethodError")


@each_stage
def test_a_stage_that_was_not_reached_is_blocked(rule_id: str, stage: str) -> None:
    smoke = smoke_with(STAGES.values(), stage, "not-run", "Spark was not running any more")
    with pytest.raises(Blocked, match="not running any more"):
        check_of(catalogue()[rule_id])(smoke)


@each_stage
def test_what_a_version_of_spark_lacks_is_not_asked_of_the_image(rule_id: str, stage: str) -> None:
    smoke = smoke_with(STAGES.values(), stage, "not-run", "this Spark is too old", left_out=[stage])
    with pytest.raises(NotApplicable, match="this Spark is too old"):
        check_of(catalogue()[rule_id])(smoke)


@each_stage
def test_a_rule_waits_for_the_deep_job(rule_id: str, stage: str) -> None:
    assert catalogue()[rule_id].probe == "dcs_spark_deep_smoke"


def test_there_is_a_rule_for_each_stage_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = dict(probe_module(monkeypatch, "spark_deep").STAGES)
    assert stages.keys() - {"start"} == set(STAGES.values())
    deep = {each.id for each in catalogue().values() if each.probe == "dcs_spark_deep_smoke"}
    assert deep == STAGES.keys()


@pytest.mark.parametrize(
    ("package", "files", "modules"),
    [
        ("tabulate", ["tabulate/__init__.py", "tabulate/version.py"], ["tabulate"]),
        ("pyyaml", ["yaml/__init__.py", "_yaml/__init__.py"], ["yaml"]),
        ("python-magic", ["magic/__init__.py", "magic/compat.py"], ["magic"]),
        ("black", ["black/__init__.py", "blackd/__init__.py", "blib2to3/__init__.py"], ["black"]),
        ("six", ["six.py", "six-1.16.0.dist-info/RECORD"], ["six"]),
        ("ujson", ["ujson.cpython-311-x86_64-linux-gnu.so"], ["ujson"]),
        (
            "google-cloud-storage",
            ["google/cloud/storage/__init__.py", "google/cloud/storage/blob/__init__.py"],
            ["google.cloud.storage"],
        ),
        ("two-at-once", ["one/__init__.py", "other/__init__.py"], ["one", "other"]),
        ("careless", ["careful/__init__.py", "tests/__init__.py", "setup.py"], ["careful"]),
        ("types-six", ["six-stubs/__init__.pyi"], []),
        ("script-only", ["../../bin/run.py"], []),
    ],
)
def test_the_modules_of_a_package_are_those_that_one_would_import(
    monkeypatch: pytest.MonkeyPatch, package: str, files: list[str], modules: list[str]
) -> None:
    dcs_imports = probe_module(monkeypatch, "dcs_imports")
    suffix = ".cpython-311-x86_64-linux-gnu.so"
    monkeypatch.setattr(dcs_imports, "EXTENSION_SUFFIXES", [suffix])
    assert dcs_imports.modules_of(package, list(map(PurePosixPath, files))) == modules


def test_each_import_stands_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sources = {
        "good_module": "import os\nos.write(1, b'a greeting')",
        "lacking": "raise ImportError('libgomp.so.1: cannot open shared object file\\nmore')",
        "crashing": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "a_script": "raise SystemExit(3)",
    }
    for name, source in sources.items():
        tmp_path.joinpath(f"{name}.py").write_text(source, encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    try_imports = probe_module(monkeypatch, "dcs_imports").importer(SECONDS, SECONDS)
    found = {name: error for _, name, error in try_imports([("a", name) for name in sources])}
    assert found == {
        "good_module": None,
        "lacking": "ImportError: libgomp.so.1: cannot open shared object file",
        "crashing": "it crashed, by signal 9",
        "a_script": None,
    }
    assert not sources.keys() & sys.modules.keys()
    assert capfd.readouterr().out == ""


def test_an_import_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tmp_path.joinpath("hanging.py").write_text("import time\ntime.sleep(600)", encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    try_imports = probe_module(monkeypatch, "dcs_imports").importer(0.2, SECONDS)
    assert list(try_imports([("a", "hanging"), ("b", "string")])) == [
        ("a", "hanging", "it did not end within 0 s"),
        ("b", "string", None),
    ]


def test_imports_for_which_no_time_is_left_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    try_imports = probe_module(monkeypatch, "dcs_imports").importer(SECONDS, 0.0)
    assert list(try_imports([("a", "json")])) == []


@pytest.mark.parametrize(
    ("errors", "faults"),
    [
        (
            {"magic": "ImportError: no libmagic"},
            {"magic": "import magic: ImportError: no libmagic"},
        ),
        ({"cupy": "ImportError: libcuda.so.1: cannot open shared object file"}, {}),
        ({"one": "ImportError: extra", "other": None}, {}),
        ({"one": None}, {}),
    ],
)
def test_a_package_fails_if_none_of_it_imports_on_a_machine_without_gpu(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, str | None], faults: dict[str, str]
) -> None:
    dcs_imports = probe_module(monkeypatch, "dcs_imports")
    package = next(iter(errors))
    monkeypatch.setattr(dcs_imports, "added_modules", lambda pinned: {package: [*errors]})
    tried = [(package, name, error) for name, error in errors.items()]
    assert dcs_imports.import_faults(FakeSpark(tried), set()) == ([package], faults)


class FakeSpark:
    """Answers what the workers would."""

    def __init__(self, tried: list[tuple[str, str, str | None]]) -> None:
        self.tried = tried
        self.sparkContext = self

    def parallelize(self, modules: list[tuple[str, str]], partitions: int) -> FakeSpark:
        return self

    def mapPartitions(self, function: object) -> FakeSpark:  # noqa: N802 - pyspark's own name
        return self

    def collect(self) -> list[tuple[str, str, str | None]]:
        return self.tried


def probe_module(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Import what lies among the probes, as those do."""
    monkeypatch.syspath_prepend(PROBES)
    return importlib.import_module(name)
