"""The GPUs of a container: what CUDA, a framework and NCCL did on them, or why none was tried."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dcs.node import DEFAULT_PYTHON, time_factor
from pytest_dcs.probe import Probe
from pytest_dcs.rules import GPU_UNTESTED
from pytest_dcs.stages import StagedProbe

if TYPE_CHECKING:
    from pytest_dcs.engines import Container
    from pytest_dcs.gpu_request import GpuRequest
    from pytest_dcs.stages import Smoke

TRIAL = "gpu_device.py"
OPTIONS = "PYTEST_DCS_GPU"
ARGV = [DEFAULT_PYTHON, "-I"]
"""The runtime's Python, kept apart from what the image's variables do to it."""
SECONDS = 120.0
"""Seconds that each process may take which the probe starts: a framework's first start is slow."""
PATIENCE = 10.0
"""Seconds until the driver has taken back what a killed process had."""
TIMEOUT = 300.0
"""Seconds until the probe must have ended."""

DEVICE_FILES = ("/dev/nvidia[0-9]*", "/dev/dxg")
"""What a container has that was given GPUs: NVIDIA's own, or that of Windows' subsystem for Linux.

https://docs.nvidia.com/cuda/wsl-user-guide/
"""

NO_GPU = "no_gpu"
"""What the probe calls the reason in its report why the machine has no GPU to try."""

NOT_ASKED = "see --dcs-gpus"
NO_PYTHON = "the profile does not declare python, with which the GPUs are tried"


class NoGpu(Exception):
    """There is no GPU to try; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{GPU_UNTESTED}{reason}")


def reason_not_to_try(
    gpus: GpuRequest | None, container: Container, features: frozenset[str]
) -> str:
    """Return why no probe is started; an empty text where one is."""
    if gpus is None:
        return NOT_ASKED
    if "python" not in features:
        return NO_PYTHON
    return container.gpu_refusal


def start(container: Container, gpus: GpuRequest) -> StagedProbe:
    """Start the trial of the GPUs in the background, by the image's interpreter.

    Raises `ProbeFailed`, `ContainerEnded` and `EngineLost`.
    """
    options = {
        "device_files": DEVICE_FILES,
        "count": gpus.count or 0,
        "listed": len(gpus.devices),
        "seconds": SECONDS * time_factor(container),
        "patience": PATIENCE,
    }
    environment = {OPTIONS: json.dumps(options)}
    return StagedProbe(Probe.start(container, ARGV, environment=environment, source=TRIAL))


def result(probe: StagedProbe, timeout: float) -> Smoke:
    """Return what the trial found, at its end; raises `NoGpu` and `EngineLost`.

    `timeout` counts in seconds from the start.
    """
    smoke = probe.result(timeout)
    if NO_GPU in smoke.facts:
        raise NoGpu(smoke.facts[NO_GPU])
    return smoke
