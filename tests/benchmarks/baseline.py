"""Time the comparison with a baseline out of a long history.

    python -m tests.benchmarks.baseline [DOCUMENT] [RUNS]

The history is made of a real document, that of the sample image unless another is named: as many
runs of five images, each with 150 findings and 400 packages of which some change from run to run.
"""

from __future__ import annotations

import copy
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pytest_dcs.options import Sourced
from pytest_dcs.report import document
from pytest_dcs.report.baseline import Baseline
from pytest_dcs.report.history import History
from tests.benchmarks.ways import RUNTIME, medians, show

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "pytest-dcs/python"
RUNS = 200
IMAGES = 5
FINDINGS = 150
PACKAGES = 400
ROUNDS = 5
SECONDS = 1.0
"""What the comparison of a whole run may take."""

FIRST = datetime.datetime(2027, 1, 1, 3, tzinfo=datetime.timezone.utc)


def real_document(folder: str) -> dict[str, Any]:
    """Return the document of a run of the sample image."""
    path = Path(folder) / "run.json"
    command = [sys.executable, "-m", "pytest", f"--dcs-image={IMAGE}", f"--dcs-runtime={RUNTIME}"]
    subprocess.run([*command, f"--dcs-json={path}", "-q"], cwd=folder, check=True)
    return document.read(path)


def run_of(real: Mapping[str, Any], night: int) -> dict[str, Any]:
    """Return the document of one night."""
    started = (FIRST + datetime.timedelta(days=night)).isoformat(timespec="seconds")
    entries = [entry_of(real["entries"][0], number, night) for number in range(IMAGES)]
    return {**real, "run": f"night {night}", "started": started, "entries": entries}


def entry_of(real: Mapping[str, Any], number: int, night: int) -> dict[str, Any]:
    """Return one image in one night: a new build every other night, now and then a failure."""
    made: dict[str, Any] = copy.deepcopy(dict(real))
    made["image"] = f"index.example.com/acme/image-{number}:{night}"
    made["digest"] = made["image_id"] = f"sha256:{number}{night // 2:063x}"
    some = made["findings"]
    made["findings"] = [
        {**some[place % len(some)], "rule": f"X{place:03}"} for place in range(FINDINGS)
    ]
    if night % 7 == number:
        made["findings"][night % FINDINGS]["outcome"] = "fail"
        made["verdict"] = "NOT releasable"
    for field in ("python_packages", "system_packages"):
        made["inventory"][field] = {
            f"package-{place}": f"1.{night // (place + 1)}" for place in range(PACKAGES // 2)
        }
    return made


def main(path: str, nights: int) -> None:
    """Print the medians, and the limit beside the figure."""
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
        real = document.read(Path(path)) if path else real_document(folder)
        history = History(Path(folder) / "history.db")
        history.prepare()
        for night in range(nights):
            history.add(run_of(real, night))
        last = run_of(real, nights)
        settings: Any = SimpleNamespace(
            baseline=Sourced("last", "benchmark"), fail_on=Sourced("failure", "benchmark")
        )

        def compare() -> None:
            baseline = Baseline(settings, history)
            for entry in last["entries"]:
                assert baseline.standing(entry, last).baseline

        found = medians(
            {"comparison of a run": compare, "adding a run": lambda: history.add(last)}, ROUNDS
        )
        size = history.path.stat().st_size / 1_000_000
        show("comparison of a run", found["comparison of a run"], "s", SECONDS)
        print(f"{'history':34} {size:6.1f} MB ({nights} runs of {IMAGES} images)")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "",
        int(sys.argv[2]) if len(sys.argv) > 2 else RUNS,
    )
