"""Each stage of the trial of GPUs turns red by what breaks it, on a stand-in for NVIDIA's code.

The stand-in is a C library of these tests' own, without any GPU. They show that the probe calls
what it should and finds what is wrong; that a GPU works only a GPU can show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs import gpu_device
from pytest_dcs.probe import Document, Probe
from pytest_dcs.stages import StagedProbe

from .gpu_stand_in import LIBRARY, NAMES, build

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke, Stage

PROBE = Path(gpu_device.__file__).parent / "probes" / gpu_device.TRIAL
TIMEOUT = 60.0

TORCH = '''
"""As much of PyTorch as the trial uses, on the processor."""
import os, struct, types

__version__ = "9.9+imitation"
float32, bfloat16 = "float32", "bfloat16"
cuda = types.SimpleNamespace(is_available=lambda: "no-cuda" not in os.environ["TORCH_FAULTS"])
matmul = types.SimpleNamespace(allow_tf32=False)
backends = types.SimpleNamespace(cuda=types.SimpleNamespace(matmul=matmul))


def cut(number, bits):
    value = struct.unpack("<I", struct.pack("<f", number))[0] >> bits << bits
    return struct.unpack("<f", struct.pack("<I", value))[0]


class Matrix:
    def __init__(self, rows):
        self.rows = rows

    def to(self, kind):
        return Matrix([[cut(each, 16) for each in row] for row in self.rows])

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        if matmul.allow_tf32 or "always-tf32" in os.environ["TORCH_FAULTS"]:
            columns = [[cut(each, 13) for each in column] for column in columns]
        rows = [[sum(a * b for a, b in zip(row, each)) for each in columns] for row in self.rows]
        if "wrong" in os.environ["TORCH_FAULTS"]:
            rows[-1][-1] = float("nan")
        return Matrix(rows)

    def repeat(self, *times):
        return Matrix([row[:2] for row in self.rows[:2]])

    def __getitem__(self, part):
        return self

    def float(self):
        return self

    def cpu(self):
        return self

    def tolist(self):
        return self.rows


def tensor(rows, dtype, device):
    if "crash" in os.environ["TORCH_FAULTS"]:
        os.abort()
    return Matrix(rows)
'''


@dataclass
class Machine:
    """A machine with a stand-in for NVIDIA's libraries."""

    libraries: Path
    state: Path
    python: Path = Path(sys.executable)
    devices: int = 1
    """What CUDA shows."""
    gpus: int = 1
    """What NVML knows."""
    variables: dict[str, str] = field(default_factory=dict)

    def trial(self, *faults: str, **asked: Any) -> Smoke:
        """Return what the probe finds with these faults; raises `NoGpu`."""
        options = {"count": 0, "listed": 0, "seconds": 20.0, "patience": 0.2, **asked}
        options.setdefault("device_files", [str(self.libraries)])
        environment = {
            **os.environ,
            gpu_device.OPTIONS: json.dumps(options),
            "LD_LIBRARY_PATH": str(self.libraries),
            "GPU_STAND_IN_STATE": str(self.state),
            "GPU_STAND_IN_FAULTS": ",".join(faults),
            "GPU_STAND_IN_DEVICES": str(self.devices),
            "GPU_STAND_IN_GPUS": str(max(self.gpus, self.devices)),
            **self.variables,
        }
        ended = subprocess.run(
            [self.python, "-I", PROBE],
            capture_output=True,
            check=False,
            env=environment,
            timeout=TIMEOUT,
        )
        log = ended.stderr.decode()
        assert ended.returncode == 0, log
        document = Document(json.loads(ended.stdout.splitlines()[-1]), log)
        assert document.data["complete"]
        return gpu_device.result(StagedProbe(cast("Probe", Finished(document))), TIMEOUT)


@dataclass
class Finished:
    """A probe that has ended."""

    document: Document

    def wait(self, *limits: object) -> Document:
        return self.document


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    library = build(folder)
    for name in NAMES:
        folder.joinpath(name).symlink_to(library)
    return folder


@pytest.fixture
def machine(libraries: Path, tmp_path: Path) -> Machine:
    return Machine(libraries, tmp_path)


@pytest.fixture(scope="session")
def python_with_torch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    packages.joinpath("torch.py").write_text(TORCH)
    return folder / "bin" / "python"


@pytest.fixture
def torch_machine(machine: Machine, python_with_torch: Path) -> Machine:
    machine.python = python_with_torch
    return machine


def failed(smoke: Smoke) -> Stage:
    """Return the one stage that has failed."""
    (stage,) = (each for each in smoke.stages if each.outcome == "failed")
    return stage


def without(machine: Machine, tmp_path: Path, *names: str) -> Machine:
    """Return the machine without some of the libraries."""
    folder = tmp_path / "some"
    folder.mkdir()
    for name in NAMES:
        if name not in names:
            folder.joinpath(name).symlink_to(machine.libraries / LIBRARY)
    machine.libraries = folder
    return machine


def test_a_machine_without_faults_passes_every_stage_that_it_has(torch_machine: Machine) -> None:
    torch_machine.devices = 2
    torch_machine.variables["TORCH_FAULTS"] = ""
    smoke = torch_machine.trial(count=2)
    assert {stage.name: stage.outcome for stage in smoke.stages} == {
        "driver": "passed",
        "devices": "passed",
        "mig": "not-run",
        "memory": "passed",
        "kernel": "passed",
        "framework": "passed",
        "release": "passed",
        "two-processes": "passed",
        "nccl": "passed",
    }
    assert smoke.facts["left_out"] == ["mig"]
    assert smoke.facts["driver"]["version"] == "550.54.14"
    assert Path(smoke.facts["driver"]["library"]).name == LIBRARY
    assert [each["compute_capability"] for each in smoke.facts["devices"]] == ["9.0", "9.0"]
    assert smoke.facts["kernel"] == "NVRTC 12.4, for sm_90"
    assert smoke.facts["framework"] == "torch 9.9+imitation"
    assert smoke.facts["nccl"] == "2.21.5"
    assert set(smoke.facts["measurements"]) == {
        "gpu_to_device_gb_s",
        "gpu_from_device_gb_s",
        "gpu_kernel_compile_s",
        "gpu_framework_start_s",
        "gpu_matmul_fp32_tflop_s",
        "gpu_matmul_tf32_tflop_s",
        "gpu_matmul_bf16_tflop_s",
    }


def test_what_one_gpu_and_an_image_without_framework_cannot_show_is_left_out(
    machine: Machine,
) -> None:
    smoke = machine.trial()
    assert smoke.passed
    assert smoke.facts["left_out"] == ["mig", "framework", "nccl"]
    assert smoke.stage("framework").detail.startswith("the image has none of torch, cupy")
    assert smoke.stage("nccl").detail == "there is one GPU, and NCCL connects several"


@pytest.mark.parametrize(
    ("fault", "stage", "said"),
    [
        ("no-device", "driver", "cuInit answered 100 (CUDA_ERROR_NO_DEVICE"),
        ("no-nvml", "driver", "nvmlInit_v2 answered 18 (Driver/library version mismatch)"),
        ("no-memory", "devices", "GPU 0 (Stand-in) has no memory"),
        ("other-name", "devices", "GPU 0 (Stand-in) is 'Another' to NVML"),
        ("whole", "mig", "is no part of one to NVML"),
        ("wrong-copy", "memory", "gave back other bytes than it was given"),
        ("wrong-result", "kernel", "computed 524289.0 and not 524287.0, at place 262143"),
        ("no-load", "kernel", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
        ("no-compile", "kernel", "the compiler's own words"),
        ("younger-compiler", "kernel", "NVRTC 12.4 compiles for no GPU as old as"),
        ("keeps-after-free", "release", "256 MiB of 256 MiB are not free again after this process"),
        ("keeps-after-kill", "release", "are not free again after a killed process"),
        ("one-process", "two-processes", "cuDevicePrimaryCtxRetain answered 46"),
        ("no-nccl", "nccl", "unhandled system error"),
        ("wrong-sum", "nccl", "GPU 1 (Stand-in) has the sum 4.0 and not 3.0"),
    ],
)
def test_a_fault_turns_its_stage_red_and_no_other(
    machine: Machine, fault: str, stage: str, said: str
) -> None:
    machine.devices = 2 if stage == "nccl" else 1
    found = failed(machine.trial(fault))
    assert found.name == stage
    assert said in found.detail


def test_what_builds_on_a_red_stage_is_not_run(machine: Machine) -> None:
    smoke = machine.trial("wrong-copy")
    assert [stage.name for stage in smoke.stages if stage.outcome == "passed"] == [
        "driver",
        "devices",
    ]
    assert smoke.stage("kernel").detail == "it builds on the stage memory"
    assert smoke.stage("nccl").detail == "it builds on the stage kernel"


@pytest.mark.parametrize("asked", [{"count": 2}, {"listed": 2}])
def test_fewer_devices_than_the_machine_has_name_the_variable(
    machine: Machine, asked: dict[str, int]
) -> None:
    machine.gpus = 2
    machine.variables["CUDA_VISIBLE_DEVICES"] = "0"
    found = failed(machine.trial(**asked))
    assert found.name == "devices"
    assert "CUDA sees 1 GPUs of 2, CUDA_VISIBLE_DEVICES is '0'" in found.detail


def test_more_gpus_than_the_machine_has_are_no_fault_of_the_image(machine: Machine) -> None:
    with pytest.raises(gpu_device.NoGpu, match="2 GPUs were asked for and the machine gives 1"):
        machine.trial(count=2)


def test_a_process_sees_one_part_of_a_divided_gpu(machine: Machine) -> None:
    smoke = machine.trial("parts", listed=2)
    assert smoke.passed
    assert smoke.stage("mig").outcome == "passed"


def test_a_gpu_for_one_process_at_a_time_is_not_asked_for_two(machine: Machine) -> None:
    smoke = machine.trial("exclusive")
    assert smoke.passed
    assert "two-processes" in smoke.facts["left_out"]


def test_a_second_process_that_hangs_is_killed(machine: Machine) -> None:
    smoke = machine.trial("hangs-beside", seconds=1.0)
    found = failed(smoke)
    assert found.name == "two-processes"
    assert "did not end within 1 s" in found.detail


def test_a_compiler_older_than_the_gpu_leaves_the_rest_to_the_driver(machine: Machine) -> None:
    smoke = machine.trial("older-compiler")
    assert smoke.passed
    assert smoke.facts["kernel"] == "NVRTC 12.4, for compute_80"


def test_without_nvrtc_the_driver_compiles(machine: Machine, tmp_path: Path) -> None:
    smoke = without(machine, tmp_path, "libnvrtc.so.12").trial()
    assert smoke.passed
    assert smoke.facts["kernel"] == "the driver, for any GPU, as the image has no NVRTC"


def test_an_nvrtc_that_cannot_be_opened_is_named(machine: Machine, tmp_path: Path) -> None:
    without(machine, tmp_path, "libnvrtc.so.12")
    machine.libraries.joinpath("libnvrtc.so.12").write_bytes(b"no library")
    found = failed(machine.trial())
    assert found.name == "kernel"
    assert "libnvrtc.so.12 cannot be opened" in found.detail


def test_a_missing_nvml_is_a_fault_of_the_driver(machine: Machine, tmp_path: Path) -> None:
    found = failed(without(machine, tmp_path, "libnvidia-ml.so.1").trial())
    assert found.name == "driver"
    assert "libnvidia-ml.so.1 cannot be opened" in found.detail


@pytest.mark.parametrize("names", [(), ("libcuda.so.1",)])
def test_without_a_device_there_is_no_gpu_to_try(
    machine: Machine, tmp_path: Path, names: tuple[str, ...]
) -> None:
    why = "no NVIDIA driver: libcuda.so.1 cannot be opened" if names else "no NVIDIA GPU: there is"
    with pytest.raises(gpu_device.NoGpu, match=f"GPU not tested: {why}"):
        without(machine, tmp_path, *names).trial(device_files=[str(tmp_path / "nvidia*")])


def test_a_device_without_a_driver_is_a_fault(machine: Machine, tmp_path: Path) -> None:
    found = failed(without(machine, tmp_path, "libcuda.so.1").trial())
    assert found.name == "driver"
    assert "libcuda.so.1 cannot be opened" in found.detail


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no-cuda", "torch 9.9+imitation sees no GPU"),
        ("wrong", "torch 9.9+imitation, fp32: row 95, column 95 is nan, not"),
        ("always-tf32", "torch 9.9+imitation, fp32: row 0, column"),
        ("crash", "was killed by signal 6: Aborted: File"),
    ],
)
def test_a_framework_that_computes_wrongly_or_not_at_all_is_named(
    torch_machine: Machine, fault: str, said: str
) -> None:
    torch_machine.variables["TORCH_FAULTS"] = fault
    found = failed(torch_machine.trial())
    assert found.name == "framework"
    assert said in found.detail
