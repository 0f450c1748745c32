"""Waiting no longer than one wants, whatever a name server or a server does byte by byte."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Value = TypeVar("Value")


class _Call(threading.Thread, Generic[Value]):
    """One call in a thread that ends with the process at the latest."""

    def __init__(self, function: Callable[[], Value]) -> None:
        super().__init__(name="dcs-registry", daemon=True)
        self._function = function
        self.values: list[Value] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call and keep what came of it."""
        try:
            self.values.append(self._function())
        except BaseException as error:  # raised where it is waited for
            self.error = error


def within(seconds: float, function: Callable[[], Value]) -> Value:
    """Return what a function returns, or raise what it raises; raises `TimeoutError` after that."""
    call = _Call(function)
    call.start()
    call.join(seconds)
    if call.error is not None:
        raise call.error
    if not call.values:
        raise TimeoutError
    return call.values[0]
