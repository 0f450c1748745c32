"""Databricks' documented list as plain testinfra checks: `pytest documented_list.py --hosts=…`.

https://docs.databricks.com/compute/custom-containers.html#option-2-build-your-own-docker-base, and
what the official images of runtime 15.4 set beside it:
https://github.com/databricks/containers/tree/release-15.4-LTS/ubuntu
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testinfra.host import Host

FEATURES = os.environ["FEATURES"].split()
"""What the image is meant to offer."""

PACKAGES = {
    "jvm": ["acl", "bash", "coreutils", "iproute2", "procps", "sudo"],
    "fuse": ["fuse"],
    "ssh": ["openssh-server"],
    "r": ["r-base-core"],
}
COMMANDS = {
    "jvm": ["java", "javac", "bash", "ip", "nohup", "ps", "sudo", "setfacl"],
    "virtualenv": ["virtualenv"],
    "fuse": ["fusermount"],
    "r": ["R"],
}
FILES = {
    "virtualenv": ["/databricks/python3/bin/activate", "/databricks/python3/bin/python3"],
    "python": ["/databricks/python3/bin/pip"],
    "lsp": ["/databricks/python-lsp/bin/python"],
    "ssh": ["/usr/sbin/sshd"],
}
MODULES = {"python": ["ipython", "ipykernel", "numpy", "pandas", "pyarrow", "six"]}
VARIABLES = {
    "jvm": ["LANG=C.UTF-8", "LC_ALL=C.UTF-8", "JNAME=zulu17-ca-amd64"],
    "python": ["PYSPARK_PYTHON=/databricks/python3/bin/python3"],
    "fuse": ["USER=root"],
}


def wanted(table: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what a table names for this image."""
    return [each for feature in FEATURES for each in table.get(feature, ())]


def test_user(host: Host) -> None:
    """Commands run as root."""
    assert host.user().name == "root"


def test_libraries(host: Host) -> None:
    """The account that installs cluster libraries is there."""
    assert host.user("libraries").exists


@pytest.mark.parametrize("name", wanted(PACKAGES))
def test_package(host: Host, name: str) -> None:
    """A package of the list is installed."""
    assert host.package(name).is_installed


@pytest.mark.parametrize("name", wanted(COMMANDS))
def test_command(host: Host, name: str) -> None:
    """A command of the list is on PATH."""
    assert host.exists(name)


@pytest.mark.parametrize("path", wanted(FILES))
def test_file(host: Host, path: str) -> None:
    """A file of the list exists."""
    assert host.file(path).exists


@pytest.mark.parametrize("name", wanted(MODULES))
def test_module(host: Host, name: str) -> None:
    """A package of the list is installed in the environment."""
    assert host.pip(name, pip_path="/databricks/python3/bin/pip").is_installed


@pytest.mark.parametrize("variable", wanted(VARIABLES))
def test_variable(host: Host, variable: str) -> None:
    """A variable of the list is set."""
    name, _, value = variable.partition("=")
    assert host.environment().get(name) == value
