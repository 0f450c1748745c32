"""The Spark job passes on good images, and on bad ones the right stage fails for its cause."""

from __future__ import annotations

import io
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import spark
from pytest_dcs.launch_request import SPARK
from pytest_dcs.node import DEFAULT_PYTHON

from .launching import JAVA_OPTIONS, launched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch
    from pytest_dcs.stages import Smoke

pytestmark = pytest.mark.docker

PATIENCE = 300.0
STAGES = [
    "start",
    "sql",
    "shuffle",
    "python-udf",
    "rdd",
    "parquet",
    "pandas-udf",
    "to-pandas",
]
WITHOUT_PANDAS = STAGES[:6]
JAVA_MISSING = {"JAVA_HOME": "/nowhere"}


@pytest.fixture(scope="module")
def python_launch(engine: DockerEngine, python_image: str) -> Iterator[Launch]:
    with launched(engine, python_image, "python", SPARK) as launch:
        launch.spark_smoke()
        yield launch


@pytest.fixture(scope="module")
def minimal_launch(engine: DockerEngine, minimal_image: str) -> Iterator[Launch]:
    with launched(engine, minimal_image, "minimal", SPARK) as launch:
        launch.spark_smoke()
        yield launch


def smoke(launch: Launch, environment: Mapping[str, str], python: str | None) -> Smoke:
    job = spark.start_smoke(
        launch.container, python=python, environment=environment, java_options=JAVA_OPTIONS
    )
    return job.result(PATIENCE)


def smoke_with_module(launch: Launch, name: str, source: str) -> Smoke:
    """Run the job with a module of ours in front of the image's of the same name."""
    directory = f"/opt/{name}-of-the-test"
    content = source.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(f"{directory[1:]}/{name}.py")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    launch.container.put_archive("/", buffer.getvalue())
    return smoke(launch, {"PYTHONPATH": directory}, DEFAULT_PYTHON)


def names(smoke: Smoke, outcome: str) -> list[str]:
    return [stage.name for stage in smoke.stages if stage.outcome == outcome]


def test_every_stage_passes_on_the_python_image(python_launch: Launch) -> None:
    found = python_launch.spark_smoke()
    assert names(found, "passed") == STAGES
    assert all(stage.seconds > 0 for stage in found.stages)
    assert found.facts["spark"] == python_launch.request.runtime.pyspark
    assert found.facts["java"].startswith("17.")


def test_sql_passes_on_the_image_without_python(minimal_launch: Launch) -> None:
    found = minimal_launch.spark_smoke()
    assert names(found, "passed") == ["start", "sql"]
    assert found.facts == {"spark": minimal_launch.request.runtime.pyspark}
    assert found.stage("python-udf").outcome == "not-run"


def test_without_arrow_only_the_stages_of_pandas_fail(python_launch: Launch) -> None:
    found = smoke_with_module(python_launch, "pyarrow", "raise ImportError('no pyarrow here')\n")
    assert names(found, "passed") == WITHOUT_PANDAS
    assert names(found, "failed") == ["pandas-udf", "to-pandas"]
    assert "PyArrow >= " in found.stage("pandas-udf").detail


def test_a_library_that_crashes_is_named(python_launch: Launch) -> None:
    found = smoke_with_module(python_launch, "pandas", "import os\nos.abort()\n")
    assert names(found, "passed") == WITHOUT_PANDAS
    crashed = found.stage("pandas-udf")
    assert crashed.outcome == "failed"
    assert "died by signal 6" in crashed.detail
    assert "/pandas.py" in crashed.detail
    assert found.stage("to-pandas").outcome == "not-run"
    assert "died by signal 6" in found.stage("to-pandas").detail


def test_a_missing_jdk_is_named_with_python(python_launch: Launch) -> None:
    found = smoke(python_launch, JAVA_MISSING, DEFAULT_PYTHON)
    assert names(found, "failed") == ["start"]
    assert names(found, "not-run") == STAGES[1:]
    assert "/nowhere/bin/java" in found.stage("start").detail
    assert "/nowhere/bin/java: No such file or directory" in found.log


def test_a_missing_jdk_is_named_without_python(minimal_launch: Launch) -> None:
    found = smoke(minimal_launch, JAVA_MISSING, None)
    assert names(found, "failed") == ["start"]
    assert "/nowhere/bin/java" in found.stage("start").detail
    assert "/nowhere/bin/java: No such file or directory" in found.log


def test_a_missing_interpreter_is_named(python_launch: Launch) -> None:
    found = smoke(python_launch, {}, "/nowhere/python3")
    assert found.stage("start").outcome == "failed"
    assert "/nowhere/python3: not found" in found.stage("start").detail


def test_a_job_that_hangs_is_killed_with_its_jvm(minimal_launch: Launch) -> None:
    job = spark.start_smoke(
        minimal_launch.container, python=None, environment={}, java_options=JAVA_OPTIONS
    )
    deadline = time.monotonic() + PATIENCE
    while not java_processes(minimal_launch) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = job.result(0.1)
    assert found.stage("start").outcome == "failed"
    assert "did not end within" in found.stage("start").detail
    assert not java_processes(minimal_launch)


def java_processes(launch: Launch) -> list[str]:
    return launch.shell.run("pgrep -x java").stdout.decode().split()
