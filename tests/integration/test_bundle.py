"""The one file in containers without network: it finds what a run from outside finds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from platformdirs import user_cache_path

from pytest_dcs import rules
from pytest_dcs.bundle import builder
from pytest_dcs.collect import SPARK_PROBES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

RUNTIME = "--dcs-runtime=15.4"
WITHOUT_SPARK = "--dcs-ignore=SPK,NB012,GPU039"
"""What takes long; inside it is left out, since no container of ours has a cached Spark."""
HOST = "dcs-node"
IN_CONTAINER = "/opt/dcs.pyz"
TOOLS_KEEP = ("/home/", "/root/")
"""Where a run leaves the notebook user's home, and the caches of the image's own tools."""
WAIT = 300.0

NO_PIP = """
FROM pytest-dcs/python
RUN find / -xdev \\( -path '*-packages/pip' -o -path '*-packages/pip-*' -o -path '*/bin/pip*' \\
    -o -path '*/ensurepip' \\) -prune -exec rm -rf {} +
"""

LAYER_RULES = frozenset({"GPU013", "IMG014", "IMG015", "SEC002", "SEC003", "SEC004", "SEC007"}) | {
    "SEC008"
}
"""Exceptions: a running image does not show what its layers were."""


class Container(NamedTuple):
    """A container of an image that does nothing by itself."""

    name: str

    def run(self, *command: str, environment: Mapping[str, str] = {}) -> Run:
        """Run a command in it, with its streams apart."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        done = subprocess.run(
            ["docker", "exec", *variables, self.name, *command],
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def files(self) -> set[str]:
        """Return all paths that are no process's and no cache's of a library's own."""
        return {*self.run("find", "/", "-xdev", "-not", "-path", "/proc/*").stdout.splitlines()}


class Run(NamedTuple):
    status: int
    stdout: str
    stderr: str

    @property
    def entry(self) -> dict[str, Any]:
        """The one entry of the document on stdout."""
        (entry,) = json.loads(self.stdout)["entries"]
        return dict(entry)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "dcs.pyz"
    builder.build(path, user_cache_path("pytest-dcs"), lambda _: None)
    return path


@contextmanager
def started(docker_command: DockerCommand, image: str, bundle: Path) -> Iterator[Container]:
    """Start an image with the file in it, and without network."""
    # A host name that resolves is the job's own affair, as it is the platform's on a node.
    options = ("--network=none", f"--hostname={HOST}", f"--add-host={HOST}:127.0.0.1")
    name = docker_command("run", "--detach", "--init", *options, image, "sleep", "900")
    try:
        docker_command("cp", str(bundle), f"{name}:{IN_CONTAINER}")
        yield Container(name)
    finally:
        docker_command("rm", "--force", name)


@pytest.fixture(scope="module")
def no_pip_image(docker_command: DockerCommand, python_image: str) -> Iterator[str]:
    name = "pytest-dcs-test/no-pip"
    docker_command("build", "--tag", name, "-", stdin=NO_PIP.replace(
        "pytest-dcs/python", python_image).encode())  # fmt: skip
    yield name
    docker_command("rmi", "--force", name)


def outside(image: str, folder: Path, *options: str) -> dict[str, Any]:
    """Judge an image with the Docker engine and return the document's entry."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--dcs-image={image}"),
            *(RUNTIME, WITHOUT_SPARK, "--dcs-json=outside.json", *options),
        ],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        timeout=WAIT,
        check=False,
    )
    (entry,) = json.loads((folder / "outside.json").read_text())["entries"]
    return dict(entry)


def outcomes(entry: Mapping[str, Any]) -> dict[str, tuple[str, Any]]:
    return {each["rule"]: (each["outcome"], each["items"]) for each in entry["findings"]}


def of_containers(found: Mapping[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    catalogue = rules.catalogue()
    return {rule: each for rule, each in found.items() if catalogue[rule].where != "image"}


@pytest.mark.parametrize("image", ["python_image", "no_pip_image"])
def test_it_finds_inside_what_is_found_outside(
    docker_command: DockerCommand,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    bundle: Path,
    image: str,
) -> None:
    name: str = request.getfixturevalue(image)
    (tmp_path / "image.json").write_text(docker_command("image", "inspect", name))
    with started(docker_command, name, bundle) as container:
        docker_command("cp", str(tmp_path / "image.json"), f"{container.name}:/opt/image.json")
        run = container.run(
            *("python3", "-I", "-S", IN_CONTAINER, RUNTIME, "--dcs-image-config=/opt/image.json")
        )
    there = outside(name, tmp_path)
    inside, expected = outcomes(run.entry), outcomes(there)
    assert of_containers(inside) == of_containers(expected)
    differing = {rule for rule in expected if inside[rule] != expected[rule]}
    assert differing <= LAYER_RULES
    assert {inside[rule][0] for rule in differing} <= {"not-applicable"}
    assert run.entry["verdict"] == there["verdict"]
    assert run.status == (0 if there["verdict"] == "releasable" else 1), run.stderr


def test_an_image_without_pip_is_judged_by_it_and_fails_for_that(
    docker_command: DockerCommand, no_pip_image: str, bundle: Path
) -> None:
    with started(docker_command, no_pip_image, bundle) as container:
        assert container.run("python3", "-m", "pip", "--version").status != 0
        run = container.run("python3", IN_CONTAINER, RUNTIME, "--dcs-select=PY")
    assert run.status == 1
    failing = {rule for rule, (outcome, _) in outcomes(run.entry).items() if outcome == "fail"}
    assert failing == {"PY003"}


def test_a_run_inside_leaves_nothing_of_its_own(
    docker_command: DockerCommand, python_image: str, bundle: Path
) -> None:
    with started(docker_command, python_image, bundle) as container:
        before = container.files()
        run = container.run("python3", "-I", "-S", IN_CONTAINER, RUNTIME)
        assert run.status == 0, run.stderr
        left = container.files() ^ before
    assert {path for path in left if not path.startswith(TOOLS_KEEP)} == set()


def test_the_image_s_own_python_setup_does_not_matter(
    docker_command: DockerCommand, python_image: str, bundle: Path
) -> None:
    hostile = {
        "PYTHONOPTIMIZE": "2",
        "PYTHONPATH": "/opt/hostile",
        "PYTEST_ADDOPTS": "--no-such-option",
        "PYTEST_PLUGINS": "no_such_plugin",
    }
    with started(docker_command, python_image, bundle) as container:
        container.run("sh", "-c", "mkdir /opt/hostile; echo 1/0 > /opt/hostile/pytest.py")
        run = container.run(
            *("python3", IN_CONTAINER, RUNTIME, "--dcs-select=SYS"), environment=hostile
        )
    assert run.status == 0, run.stderr
    assert run.entry["verdict"] == "releasable"


def test_rules_that_need_spark_are_left_out_and_the_document_says_so(
    docker_command: DockerCommand, python_image: str, bundle: Path
) -> None:
    with started(docker_command, python_image, bundle) as container:
        run = container.run(
            *("python3", "-I", "-S", IN_CONTAINER, RUNTIME, "--dcs-select=SPK,SYS001")
        )
    assert run.status == 0, run.stderr
    assert [*outcomes(run.entry)] == ["SYS001"]
    needing = [
        each
        for each in rules.catalogue().values()
        if each.id.startswith("SPK")
        and each.probe in SPARK_PROBES
        and each.probe != rules.DEEP_PROBE
    ]
    assert any(f"{len(needing)} checks need Spark" in note for note in run.entry["notes"])


def test_a_document_from_inside_completes_a_run_outside(
    docker_command: DockerCommand, python_image: str, tmp_path: Path, bundle: Path
) -> None:
    with started(docker_command, python_image, bundle) as container:
        run = container.run(
            *("python3", "-I", "-S", IN_CONTAINER, RUNTIME, "--dcs-select=SYS,PY"),
            f"--dcs-image={python_image}",
        )
    (tmp_path / "inside.json").write_text(run.stdout)
    whole = outside(python_image, tmp_path, "--dcs-select=IMG,SYS001", "--dcs-merge=inside.json")
    seen = {each["rule"]: each["seen"] for each in whole["findings"]}
    assert seen["PY001"] == "inside (inside.json)"
    assert seen["IMG001"] == seen["SYS001"] == ""
    assert whole["verdict"] == "releasable"
    assert not any(each["differs"] for each in whole["findings"])


def test_a_signal_ends_the_run_and_leaves_nothing(
    docker_command: DockerCommand, python_image: str, bundle: Path
) -> None:
    with started(docker_command, python_image, bundle) as container:
        before = container.files()
        process = subprocess.Popen(
            ["docker", "exec", container.name, "python3", "-I", "-S", IN_CONTAINER, RUNTIME],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                until_it_judges(container)
                container.run("sh", "-c", f"kill -{signal.SIGTERM.value} $(cat /opt/pid)")
                process.communicate(timeout=WAIT)
            finally:
                process.kill()
        assert process.returncode == 128 + signal.SIGTERM
        left = container.files() - before - {"/opt/pid"}
    assert {path for path in left if not path.startswith(TOOLS_KEEP)} == set()


def until_it_judges(container: Container) -> None:
    """Wait until the run has laid out what a node has, and note its process's number."""
    find = (
        "for folder in /proc/[0-9]*; do "
        f"case $(tr '\\0' ' ' < $folder/cmdline 2>/dev/null) in python3*{IN_CONTAINER}*) "
        "basename $folder > /opt/pid; test -e /local_disk0 && exit 0;; esac; done; exit 1"
    )
    deadline = time.monotonic() + WAIT
    while container.run("sh", "-c", find).status != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
