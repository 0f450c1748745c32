"""Spark's own scheduling of GPUs: what tasks found that were given one each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dcs.node import time_factor
from pytest_dcs.probe import Probe
from pytest_dcs.spark import job_environment
from pytest_dcs.stages import StagedProbe

if TYPE_CHECKING:
    from pytest_dcs.engines import Container

TRIAL = "gpu_spark.py"
OPTIONS = "PYTEST_DCS_GPU_SPARK"
SECONDS = 60.0
"""Seconds that the list of GPUs, the executor's start and each task's process may take."""
TIMEOUT = 300.0
"""Seconds until the probe must have ended."""


def start(
    container: Container, *, python: str, devices: int, driver_options: str, java_options: str
) -> StagedProbe:
    """Start a small job whose tasks want one GPU each, in the background.

    `devices` is how many GPUs CUDA shows in the container; `java_options` are for every JVM, and
    `driver_options` those of the driver's. Raises `ProbeFailed`, `ContainerEnded` and `EngineLost`.
    """
    options = {
        "devices": devices,
        "seconds": SECONDS * time_factor(container),
        "settings": {"spark.executor.extraJavaOptions": java_options} if java_options else {},
    }
    variables = job_environment({OPTIONS: json.dumps(options)}, driver_options)
    return StagedProbe(Probe.start(container, [python], environment=variables, source=TRIAL))
