"""Signals that would end the process while a cluster lives, made to let it be removed first."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
PATIENT_WITH = 2
"""Signals after which a further one ends the teardown as well."""


class Guard:
    """Whether and how often the user has asked for the end."""

    def __init__(self, farewell: Callable[[], str]) -> None:
        self._farewell = farewell
        self._removing = False
        self.asked = 0

    @property
    def interrupted(self) -> bool:
        """Whether the end was asked for at all: then only what costs money is still done."""
        return self.asked > 0

    @property
    def in_a_hurry(self) -> bool:
        """Whether the end was asked for once more, while things were being removed."""
        return self.asked > 1

    def removing(self) -> None:
        """From now on, let signals no longer interrupt."""
        self._removing = True

    def heard(self, number: int, _frame: FrameType | None) -> None:
        """Interrupt the main thread, or go on with the teardown and say what is at stake."""
        self.asked += 1
        if not self._removing and self.asked == 1:
            raise KeyboardInterrupt(signal.Signals(number).name)
        sys.stderr.write(f"\ndcs: {self._farewell()}\n")
        sys.stderr.flush()
        if self.asked > PATIENT_WITH:
            raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def guarded(farewell: Callable[[], str]) -> Iterator[Guard]:
    """Turn the signals that end a process into KeyboardInterrupt in its main thread.

    pytest then tears its fixtures down; by itself it does so for SIGINT alone, and a signal that
    is ignored, as under nohup, stays ignored. Elsewhere than in the main thread nothing changes.
    """
    guard = Guard(farewell)
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, guard.heard)
    try:
        yield guard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
