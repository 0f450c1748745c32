"""Code of the user's runs in the container with the runtime's Spark, and says what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs.launch_request import RUNNER
from pytest_dcs.spark_runner import SparkCodeFailed

from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch
    from pytest_dcs.spark_runner import SparkRunner

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def launch(engine: DockerEngine, python_image: str) -> Iterator[Launch]:
    with launched(engine, python_image, "python", RUNNER) as launch:
        yield launch


@pytest.fixture(scope="module")
def runner(launch: Launch) -> Iterator[SparkRunner]:
    runner = launch.spark_runner()
    yield runner
    runner.close()


def failure_of(runner: SparkRunner, code: str) -> str:
    with pytest.raises(SparkCodeFailed) as caught:
        runner.run(code, name="etl.py")
    return str(caught.value)


def test_code_finds_the_session_and_its_output_comes_back(runner: SparkRunner) -> None:
    assert runner.run("print(spark.range(5).count(), 'größer')") == "5 größer\n"


def test_functions_of_the_code_run_in_the_workers(runner: SparkRunner) -> None:
    code = """
def double(n):
    return 2 * n

print(sc.parallelize([1, 2]).map(double).collect())
"""
    assert runner.run(code) == "[2, 4]\n"


def test_later_code_sees_earlier_names(runner: SparkRunner) -> None:
    runner.run("answer = 42")
    assert runner.run("print(answer)") == "42\n"


def test_rows_of_a_query_come_by_column(runner: SparkRunner) -> None:
    query = (
        "SELECT 1 AS one, 'ü' AS text, DATE'2026-01-02' AS day, NULL AS nothing, array(1, 2) AS n"
    )
    assert runner.sql(query) == [
        {"one": 1, "text": "ü", "day": "2026-01-02", "nothing": None, "n": [1, 2]}
    ]


def test_a_failure_names_the_line_and_what_was_printed(runner: SparkRunner) -> None:
    message = failure_of(runner, "print('reading')\n\nassert spark.range(3).count() == 4, 'rows'")
    assert message.splitlines() == [
        "AssertionError: rows",
        "  at etl.py:3: assert spark.range(3).count() == 4, 'rows'",
        "It printed last:",
        "reading",
    ]


def test_a_failure_in_a_worker_shows_its_cause(runner: SparkRunner) -> None:
    message = failure_of(runner, "sc.parallelize([0]).map(lambda n: 1 / n).collect()")
    assert message.startswith("ZeroDivisionError: division by zero")


def test_code_that_cannot_be_compiled_names_the_line(runner: SparkRunner) -> None:
    assert failure_of(runner, "spark =\n").startswith("etl.py:1: SyntaxError")


def test_an_exit_status_decides(runner: SparkRunner) -> None:
    runner.run("raise SystemExit(0)")
    assert failure_of(runner, "import sys; sys.exit('no rows')").startswith("SystemExit: no rows")


def test_a_session_that_code_has_stopped_is_opened_again(runner: SparkRunner) -> None:
    runner.run("spark.stop()")
    assert runner.sql("SELECT 1 AS one") == [{"one": 1}]


def test_code_that_ends_the_driver_is_named_and_the_next_runs(runner: SparkRunner) -> None:
    assert "the driver died with status 3" in failure_of(runner, "import os; os._exit(3)")
    assert runner.run("print(1)") == "1\n"


def test_code_that_hangs_is_killed_with_its_jvm(launch: Launch) -> None:
    runner = launch.spark_runner()
    runner.run("print(1)")
    runner._timeout = 1.0
    assert runner._execution is not None
    driver = runner._execution.pid
    assert launch.shell.run(f"pgrep -P {driver} java").returncode == 0
    assert "did not end within 1 s" in failure_of(runner, "import time; time.sleep(3600)")
    assert launch.shell.run(f"kill -0 {driver} || pgrep -P {driver}").returncode != 0


def test_a_file_is_run_by_its_name(runner: SparkRunner, tmp_path: Path) -> None:
    path = tmp_path / "job.py"
    path.write_text(
        "from pyspark.sql import SparkSession\n"
        "if __name__ == '__main__':\n"
        "    print(SparkSession.builder.getOrCreate() is spark, __file__)\n"
    )
    assert runner.run_file(path) == "True job.py\n"
