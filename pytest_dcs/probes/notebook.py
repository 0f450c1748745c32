"""What happens on a node between the init scripts and the cells of a Python notebook.

Runs inside the container as root, with the image's own Python and `-I`: standard library only,
Python 3.7's grammar. Each line of stdout is the whole report as it stands, so the last one counts.
What the image's programs and the kernel say goes to stderr.
"""

import base64
import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import stat
import struct
import sys
import sysconfig
import tempfile
import time
import uuid
import zipfile

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_jupyter import CellFailed, Connection, Kernel, cell
from dcs_processes import Background, run_command
from dcs_session import HANDOVER
from dcs_stages import NotRun, Report, expect

OPTIONS = "PYTEST_DCS_NOTEBOOK"
"""The variable with a JSON object of what is asked; `pytest_dcs/notebook.py` writes it."""
OURS = "PYTEST_DCS_"

BASE = "/databricks/python3"
LAUNCHER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLUSTER_LIBRARIES = "/local_disk0/.ephemeral_nfs/cluster_libraries/python"
NOTEBOOK_ENVIRONMENTS = "/local_disk0/.ephemeral_nfs/envs"
CONNECTIONS = "/databricks/kernel-connections"
LIBRARIES_USER = "libraries"
USER_NAME_LIMIT = 32

OF_ROOT = {"HOME", "LOGNAME", "MAIL", "OLDPWD", "PWD", "SHELL", "SHLVL", "TERM", "USER", "_"}
"""Variables that are another user's own."""
LEAST = {"LANG", "LC_ALL", "PYSPARK_PYTHON", "SPARK_HOME"}
"""Variables without which Python and Spark do not work."""

PIP_INSTALL = ["-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check"]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
PIXELS = (20, 2000)
"""How large the picture of a small figure can be, by any style that the image sets."""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
EXPLAINED_LINES = 3
"""How much of an explanation is shown: its end says whether there is a docstring."""
INTERRUPTED_SECONDS = 8
GATEWAY_POLL_SECONDS = 0.05


class Notebook:
    """What the stages make and leave to later ones."""

    def __init__(self, options, report):
        self.options = options
        self.report = report
        self.seconds = options["seconds"]
        self.started = time.time()
        self.directory = tempfile.mkdtemp(prefix="pytest-dcs-", dir="/local_disk0/tmp")
        os.chmod(self.directory, 0o755)
        self.environment = BASE
        self.user = None
        self.background = None
        self.kernel = None

    def root_command(self, *argv):
        """Run a command with what a process of the platform has, found on the system's PATH."""
        return run_command(argv, self.seconds, {"PATH": LAUNCHER_PATH, "HOME": "/root"})

    def build(self, directory):
        """Let virtualenv make an environment on top of the image's."""
        options = self.options["virtualenv_options"]
        self.root_command("virtualenv", "-p", BASE + "/bin/python", *options, directory)

    def as_user(self, *argv):
        """Return the words and variables of a command that the notebook's user runs."""
        variables = self.variables()
        if self.user is None:
            return list(argv), dict(variables, HOME="/root", USER="root", LOGNAME="root")
        # sudo drops all variables, PYSPARK_PYTHON and PYTHONPATH among them.
        given = ["%s=%s" % each for each in variables.items()]
        return ["sudo", "-n", "-u", self.user.pw_name, "env", *given, *argv], None

    def variables(self):
        """Return the container's variables with those of an active environment."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
        if self.options["all_variables"]:
            handed = {key: value for key, value in own.items() if key not in OF_ROOT}
        else:
            handed = {key: value for key, value in own.items() if key in LEAST}
        home = own.get("SPARK_HOME", "/databricks/spark")
        spark = [home + "/python", *glob.glob(home + "/python/lib/py4j-*-src.zip")]
        paths = [*spark, *filter(None, [handed.get("PYTHONPATH")])]
        handed["PYTHONPATH"] = os.pathsep.join(paths)
        handed["VIRTUAL_ENV"] = self.environment
        handed["PATH"] = "%s/bin:%s" % (self.environment, own.get("PATH", LAUNCHER_PATH))
        handed.setdefault("PYSPARK_PYTHON", BASE + "/bin/python3")
        # A kernel that crashes or hangs says where.
        handed["PYTHONFAULTHANDLER"] = "1"
        return handed

    def python(self, *arguments):
        """Run the notebook's Python as its user."""
        argv, environment = self.as_user(self.environment + "/bin/python", *arguments)
        return run_command(argv, self.seconds, environment)

    def gateway_is_coming(self):
        """Whether the Spark job runs that will write how to reach its driver."""
        mark = ("%s=%s" % (HANDOVER, self.options["gateway"])).encode()
        for path in glob.glob("/proc/[0-9]*/environ"):
            with contextlib.suppress(OSError), open(path, "rb") as file:
                if mark in file.read().split(b"\0"):
                    return True
        return False

    def wait_for_gateway(self):
        """Return what the Spark job has written, None if it never will or takes too long."""
        path = self.options["gateway"]
        deadline = self.started + self.options["gateway_seconds"]
        while path and time.time() < deadline:
            # Asked first: the job may write and end between the two questions.
            is_coming = self.gateway_is_coming()
            if os.path.exists(path):
                with open(path) as file:
                    return json.load(file)
            if not is_coming:
                return None
            time.sleep(GATEWAY_POLL_SECONDS)
        return None

    def close(self):
        """End the kernel, remove what was made for it, and let the Spark job end."""
        if self.background is not None:
            self.background.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.wait_for_gateway() is not None:
            os.unlink(self.options["gateway"])


def cluster_libraries(notebook):
    """Build the environment of the cluster's libraries, without network."""
    notebook.build(CLUSTER_LIBRARIES)
    python = CLUSTER_LIBRARIES + "/bin/python"
    # pip itself is run by the next stage: its first run takes a second.
    version = notebook.root_command(python, "-c", "import pip; print(pip.__version__)")
    need(version.strip(), "import pip in %s: no output" % python)


def library_install(notebook):
    """Install a wheel into that environment, and import it from there."""
    module = "pytest_dcs_library"
    wheel = write_wheel(notebook.directory, module)
    prefix = []
    if notebook.options["libraries_user"]:
        user = pwd.getpwnam(LIBRARIES_USER)
        give(CLUSTER_LIBRARIES, user)
        prefix = ["sudo", "-n", "-u", user.pw_name]
    python = CLUSTER_LIBRARIES + "/bin/python"
    printed = notebook.root_command(*prefix, python, *PIP_INSTALL, wheel)
    imported = [*prefix, python, "-c", "import %s as module; print(module.__file__)" % module]
    require_inside(CLUSTER_LIBRARIES, notebook.root_command(*imported), printed)


def notebook_environment(notebook):
    """Build the notebook's environment on top of the image's; its packages come first."""
    environment = "%s/pythonEnv-%s" % (NOTEBOOK_ENVIRONMENTS, uuid.uuid4())
    notebook.build(environment)
    notebook.environment = environment
    ask = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
    own = json.loads(last_line(notebook.python("-c", ask)))
    # virtualenv stands on the Python below the image's environment, not on the environment.
    with open(own["purelib"] + "/databricks_python3.pth", "w") as file:
        below = sysconfig.get_paths()
        file.write("".join("%s\n" % path for path in {below["purelib"], below["platlib"]}))
    # pandas itself is imported by the kernel, soon after.
    find = "import numpy, importlib.util as find; find.find_spec('pandas').loader.get_filename()"
    notebook.python("-c", find)
    shadow = own["purelib"] + "/numpy.py"
    with open(shadow, "w"):
        pass
    found = last_line(notebook.python("-B", "-c", "import numpy; print(numpy.__file__)"))
    os.unlink(shadow)
    need(found == shadow, "numpy is %s although the environment has %s" % (found, shadow))


def notebook_user(notebook):
    """Create a user, become that user by sudo, and run the notebook's Python."""
    name = ("spark-%s" % uuid.uuid4())[:USER_NAME_LIMIT]
    notebook.root_command("useradd", "--create-home", name)
    notebook.user = pwd.getpwnam(name)
    if notebook.environment != BASE:
        give(notebook.environment, notebook.user)
    ask = (
        "import json, os, sys; home = os.path.expanduser('~');"
        " print(json.dumps([os.getuid(), sys.prefix, os.access(home, os.W_OK)]))"
    )
    uid, prefix, writable = json.loads(last_line(notebook.python("-c", ask)))
    same("the user of the notebook's Python", uid, notebook.user.pw_uid)
    same("its sys.prefix", prefix, notebook.environment)
    need(writable, "%s cannot write to its home %s" % (name, notebook.user.pw_dir))


def start_kernel(notebook):
    """Start the kernel, and let it introduce itself."""
    owner = (notebook.user.pw_uid, notebook.user.pw_gid) if notebook.user else (0, 0)
    connection = Connection(CONNECTIONS, owner)
    python = notebook.environment + "/bin/python"
    launcher = [python, "-m", "ipykernel_launcher", "-f", connection.file]
    argv, environment = notebook.as_user(*launcher)
    notebook.background = Background(argv, environment)
    notebook.kernel = Kernel(notebook.background, connection, notebook.seconds)
    language = notebook.kernel.wait_until_ready()["language_info"]["name"]
    same("the kernel's language", language, "python")
    notebook.kernel.keep_stacks()


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
            leave_out(notebook, "picture", "the image has no matplotlib")
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


STAGES = [
    ("cluster-libraries", cluster_libraries, None),
    ("library-install", library_install, "cluster-libraries"),
    ("notebook-environment", notebook_environment, "cluster-libraries"),
    ("notebook-user", notebook_user, "notebook-environment"),
    ("kernel", start_kernel, "notebook-user"),
    ("cell", arithmetic, "kernel"),
    ("display", display, "cell"),
    ("picture", picture, "display"),
    ("completion", completion, "cell"),
    ("inspection", inspection, "cell"),
    ("exception", exception, "cell"),
    ("interrupt", interrupt, "exception"),
    ("pip-magic", pip_magic, "cell"),
    ("notebook-spark", notebook_spark, "cell"),
]
"""Each with the stage that must not have failed; Spark comes last, as it takes longest."""


def run_stages(notebook):
    """Run all stages that are asked for; the report says how each one went."""
    report = notebook.report
    failed = set()
    for name, function, needed in STAGES:
        if name in report.facts["left_out"]:
            continue
        if needed in failed:
            report.skip(name, "the stage %s did not come to its end" % needed)
            failed.add(name)
        elif notebook.kernel is not None and not notebook.kernel.is_running():
            report.skip(name, "the kernel was not running any more")
            failed.add(name)
        elif not report.run(name, function, notebook) and name not in report.facts["left_out"]:
            failed.add(name)
    report.write(complete=True)


def leave_out(notebook, name, why):
    """End a stage that asks nothing of this image."""
    notebook.report.facts["left_out"].append(name)
    raise NotRun(why)


def require_inside(environment, path, printed):
    """Raise `AssertionError` unless a module was imported from an environment."""
    found = last_line(path)
    said = "; ".join(line for line in printed.splitlines()[-3:] if line.strip())
    is_inside = found.startswith(environment + "/")
    need(is_inside, "%s, not in %s; pip said: %s" % (found, environment, said))


def need(condition, text):
    """Raise `AssertionError` with a text unless the condition holds."""
    if not condition:
        raise AssertionError(text)


def same(what, found, needed):
    """Raise `AssertionError` unless what was found is what is needed."""
    need(found == needed, "%s is %r, not %r" % (what, found, needed))


def forms(answer):
    """Return in which forms a cell showed something, for a message."""
    kinds = [kind for kind, _ in answer.outputs if kind == "stream"]
    return ", ".join([*answer.forms(), *kinds[:1]]) or "nothing"


def last_line(text):
    """Return the last line of what was printed, as what starts with Python may print too."""
    return (text.strip().splitlines() or [""])[-1]


def give(directory, user):
    """Make a user the owner of all in a directory."""
    for folder, _, files in os.walk(directory):
        os.lchown(folder, user.pw_uid, user.pw_gid)
        for name in files:
            os.lchown(os.path.join(folder, name), user.pw_uid, user.pw_gid)


def write_wheel(directory, module):
    """Write a wheel with one empty module, and return its path."""
    path = "%s/%s-1.0-py3-none-any.whl" % (directory, module)
    information = module + "-1.0.dist-info/"
    content = {
        module + ".py": "",
        information + "METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\n" % module,
        information + "WHEEL": "Wheel-Version: 1.0\nGenerator: pytest-dcs\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = information + "RECORD"
    content[record] = "".join("%s,,\n" % name for name in [*content, record])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in content.items():
            wheel.writestr(name, text)
    os.chmod(path, stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    return path


if __name__ == "__main__":
    options = json.loads(os.environ[OPTIONS])
    report = Report([name for name, _, _ in STAGES])
    report.facts["left_out"] = [*options["left_out"]]
    for name, why in options["left_out"].items():
        report.skip(name, why)
    notebook = Notebook(options, report)
    try:
        run_stages(notebook)
    finally:
        notebook.close()
