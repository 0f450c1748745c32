"""The deep Spark job passes on good images, alone and on a cluster; a JVM that is lost is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import node, spark
from pytest_dcs.launch_request import DEEP

from .launching import JAVA_OPTIONS, launched

if TYPE_CHECKING:
    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch
    from pytest_dcs.stages import Smoke, StagedProbe

pytestmark = pytest.mark.docker

PATIENCE = 300.0
STAGES = [
    "start",
    "joins",
    "window",
    "parquet-codecs",
    "orc-codecs",
    "streaming",
    "time-zones-sql",
    "string-hash",
    "text-files",
    "worker-imports",
    "apply-in-pandas",
    "map-in-arrow",
    "create-from-pandas",
    "arrow-equality",
    "time-zones-python",
    "decimals",
]
KILL_DRIVER_IN_A_STAGE = """
while ! [ -e /local_disk0/pytest-dcs-* ] ; do sleep 0.05; done
kill -KILL $(pgrep -x java)
"""
"""A directory of a stage's files tells that the job is in the middle of it."""


def failed(smoke: Smoke) -> dict[str, str]:
    return {stage.name: stage.detail for stage in smoke.stages if stage.outcome == "failed"}


def passed(smoke: Smoke) -> list[str]:
    return [stage.name for stage in smoke.stages if stage.outcome == "passed"]


@pytest.mark.parametrize("mode", ["local", "cluster"])
def test_every_stage_passes_on_a_good_image(
    engine: DockerEngine, python_image: str, mode: str
) -> None:
    with launched(engine, python_image, "python", DEEP, spark_mode=mode) as launch:
        smoke = launch.spark_deep_smoke()
    assert failed(smoke) == {}
    assert passed(smoke) == STAGES
    assert smoke.facts["added_packages"] == []


def test_clocks_set_to_a_zone_that_the_image_knows_are_right(
    engine: DockerEngine, python_image: str
) -> None:
    environment = {"TZ": "America/New_York"}
    with launched(engine, python_image, "python", DEEP, environment=environment) as launch:
        smoke = launch.spark_deep_smoke()
    assert failed(smoke) == {}


def test_a_jvm_that_is_killed_is_named_with_its_likely_cause(
    engine: DockerEngine, python_image: str
) -> None:
    with launched(engine, python_image, "python", DEEP) as launch:
        job = start_job(launch)
        launch.shell.run(f"timeout 120 sh -c '{KILL_DRIVER_IN_A_STAGE}'", timeout=130.0)
        smoke = job.result(PATIENCE)
    assert failed(smoke).keys() == {"parquet-codecs"}
    first_line = failed(smoke)["parquet-codecs"].splitlines()[0]
    assert first_line == (
        "the driver's JVM has ended by signal 9 (killed, most likely by the out-of-memory killer)"
    )
    assert smoke.stage("decimals").outcome == "not-run"


def start_job(launch: Launch) -> StagedProbe:
    return spark.start_deep(
        launch.container,
        python=node.DEFAULT_PYTHON,
        environment={},
        pins=(),
        java_options=JAVA_OPTIONS,
    )
