"""The cells that are sent to a notebook's kernel, each a stage: what it must show or do.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import base64
import json
import re
import struct
import sys

from dcs_jupyter import CellFailed, cell
from dcs_stages import NotRun, expect, need, same
from dcs_wheels import PIP_INSTALL, require_inside, write_wheel

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
PIXELS = (20, 2000)
"""How large the picture of a small figure can be, by any style that the image sets."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
EXPLAINED_LINES = 3
"""How much of an explanation is shown: its end says whether there is a docstring."""
INTERRUPTED_SECONDS = 8


def arithmetic(notebook):
    """Print, and show a value."""
    answer = notebook.kernel.execute("print('printed')\n6 * 7")
    same("the output of print", answer.printed(), "printed\n")
    same("the result of 6 * 7", answer.data("text/plain"), ["42"])


def display(notebook):
    """Show a table as a table."""
    code = "import pandas\npandas.DataFrame({'n': [1, 2], 'square': [1, 4]})"
    answer = notebook.kernel.execute(code)
    tables = [shown for shown in answer.data("text/html") if "<table" in shown]
    need(tables, "a pandas table was shown as %s" % forms(answer))


def picture(notebook):
    """Show a plot as a picture, without a word on how."""
    code = (
        "import matplotlib.pyplot as pyplot\n"
        "pyplot.figure(figsize=(2, 1))\n"
        "pyplot.plot([0, 1, 4, 9])\n"
        "pyplot.show()"
    )
    try:
        answer = notebook.kernel.execute(code)
    except CellFailed as error:
        if "No module named 'matplotlib'" in str(error):
            notebook.report.leave_out("picture", "the image has no matplotlib")
        raise
    shown = [base64.b64decode(data) for data in answer.data("image/png")]
    need(shown, "a plot was shown as %s" % forms(answer))
    for png in shown:
        need(is_png(png), "a plot was shown by %d bytes that are no picture" % len(png))


def is_png(data):
    """Whether it is a whole PNG file of a size that a small figure can have."""
    head, end = data[: len(PNG_SIGNATURE) + 16], data[-len(PNG_END) :]
    if not head.startswith(PNG_SIGNATURE) or head[12:16] != b"IHDR" or end != PNG_END:
        return False
    return all(PIXELS[0] <= size <= PIXELS[1] for size in struct.unpack(">II", head[16:]))


def completion(notebook):
    """Complete a name that only an analysis of the code can know, and one of a module."""
    notebook.kernel.execute("import os")
    # Where jedi is broken, IPython falls back to what is in memory.
    for code, needed in (("import keyword\nkeyword.kwl", "kwlist"), ("os.pa", "path")):
        asked = {"code": code, "cursor_pos": len(code)}
        matches = notebook.kernel.ask("complete_request", asked).reply.get("matches", [])
        is_known = any(match.endswith(needed) for match in matches)
        names = ", ".join(matches) or "nothing"
        need(is_known, "%s is completed to %s" % (code.splitlines()[-1], names))


def inspection(notebook):
    """Ask for the explanation of a function."""
    notebook.kernel.execute("import json")
    asked = {"code": "json.dumps", "cursor_pos": len("json.dumps"), "detail_level": 0}
    reply = notebook.kernel.ask("inspect_request", asked).reply
    text = reply.get("data", {}).get("text/plain", "")
    lines = [line for line in COLOURS.sub("", text).splitlines() if line.strip()]
    said = "; ".join(lines[-EXPLAINED_LINES:]) or reply.get("evalue", "nothing")
    need("Serialize" in text, "json.dumps is explained by %s" % said)


def exception(notebook):
    """Raise in a cell: the error is told, and the kernel lives on."""
    code = "def divide(number):\n    return 1 / number\ndivide(0)"
    answer = notebook.kernel.ask("execute_request", cell(code))
    same("the answer to 1 / 0", answer.reply.get("ename"), "ZeroDivisionError")
    errors = answer.of("error")
    need(errors, "no error was sent for 1 / 0, only %s" % forms(answer))
    same("the error of 1 / 0", errors[0]["ename"], "ZeroDivisionError")
    same("its message", errors[0]["evalue"], "division by zero")
    lines = [line for line in errors[0]["traceback"] if "divide" in line]
    need(lines, "the traceback of 1 / 0 names no function")
    same(
        "the result of 6 * 7 after it", notebook.kernel.execute("6 * 7").data("text/plain"), ["42"]
    )


def interrupt(notebook):
    """Interrupt a cell: it ends with KeyboardInterrupt, and the kernel lives on."""
    kernel = notebook.kernel
    code = "import time\nprint('begun', flush=True)\ntime.sleep(%d)" % INTERRUPTED_SECONDS
    answer = kernel.send("shell", "execute_request", cell(code))
    kernel.wait_for_print(answer)
    kernel.send("control", "interrupt_request", {})
    kernel.finish(answer, "execute_request")
    is_cut = answer.reply["status"] != "ok"
    need(is_cut, "the cell ran to its end although it was interrupted")
    same("the end of the cell", answer.reply.get("ename"), "KeyboardInterrupt")
    same("the result of 6 * 7 after it", kernel.execute("6 * 7").data("text/plain"), ["42"])


def pip_magic(notebook):
    """Install a wheel by %pip: it goes into the notebook's environment, and can be imported."""
    module = "pytest_dcs_magic"
    wheel = write_wheel(notebook.directory, module)
    # %pip puts the words behind `-m pip`.
    magic = "%%pip %s %s" % (" ".join(PIP_INSTALL[2:]), wheel)
    printed = notebook.kernel.execute(magic).printed()
    sys.stderr.write(printed)
    code = (
        "import importlib\nimportlib.invalidate_caches()\n"
        "try:\n"
        "    import %s as module\n"
        "    print(module.__file__)\n"
        "except ImportError as error:\n"
        "    print(error)" % module
    )
    require_inside(notebook.environment, notebook.kernel.execute(code).printed(), printed)


ATTACH = """
import os
os.environ["PYSPARK_GATEWAY_PORT"] = {port!r}
os.environ["PYSPARK_GATEWAY_SECRET"] = {secret!r}
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
gateway = launch_gateway()
running = gateway.jvm.org.apache.spark.SparkContext.getOrCreate()
java_context = gateway.jvm.org.apache.spark.api.java.JavaSparkContext.fromSparkContext(running)
settings = SparkConf(_jconf=java_context.getConf())
sc = SparkContext(gateway=gateway, jsc=java_context, conf=settings)
spark = SparkSession(sc)
"""

USE_SPARK = """
import json
from pyspark.sql.functions import udf
reverse = udf(lambda text: text[::-1], "string")
words = spark.sql("SELECT * FROM VALUES (1, 'Spark'), (2, 'gr\\u00fc\\u00dfe') AS words(n, word)")
rows = words.select("n", reverse("word").alias("word")).collect()
total = spark.range(100).selectExpr("sum(id)").first()[0]
print("found " + json.dumps([total, [row["word"] for row in sorted(rows)]]))
"""


def notebook_spark(notebook):
    """Attach to the running driver, and run a query and a Python function from the notebook."""
    gateway = notebook.wait_for_gateway()
    if gateway is None:
        why = "no Spark job let the notebook into its driver"
        raise NotRun(why)
    attach = ATTACH.format(port=str(gateway["port"]), secret=gateway["secret"])
    notebook.kernel.execute(attach)
    printed = notebook.kernel.execute(USE_SPARK).printed()
    found = [line[6:] for line in printed.splitlines() if line.startswith("found ")]
    words = ["Spark"[::-1], "gr\u00fc\u00dfe"[::-1]]
    expect([json.loads(line) for line in found], [[sum(range(100)), words]])


def forms(answer):
    """Return in which forms a cell showed something, for a message."""
    kinds = [kind for kind, _ in answer.outputs if kind == "stream"]
    return ", ".join([*answer.forms(), *kinds[:1]]) or "nothing"
