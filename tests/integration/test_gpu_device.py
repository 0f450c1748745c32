"""GPUs are asked for as Docker does, and an image on a machine without any is judged all the same.

Nothing here needs a GPU. What one does is tried where there is one: docs/gpu.md.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import gpu_device
from pytest_dcs.gpu_request import GpuRequest
from pytest_dcs.launch_request import GPU
from pytest_dcs.probe import put_probe

from .conftest import sample
from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

COMPILE = """
import json, sys
sys.path.insert(0, {folder!r})
from dcs_gpu_kernel import find_nvrtc
nvrtc = find_nvrtc()
print(json.dumps([nvrtc.version()] + [nvrtc.compile(each)[1] for each in (75, 90, 999)]))
"""


@pytest.fixture(scope="module")
def without_toolkit(docker_command: DockerCommand) -> None:
    """Skip where the engine could give GPUs."""
    if "nvidia" in docker_command("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("this engine has NVIDIA's runtime")


def gpu_launch(engine: DockerEngine, image: str, asked: GpuRequest | None, **more: Any) -> Any:
    return launched(engine, image, "python,gpu", GPU, gpus=asked, **more)


@pytest.fixture
def launch(engine: DockerEngine, python_image: str) -> Iterator[Launch]:
    with gpu_launch(engine, python_image, None) as launch:
        yield launch


@pytest.mark.usefixtures("without_toolkit")
@pytest.mark.parametrize(
    "asked", [GpuRequest(), GpuRequest(count=2), GpuRequest(devices=("0", "1"))]
)
def test_an_engine_without_the_toolkit_starts_the_image_without_gpus(
    engine: DockerEngine, python_image: str, asked: GpuRequest
) -> None:
    with gpu_launch(engine, python_image, asked) as launch:
        assert "could not select device driver" in launch.container.gpu_refusal
        with pytest.raises(gpu_device.NoGpu, match=r"^GPU not tested: the engine has no NVIDIA"):
            launch.gpu_smoke()
        assert launch.shell.run("echo answers").stdout == b"answers\n"


@pytest.mark.usefixtures("without_toolkit")
def test_fuse_is_granted_although_gpus_are_not(engine: DockerEngine, standard_image: str) -> None:
    with launched(engine, standard_image, "standard") as usual:
        granted = usual.container.fuse
    with launched(engine, standard_image, "standard", gpus=GpuRequest()) as launch:
        assert launch.container.gpu_refusal
        assert launch.container.fuse == granted


def test_nothing_is_refused_that_was_not_asked_for(launch: Launch) -> None:
    assert launch.container.gpu_refusal == ""
    with pytest.raises(gpu_device.NoGpu, match=r"^GPU not tested: see --dcs-gpus$"):
        launch.gpu_smoke()


def test_a_container_without_a_device_has_no_gpu_to_try(launch: Launch) -> None:
    probe = gpu_device.start(launch.container, GpuRequest())
    with pytest.raises(gpu_device.NoGpu, match=r"no NVIDIA driver: libcuda\.so\.1 cannot be open"):
        gpu_device.result(probe, 30.0)


def test_a_device_whose_driver_the_loader_does_not_find_is_a_fault(launch: Launch) -> None:
    assert launch.shell.run("touch /dev/nvidia0").returncode == 0
    smoke = gpu_device.result(gpu_device.start(launch.container, GpuRequest()), 30.0)
    assert smoke.stage("driver").outcome == "failed"
    assert "libcuda.so.1 cannot be opened" in smoke.stage("driver").detail
    assert {stage.outcome for stage in smoke.stages if stage.name != "driver"} == {"not-run"}


def test_the_images_compiler_makes_code_for_old_and_new_gpus(engine: DockerEngine) -> None:
    with gpu_launch(engine, sample("gpu"), None) as launch:
        path = put_probe(launch.container, gpu_device.TRIAL)
        script = COMPILE.format(folder=path.rpartition("/")[0])
        ran = launch.shell.run(shlex.join([*gpu_device.ARGV, "-c", script]))
        assert ran.returncode == 0, ran.stderr
        version, *targets = json.loads(ran.stdout)
    assert version.startswith("12.")
    assert targets[:2] == ["sm_75", "sm_90"]
    assert targets[2].startswith("compute_")
