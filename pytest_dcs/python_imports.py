"""Which modules the image's Python imports, as the runtime's own code does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testinfra.host import Host

INTERPRETER = "/databricks/python3/bin/python"

NOTEBOOK_MODULES = {
    "IPython": "import IPython",
    "ipykernel": "import ipykernel",
    "traitlets": "import traitlets.config",
    "six": "import six",
    "numpy": "import numpy; numpy.arange(3).sum()",
    "pandas": "import pandas; pandas.DataFrame({'a': [1]}).sum()",
    "pyarrow": "import numpy, pyarrow; pyarrow.array(numpy.arange(3)).sum()",
}
IMPORT_GRPC = """
import grpc, re
if tuple(map(int, re.findall("[0-9]+", grpc.__version__)[:3])) < (1, 48, 1):
    raise ImportError("Spark Connect refuses grpcio " + grpc.__version__ + " as older than 1.48.1")
"""
"""Does what `pyspark.sql.connect` does when it is imported, the same from Spark 3.4 to 4.2.

https://github.com/apache/spark/blob/v3.5.0/python/pyspark/sql/connect/utils.py
"""
SPARK_CONNECT_MODULES = {
    "grpc": IMPORT_GRPC,
    "grpc_status": "import grpc_status.rpc_status",
    "google.protobuf": "import google.protobuf.message",
}
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


class Imports:
    """What one interpreter imports; whatever is asked of it is tried once."""

    def __init__(
        self, host: Host, interpreter: str, together: Mapping[str, str] | None = None
    ) -> None:
        """Take the modules that are tried with the first question: a new process costs most."""
        self._host = host
        self._interpreter = interpreter
        self._waiting = dict(together or {})
        self._errors: dict[str, str | None] = {}

    def failures(self, statements: Mapping[str, str]) -> Iterator[Item]:
        """Yield the modules whose statement fails."""
        if not statements.keys() <= self._errors.keys():
            self._waiting.update(statements)
            self._try_what_waits()
        for module in statements:
            error = self._errors[module]
            if error is not None:
                subject = f"import {module} in {self._interpreter}"
                yield Item(subject, error, "it imports and works")

    def _try_what_waits(self) -> None:
        """Try until each module has an outcome; a crash is that of the first without a word."""
        while self._waiting:
            statements = json.dumps(self._waiting)
            result = self._host.run(
                "cd / && %s -s -W ignore -c %s %s", self._interpreter, TRY_STATEMENTS, statements
            )
            outcomes = dict(
                json.loads(line) for line in result.stdout.splitlines() if line[:1] == "["
            )
            self._errors |= outcomes
            waiting = [name for name in self._waiting if name not in outcomes]
            if waiting:
                self._errors[waiting[0]] = answer(result)
            self._waiting = {name: self._waiting[name] for name in waiting[1:]}
