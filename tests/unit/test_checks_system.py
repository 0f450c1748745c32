from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pytest_dcs.checks import system, system_files
from pytest_dcs.inventory import Inventory, OsRelease, User
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, an_image, finding_of

ADDRESSES = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
42: eth0    inet 172.18.0.2/16 brd 172.18.255.255 scope global eth0\\       valid_lft forever
"""
ROOT = User("root", 0, 0, "/root", "/bin/bash", locked=True)
NOBODY = User("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin", locked=True)
LIBRARIES = User("libraries", 1000, 1000, "/home/libraries", "/bin/sh", locked=True)


def test_an_image_that_does_not_start_is_found() -> None:
    system.test_shell_answers(SimpleNamespace(failure=None))  # type: ignore[arg-type]
    failure = "exec /bin/sh: exec format error"
    found = finding_of(system.test_shell_answers, SimpleNamespace(failure=failure))
    assert failure in found


@pytest.mark.parametrize(
    "result",
    [MISSING, EMPTY_FILE, Result(rc=2, stderr="bash: 1: Syntax error: word unexpected")],
    ids=["missing", "empty", "dash"],
)
def test_bash_that_is_no_bash_is_found(result: Result) -> None:
    system.test_bash_runs(FakeHost({"bash -c": Result("5.2.15(1)-release\n")}))
    assert finding_of(system.test_bash_runs, FakeHost({"bash -c": result})).startswith(
        "bash: found"
    )


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_an_image_without_iproute2_is_found(result: Result) -> None:
    system.test_iproute2(FakeHost({"ip -o addr": Result(ADDRESSES)}))
    assert "ip -o addr" in finding_of(system.test_iproute2, FakeHost({"ip -o addr": result}))


def good_coreutils() -> dict[str, Result]:
    return {command: Result(f"{expected}\n") for command, expected in system.COREUTILS.items()}


@pytest.mark.parametrize("command", system.COREUTILS)
def test_each_tool_of_coreutils_is_needed(command: str) -> None:
    system.test_coreutils(FakeHost(good_coreutils()))
    for disguise in (MISSING, EMPTY_FILE):
        host = FakeHost({**good_coreutils(), command: disguise})
        assert finding_of(system.test_coreutils, host).startswith(command)


def test_ps_without_options_is_found() -> None:
    good = {"comm=": Result("sh\n"), "stat=": Result("Ss\n")}
    system.test_procps(FakeHost(good))
    busybox = Result(rc=1, stderr="ps: unrecognized option: p\n")
    found = finding_of(system.test_procps, FakeHost({**good, "comm=": busybox}))
    assert "found exit status 1: ps: unrecognized option: p" in found
    assert "stat=" in finding_of(system.test_procps, FakeHost({**good, "stat=": EMPTY_FILE}))


def test_sudo_is_tried_for_root_and_for_another_user() -> None:
    inventory = Inventory(users=(ROOT, NOBODY))
    good = {"-u root": Result("ready\n"), "-u nobody": Result("ready\n")}
    system.test_sudo_without_password(FakeHost(good), inventory)
    refused = Result(rc=1, stderr="sudo: a password is required\n")
    found = finding_of(
        system.test_sudo_without_password, FakeHost({**good, "-u nobody": refused}), inventory
    )
    assert found.startswith("sudo -n -u nobody: found exit status 1: sudo: a password is required")
    empty = FakeHost({**good, "-u root": EMPTY_FILE})
    assert "no output" in finding_of(system.test_sudo_without_password, empty, inventory)


def test_sudo_is_tried_for_root_alone_where_there_is_nobody_else() -> None:
    host = FakeHost({"-u root": Result("ready\n")})
    system.test_sudo_without_password(host, Inventory(users=(ROOT,)))
    assert len(host.commands) == 1


def test_setfacl_must_set_an_entry() -> None:
    inventory = Inventory(users=(ROOT, LIBRARIES))
    entries = "user::rw-\nuser:libraries:r--\ngroup::r--\nmask::r--\nother::r--\n"
    system_files.test_acl(FakeHost({"u:libraries:": Result(entries)}), inventory)
    system_files.test_acl(FakeHost({"u:root:": Result("user:root:r--\n")}), Inventory())
    for result in (MISSING, EMPTY_FILE):
        found = finding_of(system_files.test_acl, FakeHost({"setfacl": result}), inventory)
        assert "user:libraries:r--" in found


def test_a_file_system_without_access_control_lists_is_no_fault_of_the_image() -> None:
    refused = Result(rc=1, stderr="setfacl: /tmp/.pytest-dcs-acl: Operation not supported\n")
    with pytest.raises(NotApplicable):
        system_files.test_acl(FakeHost({"setfacl": refused}), Inventory())


def test_the_user_libraries_must_be_there_and_locked() -> None:
    system_files.test_libraries_user(Inventory(users=(ROOT, LIBRARIES)))
    assert "no such user" in finding_of(system_files.test_libraries_user, Inventory(users=(ROOT,)))
    unlocked = User("libraries", 1000, 1000, "/home/libraries", "/bin/sh", locked=False)
    assert "not locked" in finding_of(
        system_files.test_libraries_user, Inventory(users=(unlocked,))
    )


@pytest.mark.parametrize(
    "users", [None, (User("libraries", 1000, 1000, "/", "/bin/sh"),)], ids=["passwd", "shadow"]
)
def test_an_unknown_user_is_no_finding(users: tuple[User, ...] | None) -> None:
    with pytest.raises(NotApplicable):
        system_files.test_libraries_user(Inventory(users=users))


def test_root_without_a_name_is_found() -> None:
    system_files.test_root_has_a_name(FakeHost({"id -un": Result("root\n")}))
    nameless = Result(rc=1, stdout="0\n", stderr="id: cannot find name for user ID 0\n")
    found = finding_of(system_files.test_root_has_a_name, FakeHost({"id -un": nameless}))
    assert "cannot find name for user ID 0" in found
    assert "toor" in finding_of(
        system_files.test_root_has_a_name, FakeHost({"id -un": Result("toor\n")})
    )


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_a_missing_id_is_the_finding_of_coreutils(result: Result) -> None:
    with pytest.raises(Blocked):
        system_files.test_root_has_a_name(FakeHost({"id -un": result}))


def test_tmp_must_take_programs() -> None:
    system_files.test_tmp_works(FakeHost({"/tmp/": Result("ready\n")}))
    noexec = Result(rc=126, stderr="sh: 1: /tmp/.pytest-dcs-run: Permission denied\n")
    assert "Permission denied" in finding_of(
        system_files.test_tmp_works, FakeHost({"/tmp/": noexec})
    )


def test_a_host_name_without_address_is_found() -> None:
    address = Result("172.18.0.2      1123-093000-dcslocal-10-0-0-2\n")
    system_files.test_host_name_resolves(FakeHost({"getent": address}), an_image())
    unknown = FakeHost({"getent": Result(rc=2)})
    found = finding_of(system_files.test_host_name_resolves, unknown, an_image())
    assert "exit status 2" in found


def test_a_machine_that_gives_its_name_no_address_is_not_the_images_fault() -> None:
    inside = replace(an_image(), seen_from="inside")
    without = FakeHost({"getent": Result(rc=2), "/etc/hosts": Result(rc=1)})
    with pytest.raises(NotApplicable):
        system_files.test_host_name_resolves(without, inside)
    with_it = FakeHost({"getent": Result(rc=2), "/etc/hosts": Result()})
    assert "exit status 2" in finding_of(system_files.test_host_name_resolves, with_it, inside)


def test_an_image_without_getent_is_left_to_the_spark_job() -> None:
    with pytest.raises(NotApplicable):
        system_files.test_host_name_resolves(FakeHost({"getent": MISSING}), an_image())


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_an_image_without_grep_is_found(result: Result) -> None:
    system.test_start_script_tools(FakeHost({"grep": Result("spark.master\n")}))
    found = finding_of(system.test_start_script_tools, FakeHost({"grep": result}))
    assert found.startswith("grep")


def test_alpine_needs_the_real_packages() -> None:
    alpine = OsRelease("alpine", "3.20.3")
    complete = dict.fromkeys(["bash", "coreutils", "iproute2", "procps-ng", "sudo", "gcompat"], "1")
    system.test_alpine_is_complete(Inventory(os=alpine, packages=complete))
    with pytest.raises(RuleBroken) as caught:
        system.test_alpine_is_complete(Inventory(os=alpine, packages={"bash": "5", "sudo": "1"}))
    assert [item.found for item in caught.value.items] == [
        "no coreutils",
        "no iproute2",
        "no procps, procps-ng",
        "no gcompat, libc6-compat, glibc",
    ]


@pytest.mark.parametrize("os", [None, OsRelease("debian", "12"), OsRelease("alpine")])
def test_other_systems_and_unknown_packages_are_no_finding(os: OsRelease | None) -> None:
    with pytest.raises(NotApplicable):
        system.test_alpine_is_complete(Inventory(os=os))


def test_what_the_image_has_at_the_platforms_paths_is_found() -> None:
    system_files.test_platform_paths_are_free(SimpleNamespace(platform_paths=[]))  # type: ignore[arg-type]
    launch = SimpleNamespace(platform_paths=["/databricks/driver", "/dbfs/*"])
    with pytest.raises(RuleBroken) as caught:
        system_files.test_platform_paths_are_free(launch)  # type: ignore[arg-type]
    assert [item.subject for item in caught.value.items] == ["/databricks/driver", "/dbfs/*"]
