"""SPK: the user's own jobs, which are judged like the built-in ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, NotApplicable, RuleBroken, rule
from pytest_dcs.spark_runner import SparkCodeFailed

if TYPE_CHECKING:
    from pytest_dcs.spark_runner import SparkRunner


@rule(
    "SPK019",
    "own-smoke-job",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK002", "SPK004"),
    sources=("https://spark.apache.org/docs/latest/api/python/",),
)
def test_own_smoke_job(dcs_smoke_file: str | None, dcs_spark: SparkRunner) -> None:
    """A job of yours runs on the runtime's Spark with the image's own JDK, Python and packages:
    what no general check can know of, such as your own jars and models.

    Fix: the message names the line of your file. `raise SystemExit(…)` and a failing `assert` fail
    the job, its end passes it; `spark` is there, and `SparkSession.builder.getOrCreate()` returns
    it too.
    """
    if dcs_smoke_file is None:
        raise NotApplicable("no file is given by --dcs-smoke")
    try:
        dcs_spark.run_file(Path(dcs_smoke_file))
    except SparkCodeFailed as failure:
        needed = "it runs to its end"
        raise RuleBroken([Item(dcs_smoke_file, str(failure), needed)]) from failure
