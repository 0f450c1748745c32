"""SPK: the stages of one small job on the runtime's Spark, with the image's own JDK and Python.

A stage blocks those that would fail for its reason, so that one fault is one finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke

TUNING_PAGE = "https://spark.apache.org/docs/latest/tuning.html"
ARROW_PAGE = "https://spark.apache.org/docs/latest/api/python/tutorial/sql/arrow_pandas.html"
NEEDS_OF_SPARK = (
    "SYS002",
    "SYS004",
    "SYS009",
    "SYS010",
    "SYS011",
    "JVM001",
    "JVM002",
    "JVM003",
    "JVM004",
    "JVM007",
)
"""What any of Spark's JVMs starts with: its scripts, root's name, places to write, the JDK."""
PYTHON_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/python/Dockerfile"


@rule(
    "SPK001",
    "spark-starts",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    requires=(*NEEDS_OF_SPARK, "PY001", "PY005", "PY009", "SPK018"),
    step="driver",
    sources=(
        "https://docs.databricks.com/aws/en/compute/custom-containers",
        "https://spark.apache.org/docs/latest/submitting-applications.html",
    ),
)
def test_spark_starts(dcs_spark_smoke: Smoke) -> None:
    """The runtime's Spark is copied into the container and started with the image's JDK, and with
    its Python where it has one. What stops it there stops the cluster: "The Spark driver failed to
    start. Possible reasons may include incompatible libraries and initialization scripts that
    corrupted the Spark container."

    Fix: what was found names the cause; most often another JDK than the runtime's. On 15.4:
    `RUN apt-get install -y openjdk-8-jdk-headless`.
    """
    require_stage(dcs_spark_smoke, "start", "a Spark session")


@rule(
    "SPK002",
    "spark-sql",
    level="fail",
    effect="disables-feature",
    feature="jvm",
    where="cluster",
    requires=("SPK001",),
    sources=("https://spark.apache.org/docs/latest/sql-programming-guide.html",),
)
def test_spark_sql(dcs_spark_smoke: Smoke) -> None:
    """A query is planned, compiled to bytecode and run. It fails where jars of the image take the
    place of the runtime's: "java.lang.NoSuchMethodError".

    Fix: remove jars of Spark, Scala, Jackson and log4j from /databricks/jars in the image:
    `RUN rm /databricks/jars/spark-*.jar`.
    """
    require_stage(dcs_spark_smoke, "sql", "the rows of a query")


@rule(
    "SPK003",
    "spark-shuffle",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK002",),
    sources=(TUNING_PAGE, "https://github.com/apache/spark/pull/25112"),
)
def test_spark_shuffle(dcs_spark_smoke: Smoke) -> None:
    """A shuffle compresses rows with native libraries, which are unpacked to a temporary directory
    and need glibc, and writes them to the local disk: "java.lang.UnsatisfiedLinkError".

    Fix: build on a glibc distribution, `FROM ubuntu:22.04`, or on Alpine `RUN apk add gcompat`.
    """
    require_stage(dcs_spark_smoke, "shuffle", "the sums of groups across partitions")


@rule(
    "SPK004",
    "python-udf",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK002",),
    sources=(PYTHON_DOCKERFILE, "https://github.com/databricks/containers/issues/62"),
)
def test_python_udf(dcs_spark_smoke: Smoke) -> None:
    """A Python function runs in workers that the JVM starts with PYSPARK_PYTHON: "Python in worker
    has different version 3.8 than that in driver 3.6, PySpark cannot run with different minor
    versions".

    Fix: `ENV PYSPARK_PYTHON=/databricks/python3/bin/python3`, a Python that the runtime's Spark
    supports.
    """
    require_stage(dcs_spark_smoke, "python-udf", "the results of a Python function")


@rule(
    "SPK005",
    "python-rdd",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003", "SPK004"),
    sources=("https://spark.apache.org/docs/latest/rdd-programming-guide.html",),
)
def test_python_rdd(dcs_spark_smoke: Smoke) -> None:
    """Functions and data travel to the workers pickled, with modules of the image on both sides:
    "_pickle.PicklingError", "Python worker exited unexpectedly (crashed)".

    Fix: `RUN /databricks/python3/bin/pip uninstall -y pyspark cloudpickle` where the image brings
    its own; the runtime has both.
    """
    require_stage(dcs_spark_smoke, "rdd", "the results of functions on an RDD")


@rule(
    "SPK006",
    "pandas-udf",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK004", "PY007"),
    sources=(ARROW_PAGE, "https://github.com/opentargets/gentropy/pull/1071"),
)
def test_pandas_udf(dcs_spark_smoke: Smoke) -> None:
    """Spark hands columns to pandas by Arrow and asks for least versions of both only when the
    first such function runs: "ImportError: PyArrow >= 4.0.0 must be installed; however, it was not
    found."

    Fix: `RUN /databricks/python3/bin/pip install pandas==1.5.3 pyarrow==14.0.1` for 15.4; for other
    runtimes the versions of their official image. Leave out an `ENV PYSPARK_PYTHON` that names
    another Python: workers use that one.
    """
    require_stage(dcs_spark_smoke, "pandas-udf", "the results of a function on pandas columns")


@rule(
    "SPK007",
    "to-pandas",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK002", "SPK006", "PY007"),
    sources=(ARROW_PAGE, "https://github.com/apache/spark/pull/37947"),
)
def test_to_pandas(dcs_spark_smoke: Smoke) -> None:
    """`toPandas` and `createDataFrame` of a pandas table use what pandas had when the runtime's
    Spark was released: "AttributeError: 'DataFrame' object has no attribute 'iteritems'" with
    pandas 2 before Spark 3.4.

    Fix: `RUN /databricks/python3/bin/pip install pandas==1.5.3 numpy==1.23.5` for 15.4; for other
    runtimes the versions of their official image.
    """
    require_stage(dcs_spark_smoke, "to-pandas", "the same table from pandas and back")


@rule(
    "SPK008",
    "parquet",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK002",),
    sources=(
        "https://spark.apache.org/docs/latest/sql-data-sources-parquet.html",
        "https://github.com/xerial/snappy-java/issues/240",
    ),
)
def test_parquet(dcs_spark_smoke: Smoke) -> None:
    """Parquet files, and with them Delta tables, are compressed by native libraries that need
    glibc and a temporary directory to run from: "UnsatisfiedLinkError: …libsnappyjava.so: Error
    loading shared library ld-linux-x86-64.so.2".

    Fix: build on a glibc distribution, `FROM ubuntu:22.04`, or on Alpine `RUN apk add gcompat`.
    """
    require_stage(dcs_spark_smoke, "parquet", "the rows that were written")
