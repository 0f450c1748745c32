"""The one place where a remote launch reads the time and waits."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_SLEEP = 30.0
"""Seconds; the SDK obeys any Retry-After, and a server may ask for hours."""
LONGEST_PAUSE = 10.0


class Clock:
    """Real time, in the shape that the SDK takes for its own waits as well."""

    def time(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, however long a server asks for, at most `LONGEST_SLEEP`."""
        time.sleep(min(seconds, LONGEST_SLEEP))


def pauses() -> Iterator[float]:
    """Return the seconds to wait between one look and the next, growing."""
    return (min(LONGEST_PAUSE, 1.0 + step) for step in itertools.count())


def elapsed(seconds: float) -> str:
    """Return a duration as minutes and seconds, such as 0:42."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
