"""What all messages that stop a run have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # pytest's class is final to type checkers; only a real subclass gives exit status 4.
    UsageError = Exception
else:
    UsageError = pytest.UsageError


class SetupError(UsageError):
    """Something outside the image keeps the run from judging it."""

    def __init__(self, what: str, *, cause: str, next_step: str) -> None:
        super().__init__(f"dcs: {what}\n{cause}\n{next_step}")
