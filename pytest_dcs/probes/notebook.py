"""What happens on a node between the init scripts and the cells of a Python notebook.

Runs inside the container as root, with the image's own Python and `-I`: standard library only,
Python 3.7's grammar. Each line of stdout is the whole report as it stands, so the last one counts.
What the image's programs and the kernel say goes to stderr.
"""

import contextlib
import glob
import json
import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
import time
import uuid

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_cells import (
    arithmetic,
    completion,
    display,
    exception,
    inspection,
    interrupt,
    notebook_spark,
    picture,
    pip_magic,
)
from dcs_jupyter import Connection, Kernel
from dcs_processes import Background, run_command
from dcs_session import HANDOVER
from dcs_stages import Report, last_line, need, same
from dcs_wheels import PIP_INSTALL, require_inside, write_wheel

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


def give(directory, user):
    """Make a user the owner of all in a directory."""
    for folder, _, files in os.walk(directory):
        os.lchown(folder, user.pw_uid, user.pw_gid)
        for name in files:
            os.lchown(os.path.join(folder, name), user.pw_uid, user.pw_gid)


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
