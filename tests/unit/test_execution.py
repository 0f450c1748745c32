"""A command of its own ends when it has ended, whatever it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import execution
from pytest_dcs.execution import Execution, Tail

from .test_probe import LocalContainer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0
LIMITS = (1000, 1000)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LocalContainer]:
    container = LocalContainer(tmp_path)
    yield container
    for process in container.processes:
        process.kill()


def start(container: LocalContainer, script: str) -> Execution:
    return Execution.start(container, ["/bin/sh", "-c", script], name="test", limits=LIMITS)


def test_what_it_wrote_and_how_it_ended_is_known(container: LocalContainer) -> None:
    command = start(container, "echo $$; echo problem >&2; exit 3")
    assert command.wait(PATIENCE)
    assert command.stdout.text() == f"{command.pid}\n"
    assert command.stderr.text() == "problem\n"
    assert command.returncode == 3


def test_what_it_leaves_behind_may_write_on(
    container: LocalContainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(execution, "DRAIN_TIMEOUT", 0.2)
    loop = "i=0; while [ $i -lt 80 ]; do echo tick; sleep 0.1; i=$((i+1)); done"
    command = start(container, f"({loop}) & exit 4")
    assert command.wait(5)
    assert command.returncode == 4


def test_nobody_waits_for_what_says_that_it_is_over(container: LocalContainer) -> None:
    command = Execution.start(
        container,
        ["/bin/sh", "-c", "echo all; sleep 600"],
        name="test",
        limits=LIMITS,
        is_over=lambda command, chunk: b"all" in chunk.data and command.stdout.text() == "all\n",
    )
    assert command.wait(PATIENCE)
    assert command.returncode is None


def test_one_that_hangs_is_not_over(container: LocalContainer) -> None:
    command = start(container, "sleep 600")
    assert not command.wait(0.2)
    command.kill()
    assert command.returncode == 137


def test_a_tail_keeps_the_end() -> None:
    tail = Tail(10)
    for number in range(100):
        tail.add(str(number % 10).encode())
    assert tail.text() == "0123456789"
