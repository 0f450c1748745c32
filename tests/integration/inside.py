"""Runs of the plugin inside an image, by `--dcs-engine=local`, and what they are compared with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

import pytest_dcs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .conftest import DockerCommand

PACKAGES = "/opt/pytest-with-dcs"
"""Where the plugin lies in the image, with all that it needs."""
RESULT = "/run/dcs.json"
TIMEOUT = 300.0

START = """
import sys
sys.path[:0] = [%r]
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
"""Starts pytest without anything of the image's own Python but its standard library."""

Findings = dict[str, tuple[str, tuple[tuple[str, str, str], ...]]]
"""Outcome and items by rule."""


def copy_plugin(target: Path) -> None:
    """Copy the plugin and its dependencies, as this environment has them."""
    for name in dependencies("pytest-dcs"):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            source = Path(str(distribution.locate_file(file)))
            if ".." not in file.parts and source.suffix != ".pyc" and source.is_file():
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)
    package = Path(pytest_dcs.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, target / package.name, ignore=ignored, dirs_exist_ok=True)


def dependencies(name: str) -> set[str]:
    """Return a distribution and all that it needs on this interpreter."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for text in metadata.requires(current) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found - {"pytest-dcs"}


@contextmanager
def machine(docker_command: DockerCommand, image: str, packages: Path) -> Iterator[str]:
    """Start an image as a job of a pipeline does, with the plugin in it; nothing is reachable."""
    name = f"pytest-dcs-test-inside-{uuid.uuid4().hex[:12]}"
    docker_command("network", "create", "--internal", name)
    try:
        docker_command(
            *("run", "--detach", "--init", "--name", name, "--network", name),
            *("--user", "0", "--entrypoint", "/bin/sh", image, "-c", "sleep 3600"),
        )
        docker_command("cp", f"{packages}/.", f"{name}:{PACKAGES}")
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
        subprocess.run(["docker", "network", "rm", name], capture_output=True, check=False)


def judge_inside(
    docker_command: DockerCommand,
    name: str,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run the plugin in a container that `machine` has started, and return its document."""
    variables = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(environment or {})}
    completed = subprocess.run(
        [
            *("docker", "exec", "--workdir", "/tmp"),
            *(f"--env={key}={value}" for key, value in variables.items()),
            *(name, "/usr/bin/python3", "-I", "-S", "-c", START % PACKAGES),
            *("-p", "pytest_dcs.plugin", "-p", "no:cacheprovider", "--dcs-engine=local"),
            *(f"--dcs-json={RESULT}", *options),
        ],
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert completed.returncode in {0, 1, 75}, completed.stdout.decode() + completed.stderr.decode()
    document: dict[str, Any] = json.loads(docker_command("exec", name, "cat", RESULT))
    return document


def judge_outside(folder: Path, image: str, *options: str) -> dict[str, Any]:
    """Run the plugin with the Docker engine, and return its document."""
    result = folder / "outside.json"
    completed = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--dcs-image={image}"),
            *(f"--dcs-json={result}", *options),
        ],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "CI": "true"},
        timeout=TIMEOUT,
        check=False,
    )
    assert completed.returncode in {0, 1, 75}, completed.stdout.decode() + completed.stderr.decode()
    document: dict[str, Any] = json.loads(result.read_text())
    return document


def findings_of(document: dict[str, Any]) -> Findings:
    """Return what a run with one entry has found."""
    (entry,) = document["entries"]
    return {
        finding["rule"]: (
            finding["outcome"],
            tuple((each["subject"], each["found"], each["needed"]) for each in finding["items"]),
        )
        for finding in entry["findings"]
    }
