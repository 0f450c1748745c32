"""What the unit tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs.rules import Blocked, NotApplicable

if TYPE_CHECKING:
    from collections.abc import Generator

    from pluggy import Result


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_pyfunc_call() -> Generator[None, Result[object], None]:
    """Let a check's answer "not applicable" fail the test that did not expect it.

    To pytest the answer is a skip, and a test that skips itself is as good as green.
    """
    outcome = yield
    if isinstance(outcome.exception, (Blocked, NotApplicable)):
        outcome.force_exception(AssertionError(f"not expected here: {outcome.exception!r}"))
