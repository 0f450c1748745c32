"""A Spark job that uses what notebooks and jobs use, and compares every value with plain Python's.

Runs inside the container with the image's own Python: standard library, pyspark and what a stage
imports; the grammar is Python 3.7's. Each line of stdout is the whole report as it stands, so the
last one counts, also when the JVM or this process dies in a stage. Logs go to stderr.

The job is the reference of benchmarks: a change of what it does makes older times incomparable.
"""

import operator
import os
import shutil
import sys
import tempfile

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_session import (
    Job,
    is_alive,
    let_in,
    local_directory,
    open_session,
    wait_for_guest,
)
from dcs_stages import expect


def start(job):
    """Start a session on the platform's Spark, and say which JVM it runs on."""
    job.spark = open_session(job.report.facts)
    let_in(job.spark)


def sql(job):
    """Aggregate in the JVM alone."""
    row = job.spark.sql("SELECT count(*) AS rows, sum(id * id) AS squares FROM range(1000)").first()
    expect((row["rows"], row["squares"]), (1000, sum(n * n for n in range(1000))))


def shuffle(job):
    """Group over several partitions, so that data moves between them."""
    from pyspark.sql import functions

    numbers = job.spark.range(0, 1000, 1, 4)
    sums = numbers.groupBy((numbers.id % 7).alias("key")).agg(functions.sum("id").alias("sum"))
    found = {row["key"]: row["sum"] for row in sums.collect()}
    expect(found, {key: sum(range(key, 1000, 7)) for key in range(7)})


def python_udf(job):
    """Run a function of Python on text, some of it not ASCII, in a worker process."""
    from pyspark.sql.functions import udf

    words = ["Spark", "gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", ""]
    reverse = udf(lambda text: text[::-1], "string")
    # Not `createDataFrame`, which imports pandas: that is tried after all that needs none.
    values = ", ".join("('%s')" % word for word in words)
    frame = job.spark.sql("SELECT word FROM VALUES %s AS words(word)" % values)
    found = [row["reversed"] for row in frame.select(reverse("word").alias("reversed")).collect()]
    expect(found, [word[::-1] for word in words])


def rdd(job):
    """Run lambdas in Python workers on both sides of a shuffle."""
    numbers = job.spark.sparkContext.parallelize(range(100), 4)
    found = dict(numbers.map(lambda n: (n % 3, n)).reduceByKey(operator.add).collect())
    expect(found, {key: sum(range(key, 100, 3)) for key in range(3)})


def parquet(job):
    """Write and read compressed files, by native libraries that the JVM unpacks."""
    directory = tempfile.mkdtemp(prefix="pytest-dcs-", dir=local_directory())
    try:
        path = "file://" + directory + "/numbers"
        numbers = job.spark.range(0, 1000, 1, 2).selectExpr("id", "concat('row ', id) AS name")
        numbers.write.parquet(path)
        row = job.spark.read.parquet(path).selectExpr("sum(id)", "max(length(name))").first()
        expect(tuple(row), (sum(range(1000)), len("row 999")))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def pandas_udf(job):
    """Exchange columns with a worker by Arrow."""
    import pandas
    from pyspark.sql import functions

    # The hints are what pyspark reads, so they must be types and not strings.
    @functions.pandas_udf("long")
    def square(numbers: pandas.Series) -> pandas.Series:
        return numbers * numbers

    frame = job.spark.range(0, 100, 1, 2).select(square("id").alias("square"))
    expect(sorted(row["square"] for row in frame.collect()), [n * n for n in range(100)])


def to_pandas(job):
    """Bring rows of several types to the driver by Arrow."""
    rows = [(n, n / 4, "row %d" % n, n % 2 == 0) for n in range(100)]
    frame = job.spark.createDataFrame(rows, "n long, quarter double, name string, even boolean")
    found = frame.toPandas()
    columns = zip(("n", "quarter", "name", "even"), zip(*rows))
    expect({name: found[name].tolist() for name in found}, {k: list(v) for k, v in columns})


STAGES = [
    ("start", start),
    ("sql", sql),
    ("shuffle", shuffle),
    ("python-udf", python_udf),
    ("rdd", rdd),
    ("parquet", parquet),
    ("pandas-udf", pandas_udf),
    ("to-pandas", to_pandas),
]
"""In this order, as a library that crashes takes all later stages with it."""


if __name__ == "__main__":
    job = Job(STAGES)
    job.run()
    if is_alive(job.spark):
        wait_for_guest()
        job.spark.stop()
