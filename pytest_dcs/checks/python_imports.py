"""PY: the modules that the runtime's own Python code imports from the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.python_imports import NOTEBOOK_MODULES, SPARK_CONNECT_MODULES, Imports
from pytest_dcs.rules import require_none, rule

if TYPE_CHECKING:
    from testinfra.host import Host

LANGUAGE_SERVER = "/databricks/python-lsp/bin/python"
LANGUAGE_SERVER_MODULES = {"pylsp": "import pylsp", "pylsp_jsonrpc": "import pylsp_jsonrpc"}


@rule(
    "PY007",
    "kernel-imports",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md",
        "https://github.com/databricks/containers/issues/150",
        "https://github.com/hail-is/hail/pull/15529",
    ),
)
def test_kernel_imports(dcs_python_imports: Imports) -> None:
    """Databricks lists what Python notebooks and PySpark need: "python, ipython, numpy, pandas,
    pyarrow, six, and ipykernel". The cluster is green without them and every cell fails: "Failure
    starting repl"; with a NumPy that a later layer upgraded: "numpy.dtype size changed, may
    indicate binary incompatibility".

    Fix: `RUN /databricks/python3/bin/pip install --no-deps -r requirements.txt` with the versions
    of the official image for the runtime, and let no later `pip install` change them.
    """
    require_none(dcs_python_imports.failures(NOTEBOOK_MODULES))


@rule(
    "PY008",
    "language-server",
    level="fail",
    effect="disables-feature",
    feature="lsp",
    need="lsp",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/issues/171",
        "https://github.com/databricks/containers/pull/189",
    ),
)
def test_language_server(host: Host) -> None:
    """The runtime starts a language server from /databricks/python-lsp. Where it is missing every
    Python cell failed with a Py4JException from lsp_manager.py, `print('hello')` included.

    Fix: `RUN virtualenv -p python3.11 /databricks/python-lsp --no-download &&
    /databricks/python-lsp/bin/pip install python-lsp-server python-lsp-jsonrpc`
    """
    require_none(Imports(host, LANGUAGE_SERVER).failures(LANGUAGE_SERVER_MODULES))


@rule(
    "PY012",
    "spark-connect-imports",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="grpc",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/issues/177",
        "https://github.com/databricks/containers/issues/131",
    ),
)
def test_spark_connect_imports(dcs_python_imports: Imports) -> None:
    """The notebook kernel imports Spark Connect, and with it gRPC, when it starts. The cluster is
    green without them and every cell fails: "ImportError: grpcio >= 1.48.1 must be installed",
    "ModuleNotFoundError: No module named 'google'".

    Fix: `RUN /databricks/python3/bin/pip install grpcio grpcio-status googleapis-common-protos
    protobuf` in the versions of the official image for the runtime.
    """
    require_none(dcs_python_imports.failures(SPARK_CONNECT_MODULES))
