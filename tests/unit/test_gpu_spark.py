"""Spark's scheduling of GPUs: the list that a worker asks for, a task's own GPU, and the rule.

No GPU takes part, and no Spark: tests/integration/test_gpu_spark.py has the real one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs import gpu_spark
from pytest_dcs.gpu_request import GpuRequest
from pytest_dcs.launch_request import DEEP, GPU, GPU_SPARK, RUNNER, SPARK, LaunchRequest
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken, catalogue
from pytest_dcs.stages import Smoke
from tests.checking import outcome_of, smoke_with

from .gpu_stand_in import NAMES, build

if TYPE_CHECKING:
    from pytest_dcs.image import Image
    from pytest_dcs.runtimes import Runtime

PROBE = Path(gpu_spark.__file__).parent / "probes" / gpu_spark.TRIAL
STAGES = ("discovery", "tasks", "devices")
TIMEOUT = 60.0


def tool(folder: Path, script: str) -> Path:
    """Return a folder for PATH with an nvidia-smi that is a script."""
    folder.mkdir()
    folder.joinpath("nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    folder.joinpath("nvidia-smi").chmod(0o755)
    return folder


def trial(tmp_path: Path, script: str | None, devices: int) -> dict[str, Any]:
    """Return what the probe reports on a machine without any Spark."""
    path = tool(tmp_path / "bin", script) if script is not None else tmp_path
    environment = {
        "PATH": str(path),
        "SPARK_HOME": str(tmp_path / "no-spark"),
        "SPARK_LOCAL_DIRS": str(tmp_path),
        gpu_spark.OPTIONS: json.dumps({"devices": devices, "seconds": 20.0, "settings": {}}),
    }
    ended = subprocess.run(
        [sys.executable, PROBE], capture_output=True, check=False, env=environment, timeout=TIMEOUT
    )
    assert ended.returncode == 0, ended.stderr.decode()
    report: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert report["complete"]
    return report


def discovery(tmp_path: Path, script: str | None, devices: int = 2) -> dict[str, Any]:
    report = trial(tmp_path, script, devices)
    stage: dict[str, Any] = next(each for each in report["stages"] if each["name"] == "discovery")
    return {**report, **stage}


def test_the_script_lists_the_gpus_as_spark_reads_them(tmp_path: Path) -> None:
    question = '[ "$*" = "--query-gpu=index --format=csv,noheader" ] || exit 2'
    found = discovery(tmp_path, f"{question}\necho 0; echo 1")
    assert (found["outcome"], found["addresses"]) == ("passed", ["0", "1"])
    assert not list(tmp_path.glob("pytest-dcs-*"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "nvidia-smi: not found"),
        ("echo 'No devices were found'", '"addresses": ["No", "devices", "were", "found"]'),
        ("""echo 'what "else" it says'""", "nvidia-smi lists no GPUs, and of what it says"),
        ("exit 0", '"addresses": []'),
        ("echo 'Driver/library version mismatch'; exit 18", "Driver/library version mismatch"),
    ],
)
def test_a_worker_that_is_told_of_no_gpu_is_a_fault(
    tmp_path: Path, script: str | None, said: str
) -> None:
    found = discovery(tmp_path, script)
    assert found["outcome"] == "failed"
    assert said in found["detail"]
    assert found["stages"][-1]["detail"] == "it builds on the stage discovery"


def test_a_missing_tool_is_named_with_the_path_that_was_searched(tmp_path: Path) -> None:
    assert f"PATH is '{tmp_path}'" in discovery(tmp_path, None)["detail"]


def test_gpus_that_cuda_does_not_show_here_are_not_given_to_tasks(tmp_path: Path) -> None:
    found = discovery(tmp_path, "echo 0; echo 1", devices=1)
    assert (found["outcome"], found["left_out"]) == ("not-run", ["discovery"])
    assert found["detail"] == "nvidia-smi lists 2 GPUs, of which CUDA shows 1 here"


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    library = build(folder)
    for name in NAMES:
        folder.joinpath(name).symlink_to(library)
    return folder


@pytest.fixture
def task(libraries: Path, tmp_path: Path) -> Any:
    """Run the process of a task that has a GPU, on a stand-in with two, and return its words."""

    def run(address: str, visible: str, fault: str = "") -> str:
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": visible,
            "LD_LIBRARY_PATH": str(libraries),
            "GPU_STAND_IN_STATE": str(tmp_path),
            "GPU_STAND_IN_DEVICES": "2",
            "GPU_STAND_IN_FAULTS": fault,
        }
        ended = subprocess.run(
            [sys.executable, "-I", PROBE, "look", address],
            capture_output=True,
            check=False,
            env=environment,
            timeout=TIMEOUT,
        )
        assert (ended.returncode == 0) == (not ended.stderr)
        return ended.stderr.decode()

    return run


@pytest.mark.parametrize("address", ["0", "1"])
def test_a_task_finds_the_gpu_of_its_address(task: Any, address: str) -> None:
    assert task(address, visible=address) == ""


@pytest.mark.parametrize(
    ("visible", "fault", "said"),
    [
        ("0", "", "the task that has GPU 1 finds another one, CUDA_VISIBLE_DEVICES is '0'"),
        ("0,1", "", "CUDA sees 2 GPUs in the task that has GPU 1, CUDA_VISIBLE_DEVICES is '0,1'"),
        ("1", "no-device", "CUDA_ERROR_NO_DEVICE"),
        ("1", "wrong-copy", "gave back other bytes"),
    ],
)
def test_a_task_that_finds_another_gpu_or_cannot_use_its_own_fails(
    task: Any, visible: str, fault: str, said: str
) -> None:
    assert said in task("1", visible, fault)


def test_a_part_of_a_gpu_has_no_number_to_compare(task: Any) -> None:
    assert task("1", visible="0", fault="parts") == ""


@pytest.mark.parametrize("stage", STAGES)
def test_the_rule_is_broken_by_each_stage_that_failed(stage: str) -> None:
    smoke = smoke_with(STAGES, stage, "failed", "why")
    broken, said = outcome_of("GPU039", smoke)
    assert broken is RuleBroken
    assert said.startswith(f"stage {stage}: found why; needed")


def test_the_rule_passes_where_every_stage_has() -> None:
    assert outcome_of("GPU039", smoke_with(STAGES, "tasks", "passed")) == (None, "")


def test_the_rule_asks_nothing_where_the_gpus_are_not_this_runs_alone() -> None:
    smoke = smoke_with(STAGES, "discovery", "not-run", "why", left_out=["discovery"])
    assert outcome_of("GPU039", smoke) == (NotApplicable, "why")


def test_the_rule_is_blocked_where_the_probe_did_not_come_to_a_stage() -> None:
    smoke = smoke_with(STAGES, "devices", "not-run", "why")
    assert outcome_of("GPU039", smoke)[0] is Blocked


def test_a_probe_that_died_at_once_breaks_the_rule() -> None:
    smoke = smoke_with(["start"], "start", "failed", "why")
    assert outcome_of("GPU039", smoke)[0] is RuleBroken
    assert isinstance(smoke, Smoke)


def request_for(probes: set[str], gpus: GpuRequest | None, mode: Any = "local") -> LaunchRequest:
    return LaunchRequest(
        image=cast("Image", SimpleNamespace(reference="acme/ml:1.4")),
        runtime=cast("Runtime", SimpleNamespace(version="15.4")),
        features=frozenset({"python", "gpu"}),
        needs=frozenset(),
        run_id="run",
        timeout=1.0,
        cache_directory=Path(),
        probes=frozenset(probes),
        gpus=gpus,
        spark_mode=mode,
    )


@pytest.mark.parametrize(
    ("probes", "gpus", "needed"),
    [
        ({GPU, GPU_SPARK}, None, False),
        ({GPU, GPU_SPARK}, GpuRequest(), True),
        ({GPU}, GpuRequest(), False),
        ({SPARK}, None, True),
        ({DEEP}, None, True),
        ({RUNNER}, None, True),
    ],
)
def test_spark_is_brought_for_gpus_only_where_some_are_asked_for(
    probes: set[str], gpus: GpuRequest | None, needed: bool
) -> None:
    assert request_for(probes, gpus).with_spark is needed


def test_further_nodes_are_not_started_for_gpus_alone() -> None:
    assert not request_for({GPU_SPARK}, GpuRequest(), "cluster").with_cluster
    assert request_for({GPU_SPARK, SPARK}, GpuRequest(), "cluster").with_cluster


def test_the_rule_comes_after_the_gpus_and_the_jobs_of_python() -> None:
    assert {"GPU032", "SPK005"} <= set(catalogue()["GPU039"].requires)
