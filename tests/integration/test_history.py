"""Nights of one image on a real daemon: two good builds, then one that broke."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.report import document
from pytest_dcs.report.entries import Key
from pytest_dcs.report.history import History

from .conftest import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

REPOSITORY = "pytest-dcs-history/try"
USER_HOME = Path.home()
"""Read before pytester changes it: Docker's configuration is there."""
RUN = (
    "--dcs-runtime=15.4",
    "--dcs-select=SYS001,SYS002,PY001,PY002,PY007,IMG004",
    "--dcs-history=history.db",
    "--dcs-baseline=last",
    "--dcs-json=run.json",
)


@pytest.fixture
def night(
    pytester: pytest.Pytester, docker_command: DockerCommand, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., pytest.RunResult]]:
    """Return what judges an image as the build with a tag."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HOME", str(USER_HOME))
    tags = []

    def judge(image: str, tag: str, *more: str) -> pytest.RunResult:
        name = f"{REPOSITORY}:{tag}"
        docker_command("tag", image, name)
        tags.append(name)
        return pytester.runpytest_subprocess(f"--dcs-image={name}", *RUN, *more)

    yield judge
    docker_command("rmi", *tags)


def test_a_build_that_broke_is_a_regression(
    night: Callable[..., pytest.RunResult], pytester: pytest.Pytester, python_image: str
) -> None:
    broken = sample("broken:ipykernel-missing")
    first = night(python_image, "1")
    assert first.ret == pytest.ExitCode.OK
    first.stdout.fnmatch_lines(["  note    no baseline yet: this is the first run in the history"])
    inventory = document.read(pytester.path / "run.json")["entries"][0]["inventory"]
    assert inventory["python_packages"]["ipykernel"]
    assert inventory["system_packages"]["bash"]
    assert (inventory["os"], inventory["platform_paths"]) == ("debian 12", [])
    assert inventory["image_bytes"] > 0
    assert inventory["machine"]
    second = night(python_image, "2")
    assert second.ret == pytest.ExitCode.OK
    second.stdout.fnmatch_lines([f"  since {REPOSITORY}:1 (sha256:*) of * UTC: no change"])
    third = night(broken, "3", "--dcs-fail-on=regression")
    assert third.ret == pytest.ExitCode.TESTS_FAILED
    third.stdout.fnmatch_lines(
        [
            f"{REPOSITORY}:3 (sha256:*) on 15.4: NOT releasable",
            f"  since {REPOSITORY}:2 (sha256:*) of * UTC: 1 regression, 2 other changes",
            "    regression  PY007 kernel-imports: fail, was pass",
            "*python package  ipykernel * none * before *",
        ]
    )
    history = History(pytester.path / "history.db")
    verdicts = [
        past.verdict for past in history.runs(Key(f"docker.io/{REPOSITORY}", "15.4", "python"), 9)
    ]
    assert verdicts == ["NOT releasable", "releasable", "releasable"]
