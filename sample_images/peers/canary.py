"""A replay of NVIDIA container-canary's manifest for Databricks: its container and its commands.

The tool itself is no Python package. As it does, this starts one container, runs all checks in it
at a time, each by a `docker exec`, and takes a check as passed whose command ends with 0:
https://github.com/NVIDIA/container-canary/blob/4c667f7/internal/validator/exec.go
"""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_dcs.toml_files import read_toml
from sample_images.peers.answer import Answer, run, started

MANIFEST = Path(__file__).with_name("canary.toml")
PUBLISHED = "https://github.com/NVIDIA/container-canary/blob/4c667f7/examples/databricks.yaml"


def given() -> str:
    """Return what is replayed."""
    return f"the commands of [its published manifest for Databricks]({PUBLISHED}), unchanged"


def measure(reference: str, _: frozenset[str]) -> Answer:
    """Return what the manifest says of an image, the same for all features."""
    manifest = read_toml(MANIFEST)
    start = time.monotonic()
    with started(reference, manifest["command"]) as container:
        if container is None:
            return Answer(("the container does not start",), time.monotonic() - start)
        with ThreadPoolExecutor(len(manifest["checks"])) as pool:
            passed = pool.map(lambda check: _passes(container, check), manifest["checks"])
            checks = zip(manifest["checks"], passed, strict=True)
            red = tuple(check["description"] for check, is_green in checks if not is_green)
    return Answer(red, time.monotonic() - start)


def _passes(container: str, check: dict[str, Any]) -> bool:
    try:
        return run(["docker", "exec", container, *check["command"]]).returncode == 0
    except subprocess.TimeoutExpired:
        return False
