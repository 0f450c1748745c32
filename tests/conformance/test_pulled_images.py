"""No rule may fail on an official image, pulled and launched; see `--official-registry`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from .official import OfficialImage, official_images

if TYPE_CHECKING:
    from pathlib import Path

# One tag stands for several branches; it is tested once for each runtime.
IMAGES = {(each.image.reference, each.runtime): each for each in official_images()}


@pytest.mark.parametrize("official", IMAGES.values(), ids=str)
def test_a_pulled_image_is_releasable(
    official: OfficialImage, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    registry = pytestconfig.getoption("official_registry").rstrip("/")
    name = official.image.reference.removeprefix("databricksruntime/")
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
        f"--dcs-image={registry}/{name}",
        f"--dcs-runtime={official.runtime}",
        f"--dcs-profile={official.profile}",
    ]

    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
