"""Signals while a cluster lives."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.remote.signals import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_as_ctrl_c_does(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt, match=number.name), guarded(str) as guard:
        send(number)
    assert guard.interrupted
    assert not guard.in_a_hurry


def test_while_things_are_removed_a_signal_says_what_is_at_stake_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with guarded(lambda: "cluster c-1 may still run") as guard:
        guard.removing()
        send(signal.SIGINT)
        send(signal.SIGTERM)
        assert guard.in_a_hurry
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert capsys.readouterr().err.count("dcs: cluster c-1 may still run\n") == 3


def test_the_second_signal_never_interrupts_what_the_first_one_started() -> None:
    with guarded(str) as guard:
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        send(signal.SIGINT)
    assert guard.in_a_hurry


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with guarded(str) as guard:
        send(signal.SIGHUP)
    assert not guard.interrupted
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_all_is_afterwards_as_it_was() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with guarded(str):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_other_threads_change_nothing() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[object] = []

    def work() -> None:
        with guarded(str):
            seen.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
