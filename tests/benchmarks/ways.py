"""What the benchmarks share: ways that take turns, and a run of the product as users start it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RUNTIME = "15.4"


def judge(folder: str, image: str, profile: str, *more: str) -> None:
    """Judge an image as a user does; raises `AssertionError` unless the verdict is good."""
    arguments = [f"--dcs-image={image}", f"--dcs-profile={profile}", f"--dcs-runtime={RUNTIME}"]
    command = [sys.executable, "-m", "pytest", *arguments, *more]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def medians(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Run the ways in turns and print each way's median of seconds and its extremes."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    found = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        extremes = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{name:34} {found[name]:6.2f} s  ({rounds} rounds, {extremes})", flush=True)
    return found


def show(what: str, figure: float, unit: str, limit: float) -> None:
    """Print a figure beside what it may be at most."""
    print(f"{what:34} {figure:6.2f} {unit:1}  (at most {limit:g})", flush=True)
