"""Runs testinfra's own checks of the documented list on a container, the way its manual says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

from sample_images.peers.answer import Answer, run, started

CHECKS = Path(__file__).with_name("documented_list.py")
NOT_GREEN = {"failure", "error"}


def given() -> str:
    """Return which version runs, and with what."""
    return (
        f"{version('pytest-testinfra')}, the documented requirements as `is_installed` and "
        f"`exists` [checks](../{CHECKS.relative_to(CHECKS.parents[2])})"
    )


def measure(reference: str, features: frozenset[str]) -> Answer:
    """Return what the checks of an image's features say of it."""
    start = time.monotonic()
    with (
        started(reference, ["sleep", "infinity"]) as container,
        tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder,
    ):
        if container is None:
            return Answer(("the container does not start",), time.monotonic() - start)
        report = Path(folder, "junit.xml")
        try:
            _run_pytest(container, features, report)
        except subprocess.TimeoutExpired as error:
            red = (f"it has not ended within {error.timeout:.0f} s",)
            return Answer(red, time.monotonic() - start)
        return Answer(_red(report, container), time.monotonic() - start)


def _run_pytest(container: str, features: frozenset[str], report: Path) -> None:
    """Run pytest with testinfra's plugin, and without ours or what this project configures."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run(
        [
            *(sys.executable, "-m", "pytest", str(CHECKS), f"--hosts=docker://{container}"),
            *("-p", "no:dcs", "-p", "no:xdist", "-p", "no:cacheprovider"),
            *("--config-file=/dev/null", "--rootdir=.", "--noconftest", f"--junitxml={report}"),
        ],
        cwd=report.parent,
        env={**own, "FEATURES": " ".join(sorted(features)), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _red(report: Path, container: str) -> tuple[str, ...]:
    """Return the checks of a report that are not green, as `package bash`."""
    if not report.is_file():
        return ("pytest writes no report",)
    cases = ET.parse(report).getroot().iter("testcase")
    red = [case.attrib["name"] for case in cases if {each.tag for each in case} & NOT_GREEN]
    names = (re.sub(rf"\[docker://{container}-?(.*)\]", r" \1", name) for name in red)
    return tuple(name.removeprefix("test_").strip() for name in names)
