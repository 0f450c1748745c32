"""PY: the modules that the runtime's own Python code imports from the image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, answer, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testinfra.host import Host

INTERPRETER = "/databricks/python3/bin/python"
LANGUAGE_SERVER = "/databricks/python-lsp/bin/python"

NOTEBOOK_MODULES = {
    "IPython": "import IPython",
    "ipykernel": "import ipykernel",
    "traitlets": "import traitlets.config",
    "six": "import six",
    "numpy": "import numpy; numpy.arange(3).sum()",
    "pandas": "import pandas; pandas.DataFrame({'a': [1]}).sum()",
    "pyarrow": "import numpy, pyarrow; pyarrow.array(numpy.arange(3)).sum()",
}
SPARK_CONNECT_MODULES = {
    "grpc": "import grpc",
    "grpc_status": "import grpc_status.rpc_status",
    "google.protobuf": "import google.protobuf.message",
}
LANGUAGE_SERVER_MODULES = {"pylsp": "import pylsp", "pylsp_jsonrpc": "import pylsp_jsonrpc"}
"""Modules and a use of each: two libraries built for different NumPy versions may import well and
fail when one hands data to the other."""

TRY_STATEMENTS = """
import json, sys
for name, statement in json.loads(sys.argv[1]).items():
    error = None
    try:
        exec(statement, {})
    except BaseException as caught:
        first_line = (str(caught).strip().splitlines() or [""])[0]
        error = "{}: {}".format(type(caught).__name__, first_line)
    print(json.dumps([name, error]), flush=True)
"""


@rule(
    "PY007",
    "kernel-imports",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="ipykernel",
    where="container",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md",
        "https://github.com/databricks/containers/issues/150",
        "https://github.com/hail-is/hail/pull/15529",
    ),
)
def test_kernel_imports(host: Host) -> None:
    """Databricks lists what Python notebooks and PySpark need: "python, ipython, numpy, pandas,
    pyarrow, six, and ipykernel". The cluster is green without them and every cell fails: "Failure
    starting repl"; with a NumPy that a later layer upgraded: "numpy.dtype size changed, may
    indicate binary incompatibility".

    Fix: `RUN /databricks/python3/bin/pip install --no-deps -r requirements.txt` with the versions
    of the official image for the runtime, and let no later `pip install` change them.
    """
    require_none(import_failures(host, INTERPRETER, NOTEBOOK_MODULES))


@rule(
    "PY008",
    "language-server",
    level="fail",
    effect="disables-feature",
    feature="lsp",
    need="lsp",
    where="container",
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
    require_none(import_failures(host, LANGUAGE_SERVER, LANGUAGE_SERVER_MODULES))


@rule(
    "PY012",
    "spark-connect-imports",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="grpc",
    where="container",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/issues/177",
        "https://github.com/databricks/containers/issues/131",
    ),
)
def test_spark_connect_imports(host: Host) -> None:
    """The notebook kernel imports Spark Connect, and with it gRPC, when it starts. The cluster is
    green without them and every cell fails: "ImportError: grpcio >= 1.48.1 must be installed",
    "ModuleNotFoundError: No module named 'google'".

    Fix: `RUN /databricks/python3/bin/pip install grpcio grpcio-status googleapis-common-protos
    protobuf` in the versions of the official image for the runtime.
    """
    require_none(import_failures(host, INTERPRETER, SPARK_CONNECT_MODULES))


def import_failures(host: Host, interpreter: str, statements: Mapping[str, str]) -> Iterator[Item]:
    """Yield the modules whose statement fails; a crash is the fault of the first without a word."""
    result = host.run(
        "cd / && %s -s -W ignore -c %s %s", interpreter, TRY_STATEMENTS, json.dumps(statements)
    )
    outcomes = dict(json.loads(line) for line in result.stdout.splitlines() if line[:1] == "[")
    for module in statements:
        error = outcomes.get(module, answer(result))
        if error is not None:
            yield Item(f"import {module} in {interpreter}", error, "it imports and works")
        if module not in outcomes:
            return
