"""PY: the Python environment that Spark, notebooks and cluster libraries build on.

From runtime 9.0 on it is /databricks/python3 (need `no_conda`); before, it may be conda's.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_dcs.checks._stages import require_stage
from pytest_dcs.rules import Blocked, Item, NotApplicable, answer, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testinfra.host import Host

    from pytest_dcs.inventory import Inventory, Python
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.stages import Smoke

PYTHON_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/python/Dockerfile"
PYTHON_README = "https://github.com/databricks/containers/blob/master/ubuntu/python/README.md"

ENVIRONMENT = "/databricks/python3"
INTERPRETER = f"{ENVIRONMENT}/bin/python"
MINOR_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"

ROUND_TRIP = r"""
import json, locale, os, sys, tempfile
name, text = "na\u00efve-\u6771\u4eac", "\u20ac gr\u00fc\u00df"
try:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, name)
        with open(path, "w") as file:
            file.write(text)
        kept = os.listdir(directory.encode()) == [name.encode("utf-8")]
        with open(path, "rb") as file:
            kept = kept and file.read() == text.encode("utf-8")
except UnicodeError:
    kept = False
print(json.dumps([locale.getpreferredencoding(False), sys.getfilesystemencoding(), kept]))
"""
"""Writes a file whose name and text are not ASCII, and looks at the bytes that arrived."""


@rule(
    "PY001",
    "interpreter-runs",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    sources=(PYTHON_DOCKERFILE, "https://github.com/astral-sh/uv/issues/6782"),
)
def test_interpreter_runs(host: Host) -> None:
    """Notebooks, cluster libraries and Spark's workers all start from /databricks/python3, which
    only the image brings. Without the interpreter, or with a link to one that stayed in a build
    stage, the driver says "Cannot run program".

    Fix: `RUN virtualenv -p python3.11 --system-site-packages /databricks/python3`, with the Python
    of the runtime, made in this image at this path: virtual environments cannot be moved.
    """
    result = host.run("%s -c %s", INTERPRETER, "import ctypes, ssl, zlib; print('ready')")
    require(
        result.stdout.strip() == "ready",
        INTERPRETER,
        found=answer(result),
        needed="a Python that runs, with ctypes, ssl and zlib",
    )


@rule(
    "PY002",
    "final-release",
    level="fail",
    effect="wrong-result",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/issues/201",
        "https://github.com/databricks/containers/issues/216",
    ),
)
def test_final_release(dcs_python: Python) -> None:
    """A release candidate differs from the Python that the runtime and all wheels were built
    with. Ubuntu 22.04 has python3.11 only as 3.11.0rc1, which broke an official 15.4 image.

    Fix: install a final release, for instance from the deadsnakes PPA:
    `RUN add-apt-repository ppa:deadsnakes/ppa && apt-get install -y python3.11`
    """
    require(
        dcs_python.release_level == "final",
        f"release of {INTERPRETER}",
        found=f"{dcs_python.version} ({dcs_python.release_level})",
        needed="a final release",
    )


@rule(
    "PY003",
    "pip-of-the-environment",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://learn.microsoft.com/azure/databricks/compute/custom-containers",
        "https://github.com/databricks/containers/issues/146",
        "https://github.com/mlverse/pysparklyr/pull/12",
    ),
)
def test_pip_of_the_environment(host: Host, dcs_python: Python) -> None:
    """Databricks documents /databricks/python3/bin/pip as the pip of the image: `%pip` and init
    scripts install with it. Where it is missing, or is another Python's, packages land elsewhere:
    "No module named pip", "ModuleNotFoundError" for what was just installed.

    Fix: leave `--no-pip` out of the `RUN virtualenv … /databricks/python3`; for an environment
    without pip, `RUN /databricks/python3/bin/python -m ensurepip --default-pip`.
    """
    result = host.run("%s --version", f"{ENVIRONMENT}/bin/pip")
    version = re.match(r"pip \S+ from (/.+) \(python", result.stdout)
    location = host.run("readlink -f %s", version[1]).stdout.strip() if version else ""
    require(
        location and PurePosixPath(location).is_relative_to(dcs_python.prefix),
        f"{ENVIRONMENT}/bin/pip",
        found=answer(result),
        needed=f"the pip of {dcs_python.prefix}",
    )


@rule(
    "PY004",
    "virtualenv-builds",
    level="fail",
    effect="blocks-start",
    feature="virtualenv",
    need="virtualenv",
    where="container",
    requires=("SYS004", "PY001"),
    step="cluster-libraries",
    sources=(
        "https://github.com/databricks/containers/pull/194",
        "https://github.com/databricks/containers/pull/84",
        PYTHON_DOCKERFILE,
    ),
)
def test_virtualenv_builds(dcs_notebook_smoke: Smoke) -> None:
    """The driver builds the environment of the cluster's libraries with the `virtualenv` of the
    system's PATH, not of a login shell and without downloads, and goes down without it: "Driver
    down cause: java.io.IOException: Cannot run program "virtualenv" (in directory
    "/local_disk0/.ephemeral_nfs/cluster_libraries"): error=2, No such file or directory".

    Fix: `RUN pip3 install virtualenv==20.24.2` into the system's Python, so that it stands in
    /usr/local/bin; on R images `RUN apt-get install -y virtualenv`. Without Python and R, declare
    the profile `minimal` and set `spark.databricks.driverNfs.enabled false` on the cluster.
    """
    require_stage(dcs_notebook_smoke, "cluster-libraries", "an environment with pip")


@rule(
    "PY005",
    "pyspark-python-resolves",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(PYTHON_DOCKERFILE, "https://github.com/databricks/containers/issues/62"),
)
def test_pyspark_python_resolves(host: Host, dcs_inventory: Inventory) -> None:
    """PYSPARK_PYTHON "specifies where Spark will look for the python process". Without it Spark's
    workers take whatever `python3` is on PATH: "Python in worker has different version 3.8 than
    that in driver 3.6, PySpark cannot run with different minor versions".

    Fix: `ENV PYSPARK_PYTHON=/databricks/python3/bin/python3`
    """
    environment = dcs_inventory.environment
    if not environment:
        raise Blocked("the environment of the container could not be read")
    commands = {"PYSPARK_PYTHON": environment.get("PYSPARK_PYTHON", "")}
    if environment.get("PYSPARK_DRIVER_PYTHON"):
        commands["PYSPARK_DRIVER_PYTHON"] = environment["PYSPARK_DRIVER_PYTHON"]
    minor = host.run("%s -c %s", INTERPRETER, MINOR_VERSION).stdout.strip()
    require_none(minor_differences(host, commands, minor))


def minor_differences(host: Host, commands: Mapping[str, str], minor: str) -> Iterator[Item]:
    """Yield the variables whose command is not a Python of this minor version."""
    for name, command in commands.items():
        result = host.run("%s -c %s", command, MINOR_VERSION)
        if not command or result.stdout.strip() != minor:
            found = f"{command}: {answer(result)}" if command else "not set"
            yield Item(f"ENV {name}", found, f"Python {minor}, as in {ENVIRONMENT}")


@rule(
    "PY006",
    "python-minor",
    level="advice",
    effect="disables-feature",
    feature="python",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md",
        "https://learn.microsoft.com/azure/databricks/release-notes/runtime/",
    ),
)
def test_python_minor(dcs_python: Python, dcs_runtime: Runtime) -> None:
    """The runtime's own Python code is tested with one minor version. Another one may start, and
    breaks where the runtime ships compiled or version-dependent modules.

    Fix: make /databricks/python3 with the runtime's Python, such as python3.11 for 15.4 and
    python3.12 for 16.4 and 17.3: `RUN virtualenv -p python3.11 … /databricks/python3`
    """
    if dcs_runtime.python is None:
        raise NotApplicable(f"the Python of runtime {dcs_runtime.version} is not known")
    minor = ".".join(dcs_python.version.split(".")[:2])
    require(
        minor == dcs_runtime.python,
        f"Python of {ENVIRONMENT}",
        found=dcs_python.version,
        needed=f"{dcs_runtime.python}, as runtime {dcs_runtime.name} has",
    )


@rule(
    "PY009",
    "conda-environment",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="conda_environment",
    where="cluster",
    sources=(
        "https://github.com/databricks/containers/tree/master/ubuntu/python-conda",
        "https://learn.microsoft.com/azure/databricks/compute/custom-containers",
    ),
)
def test_conda_environment(host: Host, dcs_inventory: Inventory) -> None:
    """Up to runtime 8 Python may come from conda in /databricks/conda, in the environment that a
    variable names: "necessary so that the python notebook/repl can be started".

    Fix: `ENV DEFAULT_DATABRICKS_ROOT_CONDA_ENV=dcs-minimal` and
    `ENV DATABRICKS_ROOT_CONDA_ENV=dcs-minimal`, and make that environment with
    `RUN /databricks/conda/bin/conda env create --file env.yml`.
    """
    if dcs_inventory.python is not None:
        raise NotApplicable(f"the image has its Python in {ENVIRONMENT}")
    name = dcs_inventory.environment.get("DATABRICKS_ROOT_CONDA_ENV", "")
    result = host.run("%s --version", f"/databricks/conda/envs/{name}/bin/python")
    require(
        name and re.match(r"Python \d", result.stdout),
        f"conda environment {name}" if name else "ENV DATABRICKS_ROOT_CONDA_ENV",
        found=answer(result) if name else "not set",
        needed="the name of an environment in /databricks/conda/envs with a Python that runs",
    )


@rule(
    "PY010",
    "no-conda",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(PYTHON_README, "https://github.com/databricks/containers/issues/118"),
)
def test_no_conda(host: Host, dcs_inventory: Inventory, dcs_python: Python) -> None:
    """From runtime 9.0 on, "%pip/%conda commands are not supported on docker containers built with
    conda. To use %pip/%conda commands, use a virtualenv-based environment in your docker recipe".
    On 12.2 the driver did not start: "Driver down cause: driver state change".

    Fix: remove `ENV DATABRICKS_ROOT_CONDA_ENV`, and make the environment with
    `RUN virtualenv -p python3.11 --system-site-packages /databricks/python3` on a Python that is
    not conda's.
    """
    name = dcs_inventory.environment.get("DATABRICKS_ROOT_CONDA_ENV")
    made_by_conda = host.run("[ -d %s ]", f"{dcs_python.prefix}/conda-meta").succeeded
    require(
        not name and not made_by_conda,
        f"environment {ENVIRONMENT}",
        found=f"DATABRICKS_ROOT_CONDA_ENV={name}" if name else f"{dcs_python.prefix}/conda-meta",
        needed="an environment made by virtualenv",
    )


@rule(
    "PY011",
    "utf8-in-python",
    level="fail",
    effect="wrong-result",
    feature="python",
    need="utf8",
    where="cluster",
    requires=("PY001", "SYS010"),
    sources=(
        "https://github.com/databricks/containers/commit/dc9e266",
        "https://docs.python.org/3/library/os.html#python-utf-8-mode",
    ),
)
def test_utf8_in_python(host: Host) -> None:
    """The official images set a UTF-8 locale, "to support UC". In another one Python writes text
    and file names in other bytes than the rest of the cluster reads, or stops with
    "UnicodeEncodeError".

    Fix: `ENV LANG=C.UTF-8 LC_ALL=C.UTF-8`, and neither PYTHONUTF8=0 nor PYTHONCOERCECLOCALE=0.
    """
    result = host.run("cd / && %s -c %s", INTERPRETER, ROUND_TRIP)
    last_line = result.stdout.splitlines()[-1] if result.succeeded else '["", "", false]'
    text, names, kept = json.loads(last_line)
    require(
        kept and normalised(text) == normalised(names) == "utf8",
        "encoding of text and of file names",
        found=f"{text} and {names}" if text else answer(result),
        needed="UTF-8 and UTF-8",
    )


@rule(
    "PY013",
    "library-installs",
    level="fail",
    effect="disables-feature",
    feature="virtualenv",
    need="virtualenv",
    where="container",
    requires=("PY004", "SYS006", "SYS008"),
    step="cluster-libraries",
    sources=(
        "https://github.com/databricks/containers/pull/135",
        "https://docs.databricks.com/aws/en/libraries/cluster-libraries",
    ),
)
def test_library_installs(dcs_notebook_smoke: Smoke) -> None:
    """A cluster's libraries are installed with the pip of that environment, from runtime 13.3 on as
    the user `libraries`, who has no rights: a Python that only root can reach is "Permission
    denied" there, and a pip that is told to install elsewhere leaves the environment empty.

    Fix: install Python where everybody may read it, not below /root:
    `ENV UV_PYTHON_INSTALL_DIR=/opt/python`; remove `user`, `target` and `prefix` from pip's
    settings: `RUN rm /etc/pip.conf`.
    """
    require_stage(dcs_notebook_smoke, "library-install", "a wheel that is installed and imported")


def normalised(encoding: str) -> str:
    """Return an encoding's name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", encoding.lower())
