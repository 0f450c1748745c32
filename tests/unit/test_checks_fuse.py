from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dcs.checks import fuse
from pytest_dcs.fuse import FuseMount

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, an_image, finding_of

TOOLS = {
    "fusermount -V": Result("fusermount version: 2.9.9\n"),
    "mountpoint /": Result("/ is a mountpoint\n"),
}
MOUNTED = FuseMount(available=True, mounted=True, read=True, written=True, detail="", log="")


def stopped(detail: str) -> FuseMount:
    return replace(MOUNTED, mounted=False, read=False, written=False, detail=detail)


def test_a_mount_that_can_be_read_is_good() -> None:
    fuse.test_fuse_mounts(FakeHost(TOOLS), MOUNTED)


def test_without_a_device_the_tools_decide() -> None:
    fuse.test_fuse_mounts(FakeHost(TOOLS), None)
    version_3 = {**TOOLS, "fusermount -V": Result("fusermount3 version: 3.14.0\n")}
    fuse.test_fuse_mounts(FakeHost(version_3), None)


@pytest.mark.parametrize("command", TOOLS)
@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_each_tool_of_a_mount_is_needed(command: str, result: Result) -> None:
    found = finding_of(fuse.test_fuse_mounts, FakeHost({**TOOLS, command: result}), None)
    assert found.startswith(f"{command}: found")


def test_a_mount_that_fails_is_found() -> None:
    failed = stopped("fusermount: failed to open /etc/mtab: No such file or directory")
    found = finding_of(fuse.test_fuse_mounts, FakeHost(TOOLS), failed)
    assert found.startswith("a file in a FUSE mount: found fusermount: failed to open /etc/mtab")


def test_a_mount_that_can_only_be_read_is_found() -> None:
    detail = "[Errno 30] Read-only file system: '/pytest-dcs-fuse-x/result'"
    read_only = replace(MOUNTED, written=False, detail=detail)
    found = finding_of(fuse.test_fuse_mounts, FakeHost(TOOLS), read_only)
    assert found.endswith(
        "Read-only file system: '/pytest-dcs-fuse-x/result'; needed it can be read and written"
    )


@pytest.mark.parametrize("why", ["Operation not permitted", "Permission denied"])
def test_an_engine_that_refuses_to_mount_is_no_fault_of_the_image(why: str) -> None:
    fuse.test_fuse_mounts(FakeHost(TOOLS), stopped(f"fusermount: mount failed: {why}"))


@pytest.mark.parametrize("environment", [{}, {"USER": ""}], ids=["unset", "empty"])
def test_the_owner_of_dbfs_must_be_named(environment: dict[str, str]) -> None:
    fuse.test_user_variable_is_set(an_image(environment={"USER": "ubuntu"}))
    found = finding_of(fuse.test_user_variable_is_set, an_image(environment=environment))
    assert found == "ENV USER of the image: found not set; needed the owner of /dbfs, root"
