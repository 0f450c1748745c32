"""A run inside an image finds what a run with a container engine finds from outside."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import rules

from . import inside
from .conftest import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

WITHOUT_SPARK = "--dcs-ignore=SPK,DAT,NB012"
"""The runtime's Spark is out of reach in a container without network."""

DIFFERENT = {
    "FUS001": "whoever starts the job's container decides whether it gets /dev/fuse",
}
"""Rules about containers whose outcome may be another one inside, and why."""

LISTING = r"find / -xdev -path /proc -prune -o -path /tmp -prune -o -printf '%p %M %u %l\n' | sort"
LEFT_BY_PROGRAMS = ("/root/.local", "/root/.cache", "/home/spark-", "/run/", "/var/", "/etc/")
"""Where programs of the image write, whoever starts them: caches, a user and its home."""
NOT_COMPARED = (*LEFT_BY_PROGRAMS, inside.PACKAGES)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    inside.copy_plugin(folder)
    return folder


@pytest.fixture
def python_machine(docker_command: DockerCommand, packages: Path) -> Iterator[str]:
    with inside.machine(docker_command, sample("python"), packages) as name:
        yield name


def of_containers(found: inside.Findings) -> inside.Findings:
    catalogue = rules.catalogue()
    return {
        rule: finding
        for rule, finding in found.items()
        if catalogue[rule].where != "image" and rule not in DIFFERENT
    }


@contextmanager
def image_of(docker_command: DockerCommand, name: str, line: str) -> Iterator[str]:
    """Return a sample image, or one that a line of a Dockerfile makes of it."""
    image = sample(name)
    if not line:
        yield image
        return
    built = f"pytest-dcs-test/inside:{uuid.uuid4().hex}"
    docker_command("build", "--tag", built, "-", stdin=f"FROM {image}\n{line}\n".encode())
    try:
        yield built
    finally:
        docker_command("rmi", "--force", built)


@pytest.mark.parametrize(
    ("name", "line", "broken"),
    [
        ("python", "", set()),
        ("standard", "", set()),
        ("python", "RUN ln -sf dash /bin/bash", {"SYS002"}),
        ("python", "RUN SUDO_FORCE_REMOVE=yes apt-get purge --yes sudo", {"SYS006"}),
        ("python", "RUN rm /usr/local/bin/virtualenv", {"PY004"}),
    ],
    ids=["python", "standard", "bash-is-dash", "sudo-missing", "virtualenv-missing"],
)
def test_the_same_is_found_inside_and_outside(
    docker_command: DockerCommand,
    packages: Path,
    tmp_path: Path,
    name: str,
    line: str,
    broken: set[str],
) -> None:
    with image_of(docker_command, name, line) as image:
        compare(docker_command, packages, tmp_path, image, name, broken)


def compare(
    docker_command: DockerCommand,
    packages: Path,
    tmp_path: Path,
    image: str,
    profile: str,
    broken: set[str],
) -> None:
    options = ("--dcs-runtime=15.4", f"--dcs-profile={profile}", WITHOUT_SPARK)
    outside = inside.judge_outside(tmp_path, image, *options)
    with inside.machine(docker_command, image, packages) as machine:
        found = inside.judge_inside(docker_command, machine, *options)
    assert of_containers(inside.findings_of(found)) == of_containers(inside.findings_of(outside))
    failed = {rule for rule, (outcome, _) in inside.findings_of(found).items() if outcome == "fail"}
    assert failed == broken
    assert found["entries"][0]["verdict"] == outside["entries"][0]["verdict"]


def test_an_images_config_makes_its_rules_apply_inside(
    docker_command: DockerCommand, python_machine: str, tmp_path: Path
) -> None:
    image = sample("python")
    described = tmp_path / "image.json"
    described.write_text(docker_command("image", "inspect", image))
    docker_command("cp", str(described), f"{python_machine}:/run/image.json")
    options = ("--dcs-runtime=15.4", "--dcs-select=IMG,JVM003,PY005,SYS001", f"--dcs-image={image}")
    outside = inside.judge_outside(tmp_path, image, *options[:2])
    found = inside.judge_inside(
        docker_command, python_machine, *options, "--dcs-image-config=/run/image.json"
    )
    (entry,) = found["entries"]
    assert entry["image_id"] == json.loads(described.read_text())[0]["Id"]
    of_layers = {
        rule.id for rule in rules.catalogue().values() if rule.probe == rules.LAYERS_FIXTURE
    }
    expected = inside.findings_of(outside)
    for rule, finding in inside.findings_of(found).items():
        assert finding == (("not-applicable", ()) if rule in of_layers else expected[rule])


def test_the_machine_is_as_before(docker_command: DockerCommand, python_machine: str) -> None:
    def files() -> set[str]:
        listed = docker_command("exec", python_machine, "sh", "-c", LISTING).splitlines()
        return {line for line in listed if not line.startswith(NOT_COMPARED)}

    def processes() -> int:
        return len(docker_command("exec", python_machine, "ps", "-e").splitlines())

    files_before, processes_before = files(), processes()
    inside.judge_inside(docker_command, python_machine, "--dcs-runtime=15.4", WITHOUT_SPARK)
    assert files() == files_before
    assert processes() == processes_before


def test_nothing_is_laid_out_where_the_platform_has_been(
    docker_command: DockerCommand, python_machine: str
) -> None:
    listing = "find /databricks /local_disk0 /opt -printf '%p %M\\n' | grep -v /opt/pytest-with"
    script = "mkdir -p /databricks/spark /local_disk0 && " + listing
    before = docker_command("exec", python_machine, "sh", "-c", script)
    found = inside.judge_inside(
        docker_command,
        python_machine,
        "--dcs-runtime=15.4",
        "--dcs-select=SYS,PY0",
        environment={"DATABRICKS_RUNTIME_VERSION": "15.4"},
    )
    assert docker_command("exec", python_machine, "sh", "-c", listing) == before
    outcomes = {rule: outcome for rule, (outcome, _) in inside.findings_of(found).items()}
    assert outcomes["SYS002"] == outcomes["PY001"] == "pass"
    of_node = {rule: rules.catalogue()[rule].where for rule in outcomes}
    assert {outcomes[rule] for rule, where in of_node.items() if where == "container"} == {
        "not-applicable"
    }
    assert any("on a node of a cluster" in note for note in found["entries"][0]["notes"])
