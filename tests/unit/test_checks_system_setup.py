from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_dcs.checks import system_setup
from pytest_dcs.init_scripts import InitScript
from pytest_dcs.inventory import Inventory, OsRelease, User
from pytest_dcs.rules import NotApplicable, RuleBroken

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, finding_of

ROOT = User("root", 0, 0, "/root", "/bin/bash", locked=True)
LIBRARIES = User("libraries", 1000, 1000, "/home/libraries", "/bin/sh", locked=True)
UBUNTU = User("ubuntu", 1000, 1000, "/home/ubuntu", "/bin/bash", locked=True)
NO_SUCH_FOLDER = Result(rc=1, stderr="mktemp: failed to create file: No such file or directory\n")
READY = Result("ready\n")


def test_users_that_share_a_number_or_a_name_are_found() -> None:
    check = system_setup.test_one_user_an_id
    check(Inventory(users=(ROOT, LIBRARIES)))
    found = finding_of(check, Inventory(users=(ROOT, LIBRARIES, UBUNTU)))
    assert found == "user id 1000: found libraries, ubuntu; needed one user"
    found = finding_of(check, Inventory(users=(ROOT, LIBRARIES, LIBRARIES)))
    assert found == "user libraries: found 2 lines in /etc/passwd; needed one"
    with pytest.raises(NotApplicable):
        check(Inventory())


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, "found not set; needed 0"),
        ({"OPENSSL_FORCE_FIPS_MODE": "1"}, "found 1; needed 0"),
    ],
)
def test_an_openssl_that_follows_the_kernel_is_found(
    environment: dict[str, str], found: str
) -> None:
    check = system_setup.test_openssl_ignores_fips
    noble = OsRelease("ubuntu", "24.04")
    check(Inventory(os=noble, environment={"OPENSSL_FORCE_FIPS_MODE": "0"}))
    assert finding_of(check, Inventory(os=noble, environment=environment)).endswith(found)
    for other in (None, OsRelease("ubuntu", "22.04"), OsRelease("debian", "12")):
        with pytest.raises(NotApplicable):
            check(Inventory(os=other, environment=environment))


@pytest.mark.parametrize("name", ["data-team.conf", "90.team"])
def test_a_file_that_sudo_leaves_out_is_found(name: str) -> None:
    host = FakeHost({"sudoers.d": Result(f"README\nteam\n{name}\n")})
    found = finding_of(system_setup.test_sudoers_files_are_read, host)
    assert found.startswith(f"/etc/sudoers.d/{name}: found a name with a dot")


@pytest.mark.parametrize(
    "name", ["README", "90-team", ".gitkeep", "team.dpkg-old", "team.rpmnew", "team.conf~"]
)
def test_files_that_nobody_means_for_sudo_are_let_be(name: str) -> None:
    system_setup.test_sudoers_files_are_read(FakeHost({"sudoers.d": Result(f"{name}\n")}))
    system_setup.test_sudoers_files_are_read(FakeHost({"sudoers.d": MISSING}))


def test_homes_of_root_are_written_to() -> None:
    check = system_setup.test_home_is_writable
    home = Inventory(users=(ROOT, LIBRARIES), environment={"HOME": "/root"})
    host = FakeHost({"/root/": READY})
    check(host, home)
    assert len(host.commands) == 1, "the home of no other user matters"
    found = finding_of(check, FakeHost({"/root/": NO_SUCH_FOLDER}), home)
    assert found.startswith("HOME /root: found exit status 1: mktemp:")
    elsewhere = Inventory(users=(ROOT,), environment={"HOME": "/home/app"})
    both = {"/root/": READY, "/home/app/": NO_SUCH_FOLDER}
    assert finding_of(check, FakeHost(both), elsewhere).startswith("HOME /home/app: found exit")
    both = {"/home/app/": READY, "/root/": NO_SUCH_FOLDER}
    assert finding_of(check, FakeHost(both), elsewhere).startswith("home of root /root: found exit")


def test_a_home_that_is_not_set_is_found() -> None:
    inventory = Inventory(users=(ROOT,), environment={})
    found = finding_of(system_setup.test_home_is_writable, FakeHost({"/root/": READY}), inventory)
    assert found == "HOME: found not set; needed a directory that root can write to"


def with_scripts(*scripts: InitScript) -> Any:
    return SimpleNamespace(request=SimpleNamespace(init_scripts=scripts))


def script(content: bytes | None) -> InitScript:
    in_image = content is None
    return InitScript("cluster", "/opt/start.sh", in_image=in_image, content=content)


WITH_CRON = Inventory(packages={"cron": "3.0pl1-162", "bash": "5.2"})


def test_a_daemon_that_nobody_starts_is_found() -> None:
    check = system_setup.test_services_are_started
    found = finding_of(check, FakeHost(), WITH_CRON, with_scripts())
    assert found == "package cron: found no init script starts it; needed one with `cron`"
    with pytest.raises(RuleBroken):
        check(FakeHost(), WITH_CRON, with_scripts(script(b"service nginx start\n")))


def test_an_init_script_that_starts_the_daemon_is_enough() -> None:
    check = system_setup.test_services_are_started
    check(FakeHost(), WITH_CRON, with_scripts(script(b"service cron start\n")))
    in_image = FakeHost({"cat /opt/start.sh": Result("service cron start\n")})
    check(in_image, WITH_CRON, with_scripts(script(None)))


def test_a_daemon_that_came_for_anothers_sake_is_let_be() -> None:
    states = (
        "Package: cron\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        "Package: nginx\nArchitecture: amd64\nAuto-Installed: 0\n\n"
    )
    host = FakeHost({"extended_states": Result(states)})
    check = system_setup.test_services_are_started
    check(host, WITH_CRON, with_scripts())
    with_nginx = Inventory(packages={"cron": "3.0", "nginx": "1.22"})
    assert finding_of(check, host, with_nginx, with_scripts()).startswith("package nginx: found")


def test_without_a_known_daemon_nothing_is_asked() -> None:
    for inventory in (Inventory(), Inventory(packages={"bash": "5.2"})):
        with pytest.raises(NotApplicable):
            system_setup.test_services_are_started(FakeHost(), inventory, with_scripts())


@pytest.mark.parametrize(
    "line",
    [
        "-rwxr-xr-x 1 0 0 281624 Apr 11 2026 /usr/bin/sudo\n",
        "-rwsr-xr-x 1 1000 1000 281624 Apr 11 2026 /usr/bin/sudo\n",
        "",
    ],
    ids=["no setuid", "another owner", "no answer"],
)
def test_a_sudo_without_its_right_is_found(line: str) -> None:
    check = system_setup.test_sudo_has_its_right
    check(FakeHost({"sudo": Result("-rwsr-xr-x 1 0 0 281624 Apr 11 2026 /usr/bin/sudo\n")}))
    check(FakeHost({"sudo": Result("---s--x--x. 1 0 0 281624 Apr 11 2026 /usr/bin/sudo\n")}))
    assert finding_of(check, FakeHost({"sudo": Result(line)})).startswith("sudo: found")


def test_an_empty_list_of_users_is_no_error() -> None:
    host = FakeHost({"/root/": READY}, otherwise=EMPTY_FILE)
    system_setup.test_home_is_writable(host, Inventory(environment={"HOME": "/root"}))
