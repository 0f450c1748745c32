"""What the statements that import the runtime's modules take for a failure."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.python_imports import SPARK_CONNECT_MODULES, TRY_STATEMENTS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ("1.48.1", None),
        ("1.60.0", None),
        ("1.76.0rc1", None),
        ("2.0", None),
        ("1.48.0", "ImportError: Spark Connect refuses grpcio 1.48.0 as older than 1.48.1"),
        ("1.9.1", "ImportError: Spark Connect refuses grpcio 1.9.1 as older than 1.48.1"),
    ],
)
def test_grpcio_has_to_be_as_new_as_spark_connect_asks_for(
    tmp_path: Path, version: str, error: str | None
) -> None:
    tmp_path.joinpath("grpc.py").write_text(f"__version__ = {version!r}\n", encoding="utf-8")
    statements = json.dumps({"grpc": SPARK_CONNECT_MODULES["grpc"]})
    done = subprocess.run(
        [sys.executable, "-c", TRY_STATEMENTS, statements],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(done.stdout) == ["grpc", error]
