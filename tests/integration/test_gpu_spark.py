"""Spark gives tasks the GPUs that nvidia-smi lists: real Spark, and real scheduling of its own.

No GPU takes part. nvidia-smi is a script of these tests and CUDA a stand-in without any GPU, both
laid into the container; so what is shown is the way up to the device.
"""

from __future__ import annotations

import io
import logging
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from platformdirs import user_cache_path

from pytest_dcs import runtimes, spark
from pytest_dcs.gpu_request import GpuRequest
from pytest_dcs.launch_request import GPU_SPARK
from pytest_dcs.node import DEFAULT_PYTHON
from pytest_dcs.rules import RuleBroken
from tests.checking import outcome_of
from tests.unit.gpu_stand_in import build

from . import inside
from .launching import RUNTIME, launched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
TOOL = "/usr/bin/nvidia-smi"
CACHE = "/opt/cache"
STATE = "/opt/state"
TWO_GPUS = "#!/bin/sh\necho 0\necho 1\n"
ALWAYS_FIRST = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '0'\n"


RULES_OF_DEVICES = ("GPU030", "GPU031", "GPU032", "GPU033", "GPU035", "GPU036")
"""Those that a machine with two GPUs and an image without framework and NCCL can be asked."""


def put(launch: Launch, path: str, content: bytes) -> None:
    """Lay a file into the container as a layer of the image would."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    launch.container.put_archive("/", buffer.getvalue())


@pytest.fixture(scope="module")
def launch(
    engine: DockerEngine, python_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Launch an image whose libcuda and NVML are the stand-in, with two devices."""
    library = build(tmp_path_factory.mktemp("stand-in")).read_bytes()
    two = {"GPU_STAND_IN_DEVICES": "2", "GPU_STAND_IN_STATE": "/local_disk0/tmp"}
    asked = GpuRequest()
    with launched(
        engine, python_image, "python,gpu", GPU_SPARK, gpus=asked, environment=two
    ) as launch:
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            put(launch, f"{LIBRARIES}/{name}", library)
        yield launch


@pytest.fixture
def nvidia_smi(launch: Launch) -> Iterator[None]:
    put(launch, TOOL, TWO_GPUS.encode())
    yield
    launch.shell.run(f"rm -f {TOOL}")


@pytest.mark.usefixtures("nvidia_smi")
def test_two_tasks_get_the_two_gpus_that_nvidia_smi_lists(launch: Launch) -> None:
    smoke = launch.gpu_spark_smoke(2)
    assert {stage.name: stage.outcome for stage in smoke.stages} == {
        "discovery": "passed",
        "tasks": "passed",
        "devices": "passed",
    }, [stage.detail for stage in smoke.stages]
    assert smoke.facts["addresses"] == ["0", "1"]
    assert smoke.facts["given"] == [["0"], ["1"]]
    assert outcome_of("GPU039", smoke) == (None, "")


@pytest.mark.usefixtures("nvidia_smi")
def test_a_python_that_chooses_the_gpu_itself_is_found(launch: Launch) -> None:
    asked = launch.shell.run(f"{DEFAULT_PYTHON} -c 'import site; print(*site.getsitepackages())'")
    path = f"{asked.stdout.decode().split()[0]}/gpu.pth"
    put(launch, path, ALWAYS_FIRST.encode())
    try:
        smoke = launch.gpu_spark_smoke(2)
    finally:
        launch.shell.run(f"rm {path}")
    assert smoke.stage("tasks").outcome == "passed"
    broken, said = outcome_of("GPU039", smoke)
    assert broken is RuleBroken
    assert "the task that has GPU 1 finds another one, CUDA_VISIBLE_DEVICES is '0'" in said


def test_an_image_in_which_no_tool_lists_gpus_is_a_finding(launch: Launch) -> None:
    broken, said = outcome_of("GPU039", launch.gpu_spark_smoke(2))
    assert broken is RuleBroken
    assert "nvidia-smi: not found, PATH is " in said


@pytest.fixture(scope="module")
def gpu_machine(
    docker_command: DockerCommand, python_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Start the image as a job's container, with the plugin, its Spark, the stand-in, a device."""
    folder = tmp_path_factory.mktemp("machine")
    plugin = folder / "plugin"
    plugin.mkdir()
    inside.copy_plugin(plugin)
    library = build(folder)
    version = runtimes.load().find(RUNTIME).pyspark
    cache = user_cache_path("pytest-dcs")
    archive = spark.provision(version, cache, logging.getLogger(__name__).info)
    with inside.machine(docker_command, python_image, plugin) as machine:
        docker_command("exec", machine, "mkdir", "-p", CACHE, STATE)
        docker_command("exec", machine, "touch", "/dev/nvidia0")
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            docker_command("cp", str(library), f"{machine}:{LIBRARIES}/{name}")
        for path in cache.glob(f"{archive.name}*"):
            docker_command("cp", str(path), f"{machine}:{CACHE}/")
        yield machine


def outcomes_inside(
    docker_command: DockerCommand, machine: str, *options: str, faults: str = ""
) -> dict[str, Any]:
    variables = {
        "DCS_CACHE": CACHE,
        "GPU_STAND_IN_DEVICES": "2",
        "GPU_STAND_IN_STATE": STATE,
        "GPU_STAND_IN_FAULTS": faults,
    }
    asked = (f"--dcs-runtime={RUNTIME}", "--dcs-profile=python,gpu", "--dcs-gpus=all", *options)
    document = inside.judge_inside(docker_command, machine, *asked, environment=variables)
    return {each["rule"]: each for each in document["entries"][0]["findings"]}


def test_a_run_tries_spark_after_the_gpus_and_one_fault_is_one_finding(
    docker_command: DockerCommand, gpu_machine: str, tmp_path: Path
) -> None:
    found = outcomes_inside(docker_command, gpu_machine, "--dcs-select=GPU03")
    assert {each: found[each]["outcome"] for each in RULES_OF_DEVICES} == dict.fromkeys(
        RULES_OF_DEVICES, "pass"
    )
    assert found["GPU039"]["outcome"] == "fail"
    (item,) = found["GPU039"]["items"]
    assert item["subject"] == "stage discovery"
    assert "nvidia-smi: not found" in item["found"]

    tool = tmp_path / "nvidia-smi"
    tool.write_text(TWO_GPUS)
    tool.chmod(0o755)
    docker_command("cp", str(tool), f"{gpu_machine}:{TOOL}")
    found = outcomes_inside(docker_command, gpu_machine, "--dcs-select=GPU039")
    assert {rule: each["outcome"] for rule, each in found.items()} == {"GPU039": "pass"}


def test_gpus_that_the_job_may_not_use_are_not_given_to_tasks(
    docker_command: DockerCommand, gpu_machine: str, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(TWO_GPUS)
    tool.chmod(0o755)
    docker_command("cp", str(tool), f"{gpu_machine}:{TOOL}")
    options = ("--dcs-gpus=device=1", "--dcs-select=GPU039")
    found = outcomes_inside(docker_command, gpu_machine, *options)["GPU039"]
    assert found["outcome"] == "not-applicable"
    assert found["message"] == "nvidia-smi lists 2 GPUs, of which CUDA shows 1 here"


def test_without_a_gpu_that_cuda_shows_spark_is_not_started(
    docker_command: DockerCommand, gpu_machine: str
) -> None:
    options = ("--dcs-select=GPU030,GPU039",)
    found = outcomes_inside(docker_command, gpu_machine, *options, faults="no-device")
    assert found["GPU030"]["outcome"] == "fail"
    assert found["GPU039"]["outcome"] == "blocked"
    (alone,) = outcomes_inside(
        docker_command, gpu_machine, "--dcs-select=GPU039", faults="no-device"
    ).values()
    assert alone["outcome"] == "blocked"
    assert alone["message"] == "CUDA shows no GPU that Spark could give to a task"
