"""Runs code that comes from outside, in one session on the platform's Spark.

Each line of stdin is a JSON object: `code` with its `name`, or `sql`. Each has one line of stdout
for an answer. Runs inside the container with the image's own Python: standard library and pyspark,
the grammar is Python 3.7's. Logs go to stderr.
"""

import contextlib
import io
import json
import linecache
import os
import sys
import traceback

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_session import ask_java, is_alive, open_session
from dcs_stages import describe, take_stdout

OUTPUT_LIMIT = 100000
"""How many characters of what the code prints are handed out, the last ones."""


class Runner:
    """The session, which is opened for the first code, and again when code has stopped it."""

    def __init__(self):
        self.spark = None
        # Functions of `__main__` travel to the workers by value, which have no such file.
        self.scope = {"__name__": "__main__", "__builtins__": __builtins__}

    def answer(self, request):
        """Run what was asked for and return how it ended."""
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output):
                self.open()
                if "sql" in request:
                    rows = self.spark.sql(request["sql"]).collect()
                    rows = [row.asDict(recursive=True) for row in rows]
                    return {"outcome": "passed", "rows": rows}
                self.execute(request["code"], request["name"])
        except SystemExit as error:
            if error.code not in (None, 0):
                return failure("SystemExit: %s" % error.code, output)
        except Exception as error:
            return failure(told(error, request.get("name")), output)
        return {"outcome": "passed", "output": output.getvalue()[-OUTPUT_LIMIT:]}

    def open(self):
        """Open the session unless it is there."""
        if self.spark is None or not is_alive(self.spark):
            try:
                self.spark = open_session({})
            except Exception:
                ask_java()
                raise

    def execute(self, code, name):
        """Run code as a script of this name, with `spark` at hand."""
        # So that tracebacks show the lines, of which no file has the name.
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        self.scope.update(spark=self.spark, sc=self.spark.sparkContext, __file__=name)
        sys.argv = [name]
        exec(compile(code, name, "exec"), self.scope)


def failure(error, output):
    """Return the answer to code that has failed."""
    return {"outcome": "failed", "error": error, "output": output.getvalue()[-OUTPUT_LIMIT:]}


def told(error, name):
    """Return what went wrong in one line, then where in the code."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name
    ]
    if isinstance(error, SyntaxError) and error.filename == name:
        return "%s:%s: %s: %s" % (name, error.lineno, type(error).__name__, error.msg)
    where = ["  at %s:%s: %s" % (name, frame.lineno, frame.line) for frame in frames]
    return "\n".join([describe(error), *where])


def main():
    """Answer requests until stdin ends."""
    channel = take_stdout()
    requests = os.fdopen(os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    runner = Runner()
    # A blank line comes first, with which the command was started.
    for line in filter(str.strip, requests):
        answer = runner.answer(json.loads(line))
        channel.write(json.dumps(answer, default=str) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
