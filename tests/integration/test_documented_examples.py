"""What the documents show works as they show it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docker

DOCUMENT = Path(__file__).parents[2] / "docs" / "spark.md"
TIME_LIMIT = 600


def example(name: str, folder: Path) -> Path:
    """Write the example whose first line is its path, and return where it is."""
    found = re.search(
        rf"```python\n# ({re.escape(name)})\n(.*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    assert found
    path = folder / found[1]
    path.parent.mkdir(parents=True)
    path.write_text(found[2], encoding="utf-8")
    return path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA"),
            *("--dcs-image=pytest-dcs/python", "--dcs-runtime=15.4", *arguments),
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@pytest.mark.usefixtures("python_image")
def test_the_smoke_job_passes_and_a_change_of_its_result_fails(tmp_path: Path) -> None:
    job = example("smoke/churn.py", tmp_path)
    wrong = job.with_name("wrong.py")
    wrong.write_text(job.read_text(encoding="utf-8").replace("0.05", "0.06"), encoding="utf-8")

    done = run(
        tmp_path, "--dcs-smoke=smoke/churn.py", f"--dcs-smoke={wrong}", "--dcs-select=SPK019"
    )

    assert (
        "PASSED dcs/smoke_files::test_own_smoke_job[pytest-dcs/python-15.4-churn.py]" in done.stdout
    )
    assert "FAIL    SPK019 own-smoke-job wrong.py" in done.stdout
    assert "wrong.py:7: assert scores" in done.stdout
    assert done.returncode == 1


@pytest.mark.usefixtures("python_image")
def test_the_own_tests_pass(tmp_path: Path) -> None:
    tests = example("image_tests/test_features.py", tmp_path)
    done = run(tmp_path, str(tests))
    assert "3 passed" in done.stdout, done.stdout
    assert done.returncode == 0
