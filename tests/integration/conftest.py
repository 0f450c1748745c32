"""What the tests share that talk to a real container engine."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_dcs.engines.docker import DockerEngine

if TYPE_CHECKING:
    from collections.abc import Iterator


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has started the tests in the background, and all that they start would ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class DockerCommand(Protocol):
    """The Docker command line."""

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run `docker` with these arguments and return its output; fails the test otherwise."""


@pytest.fixture(scope="session")
def docker_command() -> DockerCommand:
    def run(*arguments: str, stdin: bytes = b"") -> str:
        completed = subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, check=False
        )
        assert completed.returncode == 0, completed.stderr.decode()
        return completed.stdout.decode().strip()

    return run


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


def sample(name: str) -> str:
    reference = f"pytest-dcs/{name}"
    inspected = subprocess.run(
        ["docker", "image", "inspect", reference], capture_output=True, check=False
    )
    if inspected.returncode != 0:
        pytest.skip(f"needs the image {reference}: build it with `./dev samples`")
    return reference


@pytest.fixture(scope="session")
def minimal_image() -> str:
    return sample("minimal")


@pytest.fixture(scope="session")
def python_image() -> str:
    return sample("python")


@pytest.fixture(scope="session")
def standard_image() -> str:
    return sample("standard")
