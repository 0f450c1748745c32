"""DAT: results of the runtime's Spark that are the same on every good image, to the last digit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.checks.spark_deep import ARROW_PAGE
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke


@rule(
    "DAT001",
    "arrow-equality",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK007", "SPK011"),
    sources=(ARROW_PAGE, "https://github.com/apache/spark/pull/28946"),
)
def test_arrow_equality(dcs_spark_deep_smoke: Smoke) -> None:
    """Where Arrow cannot take a table, Spark goes on without it and says so in a log only:
    "Attempting non-optimization". Both ways must give the same values, or they change with the
    types of a table.

    Fix: `RUN /databricks/python3/bin/pip install pandas==1.5.3 numpy==1.23.5 pyarrow==14.0.1` for
    15.4, for other runtimes the versions of their official image; and nothing that patches pandas
    when Python starts (`sitecustomize.py`, `*.pth`).
    """
    require_stage(dcs_spark_deep_smoke, "arrow-equality", "equal tables with Arrow and without")


@rule(
    "DAT002",
    "text-files",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK003", "SPK005", "JVM006", "PY011"),
    sources=(
        "https://github.com/databricks/containers/commit/dc9e266",
        "https://github.com/zendesk/maxwell/pull/338",
        "https://docs.python.org/3/library/functions.html#open",
    ),
)
def test_text_files(dcs_spark_deep_smoke: Smoke) -> None:
    """Spark writes and reads JSON and CSV as UTF-8. Python's `open` takes the encoding of the
    locale: in another one it reads "grün" as "grÃ¼n", without an error.

    Fix: `ENV LANG=C.UTF-8 LC_ALL=C.UTF-8`, in scripts that start Python too.
    """
    require_stage(dcs_spark_deep_smoke, "text-files", "the same text in Spark and in Python")


@rule(
    "DAT003",
    "time-zones-sql",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK002",),
    sources=(
        "https://spark.apache.org/docs/latest/sql-ref-datetime-pattern.html",
        "https://github.com/apache/spark/pull/18664",
    ),
)
def test_time_zones_sql(dcs_spark_deep_smoke: Smoke) -> None:
    """SQL turns clocks' times into moments by the JVM's own tables of time zones. Of two moments
    with one time it takes the earlier; with the parser of Spark 2 the later, an hour off.

    Fix: `ENV JAVA_TOOL_OPTIONS=` without spark.sql.legacy settings, and the newest patch of the
    JDK, `RUN apt-get update && apt-get install --yes openjdk-17-jdk-headless`.
    """
    require_stage(
        dcs_spark_deep_smoke, "time-zones-sql", "the moments that the time zones' rules give"
    )


@rule(
    "DAT004",
    "time-zones-python",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK006", "SPK007", "SPK008", "DAT003", "DAT007"),
    sources=(
        "https://github.com/exasol/script-languages-release/issues/1121",
        "https://github.com/apache/spark/pull/28946",
        "https://github.com/apache/spark/pull/53161",
    ),
)
def test_time_zones_python(dcs_spark_deep_smoke: Smoke) -> None:
    """Functions, `toPandas`, `collect` and Parquet must show the moments that SQL shows. Where TZ
    names a zone and the image has no tzdata, Python silently takes UTC, and the JVM, which has
    tables of its own, does not.

    Fix: `RUN apt-get update && apt-get install --yes tzdata`, or `ENV TZ=UTC`.
    """
    require_stage(
        dcs_spark_deep_smoke, "time-zones-python", "the same moments in SQL and in Python"
    )


@rule(
    "DAT005",
    "string-hash",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK005",),
    sources=(
        "https://github.com/apache/spark/pull/11211",
        "https://github.com/dask/dask/issues/1850",
    ),
)
def test_string_hash(dcs_spark_deep_smoke: Smoke) -> None:
    """`reduceByKey` and `groupByKey` bring equal strings together by their hash, which every Python
    process makes up anew unless it is told not to: "Randomness of hash of string should be disabled
    via PYTHONHASHSEED". Else each worker has its own, and one key becomes several.

    Fix: do not set PYTHONHASHSEED to `random` or clear it, also not in a script that starts Python:
    `ENV PYSPARK_PYTHON=/databricks/python3/bin/python3`.
    """
    require_stage(dcs_spark_deep_smoke, "string-hash", "one hash of a string in all processes")


@rule(
    "DAT006",
    "decimals",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK006", "SPK007", "SPK011"),
    sources=(
        "https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html",
        "https://docs.python.org/3/library/decimal.html",
    ),
)
def test_decimals(dcs_spark_deep_smoke: Smoke) -> None:
    """Amounts of money are decimals, of up to 38 digits in SQL and by Arrow. Python computes
    with 28 unless something sets another precision when it starts, and then rounds without a word.

    Fix: set `decimal.getcontext().prec` where it is needed, not for every process:
    `RUN rm /databricks/python3/lib/python3.11/site-packages/sitecustomize.py`.
    """
    require_stage(dcs_spark_deep_smoke, "decimals", "all digits of sums, quotients and copies")
