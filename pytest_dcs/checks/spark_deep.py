"""SPK: the stages of a longer job on the runtime's Spark, for what only some tables and jobs use.

A stage blocks those that would fail for its reason, so that one fault is one finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke

ARROW_PAGE = "https://spark.apache.org/docs/latest/api/python/tutorial/sql/arrow_pandas.html"
FAT_JAR = "https://github.com/feathr-ai/feathr/issues/1030"


@rule(
    "SPK009",
    "apply-in-pandas",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003", "SPK006", "SPK007"),
    sources=(
        ARROW_PAGE,
        "https://spark.apache.org/docs/latest/api/python/migration_guide/pyspark_upgrade.html",
    ),
)
def test_apply_in_pandas(dcs_spark_deep_smoke: Smoke) -> None:
    """`applyInPandas` hands each group to a function as a pandas table, and takes columns back by
    their names. Training one model for each group is written like that: "RuntimeError: Column names
    of the returned pandas.DataFrame do not match specified schema".

    Fix: `RUN /databricks/python3/bin/pip install pandas==1.5.3 pyarrow==14.0.1` for 15.4, for other
    runtimes the versions of their official image; and no
    `-Dspark.sql.legacy.execution.pandas.groupedMap.assignColumnsByName=false` in JAVA_TOOL_OPTIONS.
    """
    require_stage(dcs_spark_deep_smoke, "apply-in-pandas", "the groups as pandas gives them")


@rule(
    "SPK010",
    "map-in-arrow",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK006",),
    sources=(ARROW_PAGE, FAT_JAR, "https://github.com/databricks/containers/issues/22"),
)
def test_map_in_arrow(dcs_spark_deep_smoke: Smoke) -> None:
    """`mapInArrow` hands batches to a function as pyarrow has them, without pandas. It needs the
    JVM's side of the very Spark that the worker has: "java.lang.NoSuchMethodError".

    Fix: remove jars with Spark's own classes, `RUN rm /databricks/jars/*-with-dependencies.jar`,
    and `RUN /databricks/python3/bin/pip install pyarrow==14.0.1` for 15.4, for other runtimes the
    version of their official image.
    """
    require_stage(dcs_spark_deep_smoke, "map-in-arrow", "the batches with one column doubled")


@rule(
    "SPK011",
    "create-from-pandas",
    level="fail",
    effect="wrong-result",
    feature="python",
    where="cluster",
    requires=("SPK007",),
    sources=(
        ARROW_PAGE,
        "https://github.com/apache/spark/pull/37947",
        "https://github.com/microsoft/hummingbird/issues/694",
    ),
)
def test_create_from_pandas(dcs_spark_deep_smoke: Smoke) -> None:
    """`createDataFrame` of a pandas table hands its memory to the JVM. A pandas that is newer than
    the runtime's Spark may lay text out in another way: rows get each other's text, or
    "java.lang.NegativeArraySizeException"; with pandas 2 before Spark 3.4, "AttributeError:
    'DataFrame' object has no attribute 'iteritems'".

    Fix: `RUN /databricks/python3/bin/pip install pandas==1.5.3 numpy==1.23.5` for 15.4; for other
    runtimes the versions of their official image.
    """
    require_stage(dcs_spark_deep_smoke, "create-from-pandas", "the rows of the pandas table")


@rule(
    "SPK012",
    "parquet-codecs",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003", "SPK008"),
    sources=(
        "https://spark.apache.org/docs/latest/sql-data-sources-parquet.html",
        "https://github.com/luben/zstd-jni/issues/113",
        "https://github.com/apache/spark/pull/23898",
    ),
)
def test_parquet_codecs(dcs_spark_deep_smoke: Smoke) -> None:
    """Tables of others may be compressed by zstd, lz4 or gzip, each with a library of its own,
    which the JVM unpacks and loads: "UnsatisfiedLinkError: no zstd-jni in java.library.path".

    Fix: build on a glibc distribution, `FROM ubuntu:22.04`, and leave the place of native libraries
    to Spark: `ENV JAVA_TOOL_OPTIONS=` without ZstdNativePath and the like.
    """
    require_stage(dcs_spark_deep_smoke, "parquet-codecs", "each codec's rows read back")


@rule(
    "SPK013",
    "orc-codecs",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK008", "SPK012"),
    sources=(
        "https://spark.apache.org/docs/latest/sql-data-sources-orc.html",
        FAT_JAR,
        "https://github.com/databricks/containers/issues/22",
    ),
)
def test_orc_codecs(dcs_spark_deep_smoke: Smoke) -> None:
    """ORC files are read and written by classes that hive-exec and other jars bring too, in older
    versions: "No enum constant org.apache.orc.CompressionKind.ZSTD".

    Fix: remove what has ORC in it from the image, the runtime brings its own:
    `RUN rm /databricks/jars/hive-exec*.jar`.
    """
    require_stage(dcs_spark_deep_smoke, "orc-codecs", "each codec's rows read back")


@rule(
    "SPK014",
    "joins",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003",),
    sources=("https://spark.apache.org/docs/latest/sql-performance-tuning.html", FAT_JAR),
)
def test_joins(dcs_spark_deep_smoke: Smoke) -> None:
    """Spark joins a small table by sending it to all workers, and large ones by sorting both. A jar
    with classes of another Spark breaks either: "java.lang.NoSuchMethodError".

    Fix: build jars for the image without Spark in them (`provided` in Maven and sbt), and
    `RUN rm /databricks/jars/*-with-dependencies.jar`.
    """
    require_stage(dcs_spark_deep_smoke, "joins", "the pairs, joined in either way")


@rule(
    "SPK015",
    "window",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003",),
    sources=(
        "https://spark.apache.org/docs/latest/sql-ref-syntax-qry-select-window.html",
        FAT_JAR,
        "https://github.com/databricks/containers/issues/220",
    ),
)
def test_window(dcs_spark_deep_smoke: Smoke) -> None:
    """Ranks and running sums are computed by operators of their own, which are compiled against
    one version of Spark and Scala: "NoSuchMethodError … ConfigBuilder.owner".

    Fix: build jars for the image for the runtime's Scala and without Spark in them (`provided` in
    Maven and sbt), and `RUN rm /databricks/jars/*-with-dependencies.jar`.
    """
    require_stage(dcs_spark_deep_smoke, "window", "ranks and running sums of groups")


@rule(
    "SPK016",
    "streaming",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("SPK003",),
    sources=(
        "https://spark.apache.org/docs/3.5.0/structured-streaming-programming-guide.html",
        "https://github.com/apache/spark/pull/25112",
    ),
)
def test_streaming(dcs_spark_deep_smoke: Smoke) -> None:
    """Streams that count or deduplicate keep their state in RocksDB, a native library that is
    unpacked to a temporary directory and needs glibc: "java.lang.UnsatisfiedLinkError". All else
    works without it.

    Fix: build on a glibc distribution, `FROM ubuntu:22.04`, with a writable /tmp that may be
    executed, and `ENV ROCKSDB_SHAREDLIB_DIR=` unset or a directory that exists.
    """
    require_stage(dcs_spark_deep_smoke, "streaming", "counts that go on from a checkpoint")


@rule(
    "SPK017",
    "worker-imports",
    level="fail",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("PY030", "PY031", "PY032", "SPK005"),
    sources=(
        "https://github.com/dmlc/xgboost/issues/2974",
        "https://github.com/apache/spark/pull/50083",
    ),
)
def test_worker_imports(dcs_spark_deep_smoke: Smoke) -> None:
    """What the image has more than its runtime is there to be used in workers. A library that only
    the build machine had is missed when the first job imports the package: "OSError: libgomp.so.1:
    cannot open shared object file".

    Fix: install what the package needs of the system, `RUN apt-get install --yes libgomp1`, or
    remove the package: `RUN /databricks/python3/bin/pip uninstall --yes NAME`.
    """
    require_stage(
        dcs_spark_deep_smoke, "worker-imports", "packages of the image that workers import"
    )
