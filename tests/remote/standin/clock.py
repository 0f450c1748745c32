"""The workspace's clock, which tests can move instead of waiting."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

PATIENCE = 600.0
"""Real seconds that a moved clock waits for work that really runs, such as a container's start."""
WAITING = ("databricks.sdk", "pytest_dcs.remote")
"""The packages whose modules wait by `time.sleep`."""


class Clock:
    """Seconds since the epoch, as the workspace counts them.

    It goes `speed` times as fast as the real one, and further where a test moves it. Used in place
    of the module `time` it makes those who sleep move it.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._started = time.time()
        self._began = time.monotonic()
        self._moved = 0.0
        self._working = 0
        self._changed = threading.Condition()

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self._started + self._moved + (time.monotonic() - self._began) * self.speed

    def move(self, seconds: float) -> None:
        """Let so many seconds pass at once, when all that really runs has come to its end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._working, PATIENCE)
            self._moved += max(0.0, seconds)

    def run_beside(self, work: Callable[[], None]) -> None:
        """Start work that really takes time; the clock is not moved before it has ended."""
        with self._changed:
            self._working += 1
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the SDK and the plugin's remote part live by this clock: a sleep only moves it."""
        for package in WAITING:
            _import_all(package)
        for name, module in [*sys.modules.items()]:
            if name.startswith(WAITING) and vars(module).get("time") is time:
                monkeypatch.setattr(module, "time", self)

    def time(self) -> float:
        """Stand in for `time.time`."""
        return self.now()

    def monotonic(self) -> float:
        """Stand in for `time.monotonic`."""
        return self.now()

    def perf_counter(self) -> float:
        """Stand in for `time.perf_counter`."""
        return self.now()

    def sleep(self, seconds: float) -> None:
        """Stand in for `time.sleep`."""
        self.move(seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _import_all(package: str) -> None:
    """Import what may wait, so that nothing of it comes later with the real `time`."""
    if package == "databricks.sdk":
        importlib.import_module("databricks.sdk.service.compute")
        importlib.import_module("databricks.sdk.service.jobs")
        return
    with suppress(ModuleNotFoundError):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            importlib.import_module(module.name)
