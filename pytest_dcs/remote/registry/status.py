"""What can come of asking a registry for an image."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """One outcome; the nodes of a cluster would meet the same, but for the last three."""

    FOUND = "found"
    NOT_FOUND = "not found"
    BAD_CREDENTIALS = "bad credentials"
    LOGIN_WANTED = "login wanted"
    DENIED = "denied"
    RATE_LIMITED = "rate limited"
    """With a login; without one the limit is that of this machine's address."""
    UNREACHABLE = "unreachable"
    UNKNOWABLE = "unknowable"
    """Nothing outside the workspace can ask what the nodes will ask."""
