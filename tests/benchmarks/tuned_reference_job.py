"""Time the reference job tuned and untuned, and what a whole run adds to it.

    python tests/benchmarks/tuned_reference_job.py [PAIRS] [ROUNDS]

The ways take turns, so that a slow moment of the machine meets all of them. With 0 PAIRS or 0
ROUNDS that part is left out. The class-data archive is made before where there is none.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from pytest_dcs import options, runtimes, warm
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import SPARK, LaunchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RUNTIME = "15.4"
IMAGE, PROFILE = "pytest-dcs/python", "python"
WHOLE_IMAGE, WHOLE_PROFILE = "pytest-dcs/standard", "standard"
JOB = "SPK00"
"""The rules that read the reference job."""
PAIRS = 7
ROUNDS = 5
RATIO_LIMIT = 0.6
OVERHEAD_LIMIT = 4.0
"""Seconds that a verdict may cost more than the Spark job alone."""


def request_for(engine: DockerEngine, image: str, profile: str, *, tuned: bool) -> LaunchRequest:
    """Return a launch with the reference job and nothing else."""
    catalogue = runtimes.load()
    return LaunchRequest(
        image=engine.resolve(image, "never"),
        runtime=catalogue.find(RUNTIME),
        features=catalogue.features(profile) & warm.FEATURES,
        needs=frozenset(),
        run_id="benchmark",
        timeout=60.0,
        cache_directory=options.default_cache_directory(),
        probes=frozenset({SPARK}),
        tuned=tuned,
    )


def run_job(engine: DockerEngine, image: str, profile: str, *, tuned: bool) -> None:
    """Launch an image, run the reference job to its end, and end the container."""
    launch = Launch(engine, request_for(engine, image, profile, tuned=tuned))
    try:
        launch.start()
        assert launch.failure is None, launch.failure
        assert launch.spark_smoke().passed
        assert not launch.notes, launch.notes
    finally:
        launch.end()


def judge(folder: str, *more: str) -> None:
    """Judge an image as a user does."""
    arguments = [f"--dcs-image={WHOLE_IMAGE}", f"--dcs-profile={WHOLE_PROFILE}", *more]
    command = [sys.executable, "-m", "pytest", *arguments, f"--dcs-runtime={RUNTIME}"]
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
        print(f"{name:22} {found[name]:6.2f} s  ({rounds} rounds, {extremes})", flush=True)
    return found


def main(pairs: int, rounds: int) -> None:
    """Print the medians, the ratio of tuned to untuned, and what the whole run takes longer."""
    engine = DockerEngine()
    try:
        for image, profile in ((IMAGE, PROFILE), (WHOLE_IMAGE, WHOLE_PROFILE)):
            warm.make(engine, request_for(engine, image, profile, tuned=True), print, wait=True)
        if pairs:
            found = medians(
                {
                    "tuned": lambda: run_job(engine, IMAGE, PROFILE, tuned=True),
                    "untuned": lambda: run_job(engine, IMAGE, PROFILE, tuned=False),
                },
                pairs,
            )
            ratio = found["tuned"] / found["untuned"]
            print(f"{'ratio':22} {ratio:6.2f}    (at most {RATIO_LIMIT})", flush=True)
        if rounds:
            with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
                found = medians(
                    {
                        "run of the job alone": lambda: judge(folder, f"--dcs-select={JOB}"),
                        "run of all rules": lambda: judge(folder),
                    },
                    rounds,
                )
            overhead = found["run of all rules"] - found["run of the job alone"]
            print(f"{'difference':22} {overhead:6.2f} s  (at most {OVERHEAD_LIMIT:.0f} s)")
    finally:
        engine.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*numbers, *(PAIRS, ROUNDS)[len(numbers) :])
