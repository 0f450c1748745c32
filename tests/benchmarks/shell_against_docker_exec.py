"""Time 100 package and file checks through our shell and through testinfra's Docker backend.

    python -m tests.benchmarks.shell_against_docker_exec IMAGE [ROUNDS]

Both ask the same container in turns, so that a slow moment of the machine meets both.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

import testinfra

from pytest_dcs.engines import ContainerSpec
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.host import make_host
from pytest_dcs.shell import Shell

if TYPE_CHECKING:
    from testinfra.host import Host

PACKAGES = ("bash", "coreutils", "dpkg", "libc6", "perl-base")
FILES = ("/etc/passwd", "/bin/bash", "/usr/bin", "/etc/hosts", "/no/such/file")
REPETITIONS = 5
ROUNDS = 5


def check_all(host: Host) -> list[object]:
    """Answer 100 questions: 5 times 10 about packages and 10 about files."""
    answers: list[object] = []
    for _ in range(REPETITIONS):
        for name in PACKAGES:
            package = host.package(name)
            answers += [package.is_installed, package.version]
        for path in FILES:
            file = host.file(path)
            answers += [file.exists, file.is_directory]
    return answers


def main(reference: str, rounds: int) -> None:
    """Print the median of each way and their ratio."""
    engine = DockerEngine()
    try:
        container = engine.launch(engine.resolve(reference, "never"), ContainerSpec("benchmark"))
        ways = {
            "shell": make_host(Shell(container, timeout=60)),
            "docker exec": testinfra.get_host(f"docker://{container.name}"),
        }
        answers = {name: check_all(host) for name, host in ways.items()}
        assert answers["shell"] == answers["docker exec"]
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, host in ways.items():
                started = time.perf_counter()
                check_all(host)
                seconds[name].append(time.perf_counter() - started)
    finally:
        engine.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:12} {median:7.3f} s  ({len(answers[name])} checks, {rounds} rounds)")
    print(f"{'ratio':12} {medians['docker exec'] / medians['shell']:7.1f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
