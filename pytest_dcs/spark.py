"""The jobs on the runtime's Spark: how each is started in a container."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dcs.probe import Probe
from pytest_dcs.spark_cache import provision, volume_name
from pytest_dcs.stages import StagedProbe

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_dcs.engines import Container

__all__ = [
    "job_environment",
    "on_cluster",
    "provision",
    "start_deep",
    "start_smoke",
    "volume_name",
    "with_settings",
]

PYTHON_JOB = "spark_smoke.py"
SQL_JOB = "spark_sql.sh"
DEEP_JOB = "spark_deep.py"

PINNED_PACKAGES = "PYTEST_DCS_PINNED_PACKAGES"
"""The variable with the names of the runtime's own packages, as a JSON list."""
HANDOVER = "PYTEST_DCS_GATEWAY_FILE"
"""The variable that names the file through which a notebook is let into the job's driver."""


def with_settings(settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variable by which a job gets further settings of Spark."""
    return {"PYTEST_DCS_SPARK_SETTINGS": json.dumps(settings)}


def on_cluster(master: str, settings: Mapping[str, str], shared: str) -> Mapping[str, str]:
    """Return the variables by which a job runs on a cluster; without them it runs in the driver.

    `shared` is a directory that all nodes see.
    """
    words = [f"--conf {key}={value}" for key, value in settings.items() if " " not in value]
    return {
        "PYTEST_DCS_SPARK_MASTER": master,
        **with_settings(settings),
        "PYTEST_DCS_SPARK_SUBMIT": " ".join(["--master", master, *words]),
        "PYTEST_DCS_SHARED_DIRECTORY": shared,
    }


def start_smoke(
    container: Container,
    *,
    python: str | None,
    environment: Mapping[str, str],
    java_options: str,
) -> StagedProbe:
    """Start the reference job in the background; without a Python SQL alone.

    `java_options` are for the driver's JVM and come after those that Spark itself needs. Raises
    `ProbeFailed` when nothing starts, `ContainerEnded` and `EngineLost`.
    """
    return _start(
        container,
        [python] if python else ["/bin/sh"],
        PYTHON_JOB if python else SQL_JOB,
        environment,
        java_options,
    )


def start_deep(
    container: Container,
    *,
    python: str,
    environment: Mapping[str, str],
    pins: Collection[str],
    java_options: str,
) -> StagedProbe:
    """Start the deep job in the background: what breaks in workers or in data only.

    `pins` are the packages of the runtime itself, by which it knows those that the image adds;
    none, where they are not known. Raises `ProbeFailed` when nothing starts, `ContainerEnded` and
    `EngineLost`.
    """
    known = {PINNED_PACKAGES: json.dumps(sorted(pins))} if pins else {}
    return _start(container, [python], DEEP_JOB, {**environment, **known}, java_options)


def _start(
    container: Container,
    argv: list[str],
    source: str,
    environment: Mapping[str, str],
    java_options: str,
) -> StagedProbe:
    variables = job_environment(environment, java_options)
    return StagedProbe(Probe.start(container, argv, environment=variables, source=source))


def job_environment(environment: Mapping[str, str], java_options: str) -> Mapping[str, str]:
    """Return the variables of a job whose driver's JVM gets these options besides Spark's own."""
    # Unlike spark.driver.extraJavaOptions this variable replaces nothing, in no version of Spark.
    # https://github.com/apache/spark/blob/v3.5.0/launcher/src/main/java/org/apache/spark/launcher/SparkSubmitCommandBuilder.java#L270
    options = f"{environment.get('SPARK_SUBMIT_OPTS', '')} {java_options}".strip()
    return {**environment, **({"SPARK_SUBMIT_OPTS": options} if options else {})}
