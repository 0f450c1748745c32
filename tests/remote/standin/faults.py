"""Faults of the wire: what goes wrong with the n-th request of a kind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Literal

Kind = Literal["status", "closed", "half", "dropped", "stalled"]
"""`status` answers an error and does nothing; `closed` ends the connection and does nothing; the
others do what was asked: `half` breaks off in the answer, `dropped` gives none, and `stalled` gives
it when the test says so."""

STALL_LIMIT = 60.0
"""Real seconds after which a stalled answer is given all the same."""
CODES = {
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    403: "PERMISSION_DENIED",
}


@dataclass
class Fault:
    """One fault, by the method and the end of the path of the requests that it meets."""

    method: str
    path: str
    """A pattern, such as `*/clusters/create`."""
    kind: Kind
    status: int = 500
    retry_after: int | None = None
    message: str = "The service has a fault."
    on: int = 1
    """The first of the fitting requests that it meets, counted from one."""
    times: int = 1
    """How many it meets."""
    seen: int = 0
    met: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def meets(self, method: str, path: str) -> bool:
        """Count a request, and say whether the fault is for it."""
        if method != self.method or not fnmatch(path, self.path):
            return False
        self.seen += 1
        is_met = self.on <= self.seen < self.on + self.times
        self.met += is_met
        return is_met

    def release(self) -> None:
        """Let stalled answers go."""
        self.released.set()

    def hold(self) -> None:
        """Wait until the answer is let go."""
        self.released.wait(STALL_LIMIT)
