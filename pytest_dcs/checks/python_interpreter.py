"""PY: what belongs to the interpreters of /databricks and to the virtualenv of PATH."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dcs.checks.python_imports import LANGUAGE_SERVER
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_dcs.inventory import Python
    from pytest_dcs.python_packages import PythonPackages

PYTHON_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/python/Dockerfile"
MINOR_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"
NO_UPDATE_OPTION = re.compile(r"--no-periodic-update\s.*?\(default: (True|False)", re.DOTALL)
"""What the help says of it: its default takes the settings of the image into account."""


@rule(
    "PY024",
    "standard-library-complete",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001", "PY007"),
    sources=(
        "https://github.com/astral-sh/uv/issues/8879",
        "https://docs.python.org/3/using/configure.html#build-requirements",
    ),
)
def test_standard_library_complete(dcs_python_packages: PythonPackages) -> None:
    """A Python that was built where headers were missing, or copied from a stage without the
    system's libraries, starts and lacks modules: "No module named '_sqlite3'", "ImportError:
    libbz2.so.1.0: cannot open shared object file".

    Fix: install the distribution's Python, `RUN apt-get install -y python3.11`, or before a build
    of your own `libbz2-dev libffi-dev liblzma-dev libncurses-dev libreadline-dev libsqlite3-dev
    libssl-dev uuid-dev zlib1g-dev`, and the libraries themselves in the last stage.
    """
    require_none(
        Item(f"import {name}", error, "a module of the standard library")
        for name, error in dcs_python_packages.incomplete.items()
    )


@rule(
    "PY025",
    "pkg-resources",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/mlops-stacks/issues/215",
        "https://github.com/mlrun/mlrun/pull/9292",
        PYTHON_DOCKERFILE,
    ),
)
def test_pkg_resources(dcs_python_packages: PythonPackages) -> None:
    """All runtimes have a setuptools with pkg_resources, which many packages still import. Version
    82 has dropped it, and an environment may have no setuptools at all: "ModuleNotFoundError: No
    module named 'pkg_resources'".

    Fix: `RUN /databricks/python3/bin/pip install 'setuptools<82'`
    """
    setuptools = dcs_python_packages.installed.get("setuptools")
    require(
        dcs_python_packages.pkg_resources,
        "pkg_resources",
        found=str(setuptools) if setuptools else "no setuptools",
        needed="setuptools before 82",
    )


@rule(
    "PY026",
    "virtualenv-does-not-update",
    level="advice",
    effect="disables-feature",
    feature="virtualenv",
    need="virtualenv",
    where="container",
    requires=("PY004",),
    sources=(
        PYTHON_DOCKERFILE,
        "https://virtualenv.pypa.io/en/latest/user_guide.html#wheels",
    ),
)
def test_virtualenv_does_not_update(host: Host) -> None:
    """Every 14 days virtualenv looks for newer pip and setuptools, in a process of its own behind
    the back of whoever uses it: it "may interfere with user cleanup and may allow users to
    inadvertently update pip". The official images switch it off.

    Fix: `ENV VIRTUALENV_NO_PERIODIC_UPDATE=1`
    """
    switched_off = NO_UPDATE_OPTION.search(host.run("virtualenv --help").stdout)
    require(
        switched_off is None or switched_off[1] == "True",
        "periodic update of virtualenv",
        found="on",
        needed="off",
    )


@rule(
    "PY027",
    "language-server-python",
    level="advice",
    effect="disables-feature",
    feature="lsp",
    need="lsp",
    where="cluster",
    requires=("PY001", "PY002", "PY008"),
    sources=(
        PYTHON_DOCKERFILE,
        "https://github.com/databricks/containers/pull/189",
    ),
)
def test_language_server_python(host: Host, dcs_python: Python) -> None:
    """The language server reads cells by the grammar and the modules of its own Python. One that
    stayed behind marks what is right as wrong, and offers what is not there.

    Fix: make both with the same Python: `RUN virtualenv -p python3.11 /databricks/python-lsp`
    """
    minor = ".".join(dcs_python.version.split(".")[:2])
    found = host.run("cd / && %s -I -c %s", LANGUAGE_SERVER, MINOR_VERSION).stdout.strip()
    if not found:
        raise NotApplicable(f"{LANGUAGE_SERVER} did not tell its version")
    require(
        found == minor,
        f"Python of {LANGUAGE_SERVER}",
        found=found,
        needed=f"{minor}, as in /databricks/python3",
    )
