"""NB: a Python notebook, from its environment over its user and kernel to cells that use Spark.

A stage blocks those that would fail for its reason, so that one fault is one finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import rule

if TYPE_CHECKING:
    from pytest_dcs.stages import Smoke

CONTAINERS_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
KERNEL_PAGE = "https://docs.databricks.com/aws/en/notebooks/ipython-kernel"
MESSAGES = "https://jupyter-client.readthedocs.io/en/stable/messaging.html"
NOTEBOOK_LIBRARIES = "https://docs.databricks.com/aws/en/libraries/notebooks-python-libraries"
GPU_README = "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md"


@rule(
    "NB001",
    "notebook-environment",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="virtualenv",
    where="container",
    requires=("PY004", "PY007"),
    step="notebook-environment",
    sources=(NOTEBOOK_LIBRARIES, "https://github.com/databricks/containers/pull/194"),
)
def test_notebook_environment(dcs_notebook_smoke: Smoke) -> None:
    """Each notebook has an environment of its own that stands on /databricks/python3: the image's
    packages can be imported in it, and what `%pip` installs into it comes before them. Where it
    cannot be made, the driver says "Cannot run program "virtualenv""; where the order is turned
    round, a notebook goes on with the old version and says nothing.

    Fix: put no folder to the front of sys.path in a sitecustomize, as in
    /etc/python3.11/sitecustomize.py; the environment's packages are found without:
    `RUN rm /etc/python3.11/sitecustomize.py`.
    """
    require_stage(
        dcs_notebook_smoke,
        "notebook-environment",
        "an environment with the image's numpy and pandas below packages of its own",
    )


@rule(
    "NB002",
    "notebook-user",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB001", "PY013", "SYS006", "SYS009"),
    step="notebook-user",
    sources=(
        CONTAINERS_PAGE,
        "https://github.com/kedro-org/kedro/issues/1729",
        "https://github.com/databricks/containers/pull/215",
    ),
)
def test_notebook_user(dcs_notebook_smoke: Smoke) -> None:
    """On clusters with user isolation a notebook runs as a user that is created for it and that
    root becomes by sudo: "useradd: command not found", "useradd: cannot open /etc/passwd",
    "sudo: a password is required".

    Fix: `RUN apt-get update && apt-get install -y passwd sudo`, and leave /etc/passwd, /etc/skel
    and /etc/login.defs as the distribution has them.
    """
    require_stage(
        dcs_notebook_smoke, "notebook-user", "a new user who runs the notebook's Python by sudo"
    )


@rule(
    "NB003",
    "kernel-starts",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB002", "PY007"),
    step="kernel",
    sources=(KERNEL_PAGE, GPU_README, "https://github.com/databricks/containers/issues/131"),
)
def test_kernel_starts(dcs_notebook_smoke: Smoke) -> None:
    """A notebook is an IPython kernel in that environment, started by the notebook's user. What
    stops it is seen in the first cell only: "Failure starting repl. Try detaching and re-attaching
    the notebook.", "Unable to start python kernel for ReplId-…, kernel exited with exit code 1."

    Fix: what was found names the cause; remove settings of IPython that hold for all, `RUN rm -r
    /etc/ipython`, and install `ipykernel==6.25.1` for 15.4, for other runtimes the version of their
    official image.
    """
    require_stage(dcs_notebook_smoke, "kernel", "a kernel that introduces itself")


@rule(
    "NB004",
    "cell-runs",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB003",),
    step="kernel",
    sources=(KERNEL_PAGE, MESSAGES),
)
def test_cell_runs(dcs_notebook_smoke: Smoke) -> None:
    """A cell is sent to the kernel, and what it prints and the value of its last line come back.
    Settings of IPython in the image change both: a cell then shows nothing, without an error.

    Fix: remove system-wide settings of IPython: `RUN rm -r /etc/ipython`.
    """
    require_stage(dcs_notebook_smoke, "cell", "what the cell printed, and its value")


@rule(
    "NB005",
    "table-is-shown",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB004",),
    step="kernel",
    sources=(
        KERNEL_PAGE,
        "https://pandas.pydata.org/docs/reference/api/pandas.set_option.html",
    ),
)
def test_table_is_shown(dcs_notebook_smoke: Smoke) -> None:
    """A pandas table at the end of a cell comes as HTML, which the notebook shows as a table; it is
    imported by a user without rights: "PermissionError: [Errno 13] Permission denied".

    Fix: leave the packages readable for all, `RUN chmod -R a+rX /databricks/python3`, and set no
    option of pandas or IPython for the whole image, as by `ENV PYTHONSTARTUP=…`.
    """
    require_stage(dcs_notebook_smoke, "display", "a table as text/html")


@rule(
    "NB006",
    "picture-is-shown",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB005",),
    step="kernel",
    sources=(
        "https://docs.databricks.com/aws/en/visualizations/matplotlib",
        "https://matplotlib.org/stable/users/explain/figure/backends.html",
    ),
)
def test_picture_is_shown(dcs_notebook_smoke: Smoke) -> None:
    """A plot of matplotlib comes as a picture because the kernel chooses matplotlib's inline
    backend, unless a variable of the image has chosen another one: then a cell with a plot says
    "FigureCanvasAgg is non-interactive, and thus cannot be shown" or nothing at all.

    Fix: remove `ENV MPLBACKEND=Agg`; without a display matplotlib falls back to it by itself.
    """
    require_stage(dcs_notebook_smoke, "picture", "a plot as a PNG picture")


@rule(
    "NB007",
    "completion",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB004",),
    step="kernel",
    sources=(
        "https://github.com/databricks/containers/pull/89",
        "https://github.com/databricks/containers/pull/68",
    ),
)
def test_completion(dcs_notebook_smoke: Smoke) -> None:
    """The kernel completes names by jedi. With a jedi that does not fit to IPython, or without one,
    it stays silent or knows only what is in memory already: an official image had "jedi 0.18" with
    an IPython that needed 0.17.

    Fix: `RUN /databricks/python3/bin/pip install --no-deps jedi==0.18.1 parso==0.8.3` for 15.4; for
    other runtimes the versions of their official image.
    """
    require_stage(dcs_notebook_smoke, "completion", "the names that can follow")


@rule(
    "NB008",
    "inspection",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB004",),
    step="kernel",
    sources=(MESSAGES, "https://docs.python.org/3/using/cmdline.html#envvar-PYTHONOPTIMIZE"),
)
def test_inspection(dcs_notebook_smoke: Smoke) -> None:
    """`name?` and help while typing show the docstring of a function. A Python that drops
    docstrings shows none: "<no docstring>".

    Fix: remove `ENV PYTHONOPTIMIZE=2`.
    """
    require_stage(dcs_notebook_smoke, "inspection", "the docstring of json.dumps")


@rule(
    "NB009",
    "error-is-told",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB004",),
    step="kernel",
    sources=(MESSAGES, "https://rich.readthedocs.io/en/stable/traceback.html"),
)
def test_error_is_told(dcs_notebook_smoke: Smoke) -> None:
    """An exception in a cell comes as an error with its name, its text and its traceback, and the
    kernel goes on. What puts a traceback of its own in the place of IPython's prints it as text:
    the notebook does not see the cell as failed.

    Fix: let nothing replace IPython's traceback for the whole image, as `rich.traceback.install()`
    in `ENV PYTHONSTARTUP=…` or in /etc/ipython does.
    """
    require_stage(dcs_notebook_smoke, "exception", "ZeroDivisionError, and a kernel that goes on")


@rule(
    "NB010",
    "cell-can-be-interrupted",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB009",),
    step="kernel",
    sources=(MESSAGES, "https://github.com/ipython/ipykernel/pull/741"),
)
def test_cell_can_be_interrupted(dcs_notebook_smoke: Smoke) -> None:
    """A cell that takes too long is cancelled, and the kernel with all its variables goes on:
    "KeyboardInterrupt". Where the kernel does not hear it, only detaching the notebook helps.

    Fix: `RUN /databricks/python3/bin/pip install --no-deps ipykernel==6.25.1` for 15.4, for other
    runtimes the version of their official image; block or ignore no SIGINT in a sitecustomize.
    """
    require_stage(dcs_notebook_smoke, "interrupt", "KeyboardInterrupt, and a kernel that goes on")


@rule(
    "NB011",
    "pip-magic",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB004", "PY013"),
    step="kernel",
    sources=(NOTEBOOK_LIBRARIES, "https://github.com/pypa/pip/issues/5702"),
)
def test_pip_magic(dcs_notebook_smoke: Smoke) -> None:
    """`%pip install` puts packages into the notebook's own environment. A variable that sends pip
    elsewhere sends it there in every notebook too: "ERROR: Can not perform a '--user' install",
    "ModuleNotFoundError" for what was just installed.

    Fix: remove `ENV PIP_USER`, `PIP_TARGET`, `PIP_PREFIX` and `PIP_REQUIRE_HASHES`; what only the
    build needs is an `ARG` or stands before the command: `RUN PIP_USER=1 pip install …`.
    """
    require_stage(dcs_notebook_smoke, "pip-magic", "a package in the notebook's environment")


@rule(
    "NB012",
    "spark-in-notebook",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("NB005", "SPK003", "SPK004", "SPK005", "SPK007", "SPK008"),
    step="shared-driver",
    sources=(
        "https://docs.databricks.com/aws/en/pyspark/basics",
        "https://github.com/apache/spark/blob/v3.5.0/python/pyspark/java_gateway.py",
    ),
)
@pytest.mark.usefixtures("dcs_spark_smoke")
def test_spark_in_notebook(dcs_notebook_smoke: Smoke) -> None:
    """`spark` in a notebook is the session of the cluster's one driver: the kernel attaches to its
    JVM by the runtime's pyspark, as another user than the driver's, and runs a query and a Python
    function there. A pyspark that a start-up file of the image puts first speaks to another JVM
    than it knows: "TypeError: 'JavaPackage' object is not callable".

    Fix: no Spark in the image, `RUN rm -r /opt/spark`, and no start-up file with
    `findspark.init()`; leave packages readable for all: `RUN chmod -R a+rX /databricks/python3`.
    """
    require_stage(dcs_notebook_smoke, "notebook-spark", "rows of the running driver as in Python")


@rule(
    "NB013",
    "language-server-starts",
    level="fail",
    effect="disables-feature",
    feature="lsp",
    need="lsp",
    where="cluster",
    requires=("PY001", "PY008"),
    step="language-server",
    sources=(
        "https://github.com/databricks/containers/issues/171",
        "https://github.com/databricks/containers/pull/189",
        "https://github.com/python-lsp/python-lsp-server",
    ),
)
def test_language_server_starts(dcs_language_server_smoke: Smoke) -> None:
    """The runtime starts the language server of /databricks/python-lsp and talks to it from the
    first cell on; where it does not answer, Python cells failed with a Py4JException from
    lsp_manager.py.

    Fix: `RUN /databricks/python-lsp/bin/pip install python-lsp-server python-lsp-jsonrpc` with all
    that they need, in the versions of the official image for the runtime.
    """
    require_stage(dcs_language_server_smoke, "language-server", "a server that says what it can")


@rule(
    "NB014",
    "language-server-helps",
    level="fail",
    effect="disables-feature",
    feature="lsp",
    need="lsp",
    where="cluster",
    requires=("NB013",),
    step="language-server",
    sources=(
        "https://github.com/databricks/containers/pull/189",
        "https://github.com/python-lsp/python-lsp-server",
    ),
)
def test_language_server_helps(dcs_language_server_smoke: Smoke) -> None:
    """The server offers names and explanations by plug-ins that it loads by name. One that cannot
    be loaded is left out with a line in a log that nobody reads: "Failed to load pylsp entry point
    'jedi_completion'".

    Fix: `RUN /databricks/python-lsp/bin/pip install jedi==0.19.1 parso==0.8.3`, the versions of the
    official images.
    """
    for stage, needed in (
        ("lsp-completion", "the names that can follow"),
        ("lsp-hover", "the docstring of json.dumps"),
    ):
        require_stage(dcs_language_server_smoke, stage, needed)
