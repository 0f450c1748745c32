"""Time the reference job tuned and untuned, and what a whole run adds to it.

    python -m tests.benchmarks.tuned_reference_job [PAIRS] [ROUNDS]

The ways take turns, so that a slow moment of the machine meets all of them. With 0 PAIRS or 0
ROUNDS that part is left out. The class-data archive is made before where there is none.
"""

from __future__ import annotations

import sys
import tempfile

from pytest_dcs import options, runtimes, warm
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import SPARK, LaunchRequest
from tests.benchmarks.ways import RUNTIME, judge, medians, show

IMAGE, PROFILE = "pytest-dcs/python", "python"
WHOLE = ("pytest-dcs/standard", "standard")
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


def main(pairs: int, rounds: int) -> None:
    """Print the medians, the ratio of tuned to untuned, and what the whole run takes longer."""
    engine = DockerEngine()
    try:
        for image, profile in ((IMAGE, PROFILE), WHOLE):
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
            show("ratio", ratio, "", RATIO_LIMIT)
        if rounds:
            with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
                found = medians(
                    {
                        "run of the job alone": lambda: judge(
                            folder, *WHOLE, f"--dcs-select={JOB}"
                        ),
                        "run of all rules": lambda: judge(folder, *WHOLE),
                    },
                    rounds,
                )
            overhead = found["run of all rules"] - found["run of the job alone"]
            show("difference", overhead, "s", OVERHEAD_LIMIT)
    finally:
        engine.close()


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*numbers, *(PAIRS, ROUNDS)[len(numbers) :])
