"""A job of a team whose package the image has to bring."""

from acme_scoring import score
from pyspark.sql import SparkSession  # noqa: TID251

spark = SparkSession.builder.getOrCreate()
assert spark.range(3).rdd.map(lambda row: score(row["id"])).collect()
