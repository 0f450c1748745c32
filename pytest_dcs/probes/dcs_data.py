"""The stages about data: the same values in SQL, in Python, in pandas and in files.

Lies beside every probe inside the container: standard library and what a stage imports, Python 3.7
grammar. What runs in workers is a function within a function, see `dcs_spark`.
"""

import csv
import json
import operator
import os
from decimal import Decimal

from dcs_spark import ARROW, TIME_ZONE, WORDS, literal, naming, only_file, rows_of, scratch, setting
from dcs_stages import expect

CLOCK = "yyyy-MM-dd HH:mm:ss"
PYTHON_CLOCK = "%Y-%m-%d %H:%M:%S"

CHANGES_OF_TIME = {
    "UTC": {1704067200: "2024-01-01 00:00:00", 1719792000: "2024-07-01 00:00:00"},
    "America/New_York": {
        1710053999: "2024-03-10 01:59:59",
        1710054000: "2024-03-10 03:00:00",
        1730613599: "2024-11-03 01:59:59",
        1730613600: "2024-11-03 01:00:00",
    },
    "Europe/Berlin": {
        1711846799: "2024-03-31 01:59:59",
        1711846800: "2024-03-31 03:00:00",
        1729990799: "2024-10-27 02:59:59",
        1729990800: "2024-10-27 02:00:00",
    },
    "Australia/Lord_Howe": {
        1712415599: "2024-04-07 01:59:59",
        1712415600: "2024-04-07 01:30:00",
        1728142199: "2024-10-06 01:59:59",
        1728142200: "2024-10-06 02:30:00",
    },
    "Asia/Kolkata": {1704067200: "2024-01-01 05:30:00", 1719792000: "2024-07-01 05:30:00"},
}
"""What clocks show at seconds since 1970, before and after they are put forward and back."""

MEANT_MOMENTS = {
    "UTC": {"2024-11-03 01:30:00": 1730597400},
    "America/New_York": {"2024-03-10 03:30:00": 1710055800, "2024-11-03 01:30:00": 1730611800},
    "Europe/Berlin": {"2024-03-31 03:30:00": 1711848600, "2024-10-27 02:30:00": 1729989000},
    "Australia/Lord_Howe": {"2024-04-07 01:45:00": 1712414700},
}
"""The seconds that a clock's time means: of two that it shows twice, the earlier."""

QUIET_SECONDS = [1704067200, 1710115200, 1719792000, 1730678400]
"""Near none of these are clocks put back anywhere.

Python shows times to functions without their zone, so it cannot tell the hour before from the hour
after. https://github.com/apache/spark/pull/53161
"""
QUIET_CLOCKS = {
    "UTC": [
        "2024-01-01 00:00:00",
        "2024-03-11 00:00:00",
        "2024-07-01 00:00:00",
        "2024-11-04 00:00:00",
    ],
    "America/New_York": [
        "2023-12-31 19:00:00",
        "2024-03-10 20:00:00",
        "2024-06-30 20:00:00",
        "2024-11-03 19:00:00",
    ],
    "Asia/Kolkata": [
        "2024-01-01 05:30:00",
        "2024-03-11 05:30:00",
        "2024-07-01 05:30:00",
        "2024-11-04 05:30:00",
    ],
}
"""What clocks show at these seconds."""

BIG_DECIMALS = ["-0.0000000001", "0.1000000000", "1234567890123456789012345678.0123456789"]
SUM_OF_BIG_DECIMALS = "1234567890123456789012345678.1123456788"
DECIMALS_OF_SQL = {
    "CAST(1 AS DECIMAL(10, 2)) / CAST(3 AS DECIMAL(10, 2))": "0.3333333333333",
    "CAST('99.99' AS DECIMAL(4, 2)) * CAST('99.99' AS DECIMAL(4, 2))": "9998.0001",
    "ROUND(CAST('2.5' AS DECIMAL(2, 1)))": "3",
    "BROUND(CAST('2.5' AS DECIMAL(2, 1)))": "2",
    "CAST('12345678901234567890123456789012345678' AS DECIMAL(38, 0))": (
        "12345678901234567890123456789012345678"
    ),
}
"""Digits and rounding: https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html"""


def time_zones_sql(job):
    """Turn seconds into clocks' times and back, where clocks are changed."""
    shows = "SELECT epoch, date_format(CAST(epoch AS TIMESTAMP), '%s') FROM VALUES %s AS v(epoch)"
    for zone, table in CHANGES_OF_TIME.items():
        with setting(job.spark, TIME_ZONE, zone), naming(zone):
            values = ", ".join("(%dL)" % epoch for epoch in table)
            expect(rows_of(job.spark.sql(shows % (CLOCK, values))), sorted(table.items()))
    means = "SELECT shown, CAST(%s AS BIGINT) FROM VALUES %s AS v(shown)"
    for zone, table in MEANT_MOMENTS.items():
        for function in ("CAST(shown AS TIMESTAMP)", "to_timestamp(shown, '%s')" % CLOCK):
            with setting(job.spark, TIME_ZONE, zone), naming("%s, %s" % (zone, function)):
                values = ", ".join("('%s')" % shown for shown in table)
                expect(rows_of(job.spark.sql(means % (function, values))), sorted(table.items()))


def string_hash(job):
    """Bring equal strings together from all workers, and find them again from the driver."""
    from pyspark.rdd import portable_hash

    words = ["%s %d" % (word, n) for word in WORDS for n in range(8)]
    context = job.spark.sparkContext
    pairs = context.parallelize(words * 3, 4).map(lambda word: (word, 1))
    counts = sorted((word, 3) for word in words)
    with naming("reduceByKey"):
        expect(sorted(pairs.reduceByKey(operator.add, 3).collect()), counts)
    with naming("groupByKey"):
        expect(sorted(pairs.groupByKey(3).mapValues(len).collect()), counts)
    if "PYTHONHASHSEED" not in os.environ:
        # Then Spark fixes the seed in its workers, and the driver has no hash of its own to give.
        return
    hashes = dict(
        context.parallelize(words, 4).map(lambda word: (word, portable_hash(word))).collect()
    )
    if hashes != {word: portable_hash(word) for word in words}:
        raise AssertionError(
            "driver and workers have other hashes of the same strings: PYTHONHASHSEED is %s"
            % os.environ["PYTHONHASHSEED"]
        )
    with naming("lookup"):
        expect(pairs.partitionBy(4).lookup(words[0]), [1, 1, 1])


def text_files(job):
    """Exchange text with plain Python, which opens files in its own default encoding."""
    rows = list(enumerate(WORDS))
    values = ", ".join("(%d, %s)" % (n, literal(word)) for n, word in rows)
    frame = job.spark.sql("SELECT n, word FROM VALUES %s AS words(n, word)" % values).coalesce(1)
    reader = job.spark.read.schema("n int, word string")
    with scratch() as directory:
        with naming("JSON written by Spark"):
            frame.write.json("file://%s/json" % directory)
            with open(only_file(directory + "/json", ".json")) as file:
                expect([tuple(json.loads(line).values()) for line in file], rows)
        with naming("CSV written by Spark"):
            frame.write.csv("file://%s/csv" % directory)
            with open(only_file(directory + "/csv", ".csv"), newline="") as file:
                expect([(int(n), word) for n, word in csv.reader(file)], rows)
        with naming("JSON written by Python"):
            with open(directory + "/python.json", "w") as file:
                for n, word in rows:
                    file.write(json.dumps({"n": n, "word": word}, ensure_ascii=False) + "\n")
            expect(rows_of(reader.json("file://" + file.name)), rows)
        with naming("CSV written by Python"):
            with open(directory + "/python.csv", "w", newline="") as file:
                csv.writer(file).writerows(rows)
            expect(rows_of(reader.csv("file://" + file.name)), rows)
    with naming("text written in workers"):
        written = job.spark.sparkContext.parallelize(WORDS, 2).map(writer_of_text()).collect()
        expect(list(map(bytes, written)), [word.encode("utf-8") for word in WORDS])


def writer_of_text():
    """Return a function for workers that returns what `open` makes of a text."""

    def bytes_of(text):
        import tempfile

        with tempfile.NamedTemporaryFile("w+") as file:
            file.write(text)
            file.flush()
            with open(file.name, "rb") as written:
                return bytearray(written.read())

    return bytes_of


def arrow_equality(job):
    """Bring the same tables to pandas and back, by Arrow and without it."""
    tables, frames = {}, {}
    for arrow in ("true", "false"):
        with setting(job.spark, ARROW, arrow):
            tables[arrow] = to_pandas(job.spark)
            frames[arrow] = from_pandas(job.spark)
    for name, values in tables["true"].items():
        if values != tables["false"][name]:
            raise AssertionError(
                "toPandas gives for %s %r by Arrow and %r without it"
                % (name, values, tables["false"][name])
            )
    expect(tables["true"]["gaps"], [None if n % 3 == 0 else n * n for n in range(10)])
    if frames["true"] != frames["false"]:
        raise AssertionError(
            "createDataFrame gives %r by Arrow and %r without it"
            % (frames["true"], frames["false"])
        )
    expect(frames["true"], [(1, 0.125, WORDS[0]), (2, None, WORDS[1]), (3, -2.5, None)])


def to_pandas(spark):
    """Return the columns of a table that pandas got, in plain Python."""
    query = """
        SELECT CAST(n AS INT) AS whole, IF(n % 3 = 0, NULL, n * n) AS gaps, n / 8 AS eighths,
               IF(n % 4 = 0, NULL, concat('gr\u00fc\u00dfe ', n)) AS word, n % 2 = 0 AS flag,
               date_add(DATE'2024-02-27', CAST(n AS INT)) AS day,
               CAST(concat('byte ', n) AS BINARY) AS raw, CAST(n / 10 AS DECIMAL(20, 3)) AS amount
        FROM (SELECT id AS n FROM range(0, 10, 1, 2))
    """
    table = spark.sql(query).toPandas().sort_values("whole")
    return {name: list(map(without_nan, table[name].tolist())) for name in table}


def from_pandas(spark):
    """Return the rows of a table that was made of pandas."""
    import pandas

    table = pandas.DataFrame(
        {"whole": [1, 2, 3], "eighths": [0.125, float("nan"), -2.5], "word": [*WORDS[:2], None]}
    )
    frame = spark.createDataFrame(table, "whole long, eighths double, word string")
    return [tuple(map(without_nan, row)) for row in rows_of(frame)]


def without_nan(value):
    """Return a value, or None for what is no number, which pandas and Arrow may take for null."""
    import pandas

    return None if pandas.isna(value) else value


def time_zones_python(job):
    """Show moments to functions, to pandas and to files, under several time zones."""
    values = ", ".join("(%dL)" % epoch for epoch in QUIET_SECONDS)
    query = "SELECT epoch, CAST(epoch AS TIMESTAMP) AS moment FROM VALUES %s AS v(epoch)" % values
    compare_machine_clocks(job.spark, query)
    for zone, clocks in QUIET_CLOCKS.items():
        with setting(job.spark, TIME_ZONE, zone), naming(zone):
            moments = job.spark.sql(query)
            show_to_functions(moments, clocks)
            for arrow in ("true", "false"):
                with setting(job.spark, ARROW, arrow), naming("toPandas, Arrow %s" % arrow):
                    table = moments.toPandas().sort_values("epoch")
                    expect(table["moment"].dt.strftime(PYTHON_CLOCK).tolist(), clocks)
            exchange_moments_with_pyarrow(job.spark, moments)


def compare_machine_clocks(spark, query):
    """See that Python's clock is the JVM's: `collect` shows Python's, and SQL the JVM's."""
    zone = spark._jvm.java.util.TimeZone.getDefault().getID()
    with setting(spark, TIME_ZONE, zone):
        moments = spark.sql(query)
        for row in moments.selectExpr("moment", "date_format(moment, '%s')" % CLOCK).collect():
            collected = row[0].strftime(PYTHON_CLOCK)
            if collected != row[1]:
                raise AssertionError(
                    "collect() gives %s and SQL %s: the JVM's time zone is %s, Python's is another"
                    % (collected, row[1], zone)
                )


def show_to_functions(moments, clocks):
    """Let functions of Python and of pandas see moments."""
    import pandas
    from pyspark.sql import functions

    @functions.udf("timestamp")
    def add_an_hour(moment):
        import datetime

        return moment + datetime.timedelta(hours=1)

    @functions.pandas_udf("string")
    def show(moments: pandas.Series) -> pandas.Series:
        return moments.dt.strftime("%Y-%m-%d %H:%M:%S")

    with naming("udf"):
        later = moments.select("epoch", add_an_hour("moment").cast("long"))
        expect(rows_of(later), [(epoch, epoch + 3600) for epoch in QUIET_SECONDS])
    with naming("pandas_udf"):
        shown = moments.select("epoch", show("moment"))
        expect(rows_of(shown), list(zip(QUIET_SECONDS, clocks)))


def exchange_moments_with_pyarrow(spark, moments):
    """Write moments to Parquet by Spark and by pyarrow, each for the other to read."""
    import pyarrow
    from pyarrow import parquet

    with scratch() as directory:
        with naming("Parquet written by Spark"):
            moments.coalesce(1).write.parquet("file://%s/spark" % directory)
            file = parquet.ParquetFile(only_file(directory + "/spark", ".parquet"))
            column = file.read()["moment"]
            # As whole numbers: pyarrow may lack the tables of time zones, and needs none for these.
            second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
            numbers = column.cast(pyarrow.int64()).to_pylist()
            expect(sorted(number // second for number in numbers), QUIET_SECONDS)
        with naming("Parquet written by pyarrow"):
            numbers = [epoch * 10**6 for epoch in QUIET_SECONDS]
            column = pyarrow.array(numbers, pyarrow.timestamp("us", tz="UTC"))
            path = directory + "/pyarrow.parquet"
            parquet.write_table(pyarrow.table({"moment": column}), path)
            read = spark.read.parquet("file://" + path).selectExpr("CAST(moment AS BIGINT)")
            expect([row[0] for row in rows_of(read)], QUIET_SECONDS)


def decimals(job):
    """Compute with decimals in SQL, in functions and by Arrow, to the last digit."""
    row = job.spark.sql("SELECT " + ", ".join(DECIMALS_OF_SQL)).first()
    expect(dict(zip(DECIMALS_OF_SQL, map(digits, row))), DECIMALS_OF_SQL)
    values = ", ".join("(CAST('%s' AS DECIMAL(38, 10)))" % value for value in BIG_DECIMALS)
    big = job.spark.sql("SELECT amount FROM VALUES %s AS v(amount)" % values)
    with naming("sum"):
        expect(digits(big.selectExpr("sum(amount)").first()[0]), SUM_OF_BIG_DECIMALS)
    count_in_functions(job.spark)
    exchange_decimals_with_pandas(job.spark, big)


def count_in_functions(spark):
    """Add decimals in Python, within the 28 digits to which it rounds by default."""
    from pyspark.sql.functions import udf

    @udf("decimal(38,2)")
    def add_a_cent(amount):
        from decimal import Decimal

        return amount + Decimal("0.01")

    with naming("udf"):
        amount = "CAST('12345678901234567890123456.78' AS DECIMAL(28, 2)) AS amount"
        row = spark.sql("SELECT " + amount).select(add_a_cent("amount")).first()
        expect(digits(row[0]), "12345678901234567890123456.79")
    with naming("reduce"):
        parts = spark.sparkContext.parallelize(["0.1", "9999999999999999999.9", "0.01"], 2)
        expect(digits(parts.map(Decimal).reduce(operator.add)), "10000000000000000000.01")


def exchange_decimals_with_pandas(spark, big):
    """Bring decimals of 38 digits to pandas and back by Arrow."""
    import pandas
    from pyspark.sql import functions

    @functions.pandas_udf("decimal(38,10)")
    def negate(amounts: pandas.Series) -> pandas.Series:
        # Unlike the operator this does not round.
        return amounts.map(lambda amount: amount.copy_negate())

    needed = list(map(Decimal, BIG_DECIMALS))
    with naming("toPandas"):
        table = big.toPandas()
        expect(sorted(table["amount"]), needed)
    with naming("createDataFrame"):
        frame = spark.createDataFrame(table, "amount decimal(38,10)")
        expect([row[0] for row in rows_of(frame)], needed)
    with naming("pandas_udf"):
        rows = big.select(negate("amount")).collect()
        expect(sorted(row[0].copy_negate() for row in rows), needed)


def digits(number):
    """Return a decimal with all its digits and no exponent."""
    return format(number, "f")
