"""How many pulls a registry still grants.

https://docs.docker.com/docker-hub/usage/pulls/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT, REMAINING = "ratelimit-limit", "ratelimit-remaining"
_VALUE = re.compile(r"\s*(?P<pulls>\d{1,9})\s*(?:;\s*w\s*=\s*(?P<window>\d{1,9}))?", re.ASCII)
"""As in `100;w=21600`: so many pulls in so many seconds."""


@dataclass(frozen=True)
class Budget:
    """Pulls that a registry grants to one account, or to one address without a login."""

    limit: int
    remaining: int
    window: int
    """Seconds in which `limit` counts; 0 where the registry does not say."""

    @property
    def window_text(self) -> str:
        """The window for people, ` in 6 hours`; empty where nobody knows it."""
        return f" in {self.window / 3600:g} hours" if self.window else ""


def read(headers: Mapping[str, str]) -> Budget | None:
    """Return what an answer says of the limit; None where there is none."""
    limit = _VALUE.match(headers.get(LIMIT, ""))
    remaining = _VALUE.match(headers.get(REMAINING, ""))
    known = limit or remaining
    if known is None:
        return None
    return Budget(
        limit=int((limit or known)["pulls"]),
        remaining=int((remaining or known)["pulls"]),
        window=int(known["window"] or 0),
    )
