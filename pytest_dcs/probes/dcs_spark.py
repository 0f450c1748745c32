"""What the stages of jobs on Spark share: settings for a while, directories, words for errors.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. Spark's
workers have none of these modules: what runs there is a function within a function, which is sent
by value, and imports what it needs itself.
"""

import os
import re
import shutil
import tempfile
from contextlib import contextmanager

from dcs_session import MASTER, SHARED_DIRECTORY, local_directory
from dcs_stages import NotRun, describe

WORDS = ["Spark", "gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "na\u00efve \u20ac 5", "\U0001f600"]

ARROW = "spark.sql.execution.arrow.pyspark.enabled"
TIME_ZONE = "spark.sql.session.timeZone"


@contextmanager
def setting(spark, key, value):
    """Set one of Spark's settings for a while."""
    before = spark.conf.get(key, None)
    spark.conf.set(key, value)
    try:
        yield
    finally:
        if before is None:
            spark.conf.unset(key)
        else:
            spark.conf.set(key, before)


@contextmanager
def scratch():
    """Give a directory that driver and workers see, and remove it."""
    is_cluster = not os.environ.get(MASTER, "local").startswith("local")
    if is_cluster and not os.environ.get(SHARED_DIRECTORY):
        raise NotRun("the containers of the cluster see no common directory")
    directory = tempfile.mkdtemp(prefix="pytest-dcs-", dir=local_directory())
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def naming(what):
    """Say of an error what it was about."""
    try:
        yield
    except NotRun:
        raise
    except AssertionError as error:
        raise AssertionError("%s: %s" % (what, error)) from error
    except Exception as error:
        raise AssertionError("%s: %s" % (what, describe(error))) from error


def rows_of(frame):
    """Return the rows of a table in their order, as tuples."""
    return sorted(map(tuple, frame.collect()))


def version_of(spark):
    """Return Spark's version for comparison."""
    return tuple(map(int, re.findall(r"\d+", spark.version)[:2]))


def only_file(directory, suffix):
    """Return the one file of a kind that Spark has written."""
    names = [name for name in os.listdir(directory) if name.endswith(suffix)]
    if len(names) != 1:
        raise AssertionError("%s has not one file: %s" % (directory, ", ".join(names)))
    return os.path.join(directory, names[0])


def literal(text):
    """Return a text as SQL has it."""
    return "NULL" if text is None else "'%s'" % text
