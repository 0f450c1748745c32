"""A Spark job in depth: what breaks only in workers, in one codec, in one operator or in data.

Runs inside the container with the image's own Python, alone or against a cluster of containers of
the same image: standard library, pyspark and what a stage imports; the grammar is Python 3.7's.
Every value is compared with a constant or with what plain Python computes.
"""

import json
import os
import sys

from dcs_data import (
    QUIET_CLOCKS,
    QUIET_SECONDS,
    arrow_equality,
    decimals,
    string_hash,
    text_files,
    time_zones_python,
    time_zones_sql,
)
from dcs_imports import import_faults
from dcs_session import Job, is_alive, open_session
from dcs_spark import TIME_ZONE, WORDS, literal, naming, rows_of, scratch, setting, version_of
from dcs_stages import expect

PINNED_PACKAGES = "PYTEST_DCS_PINNED_PACKAGES"
"""The variable with the names of the runtime's own packages, as a JSON list; unset if unknown."""

SETTINGS = {
    # A worker that crashes then says in which function; Spark before 3.2 does not know them.
    "spark.python.worker.faulthandler.enabled": "true",
    "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
}

PARQUET_CODECS = {"snappy": ".snappy", "gzip": ".gz", "zstd": ".zstd", "lz4": ".lz4"}
ORC_CODECS = {"snappy": ".snappy", "zlib": ".zlib", "zstd": ".zstd", "lz4": ".lz4"}
"""Codecs, and what files that are compressed by them have in their names."""
CODECS_SINCE_3_2 = {"zstd", "lz4"}
"""Before, Spark has none of its own for files, but asks for Hadoop's native library.

https://issues.apache.org/jira/browse/SPARK-34503
"""

STATE_STORE = "spark.sql.streaming.stateStore.providerClass"
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
STREAM_SECONDS = 60


def start(job):
    """Start a session on the platform's Spark."""
    job.spark = open_session(job.report.facts, SETTINGS)


def joins(job):
    """Join by broadcast and by merging sorted partitions; Spark must have done what it was told."""
    rows = [(0, "zero"), (1, WORDS[1]), (2, None), (9, "nowhere")]
    names = dict(rows)
    values = ", ".join("(%dL, %s)" % (key, literal(name)) for key, name in rows)
    right = job.spark.sql("SELECT key, name FROM VALUES %s AS names(key, name)" % values)
    left = job.spark.range(0, 20, 1, 2).selectExpr("id", "id % 7 AS key")
    needed = {
        "inner": [(n, names[n % 7]) for n in range(20) if n % 7 in names],
        "left": [(n, names.get(n % 7)) for n in range(20)],
    }
    for hint, node in (("broadcast", "BroadcastHashJoin"), ("merge", "SortMergeJoin")):
        for how, pairs in needed.items():
            with naming("%s join by %s" % (how, hint)):
                joined = left.join(right.hint(hint), "key", how).select("id", "name")
                expect(rows_of(joined), pairs)
                plan = joined._jdf.queryExecution().executedPlan().toString()
                if node not in plan:
                    raise AssertionError("no %s in the plan that was run: %s" % (node, plan))


def window(job):
    """Give numbers and ranks, look back, and sum within groups."""
    query = """
        SELECT id, row_number() OVER thirds, lag(id, 1, -1L) OVER thirds,
               rank() OVER (ORDER BY id DIV 4), sum(id) OVER pairs
        FROM range(0, 20, 1, 2)
        WINDOW thirds AS (PARTITION BY id % 3 ORDER BY id),
               pairs AS (PARTITION BY id % 3 ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    """
    needed = []
    for n in range(20):
        row, first_of_four = n // 3 + 1, n // 4 * 4
        before = n - 3 if row > 1 else None
        look_back = -1 if before is None else before
        needed.append((n, row, look_back, first_of_four + 1, n + (before or 0)))
    expect(rows_of(job.spark.sql(query)), needed)


def parquet_codecs(job):
    """Write and read Parquet in each compression."""
    write_and_read(job.spark, "parquet", PARQUET_CODECS)


def orc_codecs(job):
    """Write and read ORC in each compression."""
    write_and_read(job.spark, "orc", ORC_CODECS)


def write_and_read(spark, kind, codecs):
    """Write rows with each codec, look at the names of the files, and read the rows back."""
    rows = spark.range(0, 1000, 1, 2).selectExpr("id", "concat('row ', id % 10) AS name")
    with scratch() as directory:
        for codec, infix in codecs.items():
            if codec in CODECS_SINCE_3_2 and version_of(spark) < (3, 2):
                continue
            with naming(codec):
                path = "%s/%s" % (directory, codec)
                rows.write.option("compression", codec).format(kind).save("file://" + path)
                files = [name for name in os.listdir(path) if name.endswith("." + kind)]
                if not files or not all(infix in name for name in files):
                    raise AssertionError("other files were written: %s" % ", ".join(files))
                read = spark.read.format(kind).load("file://" + path)
                row = read.selectExpr("sum(id)", "count(DISTINCT name)", "max(name)").first()
                expect(tuple(row), (sum(range(1000)), 10, "row 9"))


def streaming(job):
    """Count in two runs of a stream; the second goes on from the state of the first."""
    if version_of(job.spark) < (3, 2):
        job.report.leave_out(
            "streaming", "Spark before 3.2 has no RocksDB for the state of streams"
        )
    with scratch() as directory, setting(job.spark, STATE_STORE, ROCKSDB):
        os.mkdir(directory + "/input")
        with naming("first run"):
            expect(count_stream(job.spark, directory, ["a", "b", "a"]), {"a": 2, "b": 1})
        with naming("second run"):
            expect(count_stream(job.spark, directory, ["b", "c"]), {"a": 2, "b": 2, "c": 1})


def count_stream(spark, directory, words):
    """Add a file of words and run the stream until all are counted; return the counts."""
    source = directory + "/input"
    with open("%s/%d.txt" % (source, len(os.listdir(source))), "w") as file:
        file.write("\n".join(words))
    until_all = {"availableNow": True} if version_of(spark) >= (3, 3) else {"once": True}
    counts = spark.readStream.text("file://" + source).groupBy("value").count()
    writer = counts.writeStream.format("memory").queryName("pytest_dcs_counts")
    writer = writer.outputMode("complete").trigger(**until_all)
    query = writer.start(checkpointLocation="file://" + directory + "/checkpoint")
    try:
        if not query.awaitTermination(STREAM_SECONDS):
            raise AssertionError("it did not end within %d s" % STREAM_SECONDS)
        metrics = query.lastProgress["stateOperators"][0]["customMetrics"]
    finally:
        query.stop()
    if not any(name.startswith("rocksdb") for name in metrics):
        raise AssertionError("the state was not kept in RocksDB but %s" % ", ".join(metrics))
    return {row["value"]: row["count"] for row in spark.table("pytest_dcs_counts").collect()}


def worker_imports(job):
    """Import in a worker what the image has more than its runtime."""
    if sys.version_info < (3, 8):
        job.report.leave_out("worker-imports", "Python before 3.8 cannot say which packages it has")
    pinned = os.environ.get(PINNED_PACKAGES)
    if pinned is None:
        job.report.leave_out("worker-imports", "nothing is known of the runtime's own packages")
    added, faults = import_faults(job.spark, set(json.loads(pinned)))
    job.report.facts["added_packages"] = added
    if faults:
        raise AssertionError("; ".join("%s: %s" % fault for fault in faults.items()))


def apply_in_pandas(job):
    """Hand whole groups to a function of pandas tables."""

    def centre(group):
        centred = group.assign(value=group["value"] - group["value"].mean(), size=len(group))
        # In another order than the schema's: columns are told by their names.
        return centred[["size", "value", "key"]]

    groups = job.spark.range(0, 30, 1, 3).selectExpr("id % 4 AS key", "CAST(id AS DOUBLE) AS value")
    centred = groups.groupBy("key").applyInPandas(centre, "key long, value double, size long")
    needed = []
    for key in range(4):
        values = [float(n) for n in range(key, 30, 4)]
        mean = sum(values) / len(values)
        needed += [(key, value - mean, len(values)) for value in values]
    expect(rows_of(centred), needed)


def map_in_arrow(job):
    """Hand batches of Arrow to a function, without pandas between."""

    def double_batches(batches):
        import pyarrow

        for batch in batches:
            doubled = pyarrow.array([2 * n for n in batch.column(0).to_pylist()], pyarrow.int64())
            yield pyarrow.RecordBatch.from_arrays([doubled, batch.column(1)], ["id", "name"])

    rows = job.spark.range(0, 50, 1, 2).selectExpr("id", "concat('row ', id) AS name")
    if not hasattr(rows, "mapInArrow"):
        job.report.leave_out("map-in-arrow", "Spark before 3.3 has no mapInArrow")
    doubled = rows.mapInArrow(double_batches, "id long, name string")
    expect(rows_of(doubled), [(2 * n, "row %d" % n) for n in range(50)])


def create_from_pandas(job):
    """Make a table of a pandas table with all that people have in them."""
    import pandas

    columns = {
        "whole": list(range(len(WORDS))),
        "real": [0.5, float("nan"), -1.25, 1e300, 0.0],
        "word": [*WORDS[:-1], None],
        "flag": [True, False, True, False, True],
        "moment": pandas.to_datetime([*QUIET_CLOCKS["UTC"], None]),
    }
    with setting(job.spark, TIME_ZONE, "UTC"):
        rows = job.spark.createDataFrame(pandas.DataFrame(columns)).selectExpr(
            "whole",
            # What is not a number becomes null on the way by Arrow.
            "CASE WHEN isnan(real) THEN NULL ELSE real END",
            "word",
            "flag",
            "CAST(moment AS BIGINT)",
        )
        found = rows_of(rows)
    columns["real"][1] = None
    columns["moment"] = [*QUIET_SECONDS, None]
    expect(found, list(zip(*columns.values())))


STAGES = [
    ("start", start),
    ("joins", joins),
    ("window", window),
    ("parquet-codecs", parquet_codecs),
    ("orc-codecs", orc_codecs),
    ("streaming", streaming),
    ("time-zones-sql", time_zones_sql),
    ("string-hash", string_hash),
    ("text-files", text_files),
    ("worker-imports", worker_imports),
    ("apply-in-pandas", apply_in_pandas),
    ("map-in-arrow", map_in_arrow),
    ("create-from-pandas", create_from_pandas),
    ("arrow-equality", arrow_equality),
    ("time-zones-python", time_zones_python),
    ("decimals", decimals),
]
"""First what the JVM does alone, then what Python's workers do, then what needs pandas and Arrow,
as a library that crashes takes all later stages with it."""


if __name__ == "__main__":
    job = Job(STAGES)
    job.run()
    if is_alive(job.spark):
        job.spark.stop()
