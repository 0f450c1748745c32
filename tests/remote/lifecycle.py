"""What the tests of launching share: orders, a bundle that is a few lines, nodes that run it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote.outcome import Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.remote.standin.nodes import Task

PASSWORD = "hunter2-in-the-registry"
DOCUMENT = {"format": 1, "plugin": "0.1.0", "entries": []}
SPEC: Mapping[str, Any] = {
    "spark_version": "15.4.x-scala2.12",
    "node_type_id": "i3.xlarge",
    "num_workers": 0,
    "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"},
    "custom_tags": {"ResourceClass": "SingleNode", "team": "images"},
    "data_security_mode": "SINGLE_USER",
    "docker_image": {
        "url": "registry.example.com/acme/ml:1.4",
        "basic_auth": {"username": "robot", "password": PASSWORD},
    },
}


def bundle(text: str = f"print({json.dumps(json.dumps(DOCUMENT))})") -> bytes:
    """Return a zip that Python runs, as the real one is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("__main__.py", text)
    return content.getvalue()


def order(mode: str = "jobs", **changes: Any) -> Order:
    """Return an order for a launch of our image."""
    values: dict[str, Any] = {
        "name": "dcs-0123abcd-deadbeef",
        "spec": SPEC,
        "mode": mode,
        "timeout": 1200.0,
        "bundle": bundle(),
        "arguments": ("--dcs-runtime=15.4",),
        "run_id": "0123abcd0123abcd",
        "with_image": True,
    }
    return Order(**{**values, **changes})


def run_task(task: Task) -> tuple[int, str]:
    """Run a job's Python file with this very Python."""
    done = subprocess.run(
        [sys.executable, "-", *task.parameters],
        input=task.content,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.decode()


class Python:
    """A notebook's Python, as commands reach it."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def __call__(self, code: str) -> str:
        """Return what code prints."""
        from contextlib import redirect_stdout

        written = io.StringIO()
        with redirect_stdout(written):
            exec(code, self.names)
        return written.getvalue()
