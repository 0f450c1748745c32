"""A file system is really mounted, and a `fusermount` that cannot do it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import fuse
from pytest_dcs.node import DEFAULT_PYTHON

from .launching import TIMEOUT, launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.fuse import FuseMount
    from pytest_dcs.launch import Launch

pytestmark = pytest.mark.docker

FIRST_ON_PATH = "/usr/local/sbin/fusermount"


@pytest.fixture
def launch(engine: DockerEngine, standard_image: str) -> Iterator[Launch]:
    with launched(engine, standard_image, "standard") as launch:
        if not launch.container.fuse:
            pytest.skip("the engine grants no /dev/fuse")
        yield launch


def prepare(launch: Launch, command: str) -> None:
    completed = launch.shell.run(command)
    assert completed.returncode == 0, completed.stderr


def found_by(launch: Launch) -> FuseMount:
    found = launch.fuse_smoke()
    assert found is not None
    return found


def test_files_are_read_and_written_through_a_mount(launch: Launch) -> None:
    assert found_by(launch) == fuse.FuseMount(
        available=True, mounted=True, read=True, written=True, detail="", log=""
    )


def test_nothing_of_the_mount_stays(launch: Launch) -> None:
    before = launch.shell.run("cat /proc/mounts; ls -a /").stdout
    assert found_by(launch).written
    assert launch.shell.run("cat /proc/mounts; ls -a /").stdout == before


def test_without_fusermount_there_is_nothing_to_mount_with(launch: Launch) -> None:
    prepare(launch, "rm $(command -v fusermount fusermount3)")
    found = found_by(launch)
    assert not found.available
    assert found.detail.startswith("there is no fusermount on PATH")


def test_a_truncated_fusermount_mounts_nothing(launch: Launch) -> None:
    prepare(launch, "truncate --size=100 $(readlink -f $(command -v fusermount))")
    found = found_by(launch)
    assert (found.available, found.mounted, found.read) == (True, False, False)
    assert found.detail.startswith("[Errno 8] Exec format error: '/usr/bin/fusermount")


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("exit 0", "ended with status 0 without handing over a mount"),
        ("echo refused >&2; exit 1", "ended with status 1 without handing over a mount\nrefused"),
    ],
)
def test_a_stub_of_fusermount_mounts_nothing(launch: Launch, script: str, detail: str) -> None:
    prepare(
        launch, f"printf '#!/bin/sh\\n{script}\\n' >{FIRST_ON_PATH} && chmod +x {FIRST_ON_PATH}"
    )
    found = found_by(launch)
    assert (found.available, found.mounted, found.read) == (True, False, False)
    assert found.detail.startswith(f"{FIRST_ON_PATH} {detail}")


def test_a_mount_that_cannot_be_written_is_told_from_one_that_can_be_read(launch: Launch) -> None:
    options = 'for word; do shift; set -- "$@" "$(echo "$word" | sed s,^rw,ro,)"; done'
    read_only = f'{options}; exec /usr/bin/fusermount "$@"'
    prepare(
        launch,
        f"printf '%s\\n' '#!/bin/sh' '{read_only}' >{FIRST_ON_PATH} && chmod +x {FIRST_ON_PATH}",
    )
    found = found_by(launch)
    assert (found.mounted, found.read, found.written) == (True, True, False)
    assert "Read-only file system" in found.detail


def test_a_fusermount_that_hangs_is_killed(launch: Launch) -> None:
    prepare(
        launch, f"printf '#!/bin/sh\\nsleep 4321\\n' >{FIRST_ON_PATH}; chmod +x {FIRST_ON_PATH}"
    )
    found = fuse.mount(launch.container, DEFAULT_PYTHON, timeout=2)
    assert (found.available, found.mounted) == (True, False)
    assert "did not end within 2 s" in found.detail
    assert launch.shell.run("pgrep -f 'sleep 4321'").returncode == 1


def test_a_missing_interpreter_is_named(launch: Launch) -> None:
    found = fuse.mount(launch.container, "/nowhere/python3", TIMEOUT)
    assert not found.available
    assert "/nowhere/python3: not found" in found.detail


def test_images_without_fuse_are_not_tried(engine: DockerEngine, minimal_image: str) -> None:
    with launched(engine, minimal_image, "minimal") as launch:
        assert launch.fuse_smoke() is None
