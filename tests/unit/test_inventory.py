from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pytest_dcs import inventory
from pytest_dcs.inventory import Inventory, Java, OsRelease, User

DEBIAN_12 = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
ID=debian
HOME_URL="https://www.debian.org/"
"""
PASSWD = """\
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
libraries:x:1000:1000::/home/libraries:/bin/sh
"""
SHADOW = """\
root:*:20780:0:99999:7:::
nobody:$y$j9T$abc$def:20780:0:99999:7:::
libraries:!:20780:0:99999:7:::
"""
JAVA_17 = """\
Property settings:
    file.encoding = {charset}
    file.separator = /
    java.class.path =
    java.class.version = 61.0
    java.home = /usr/lib/jvm/java-17-openjdk-amd64
    java.io.tmpdir = /tmp
    java.library.path = /usr/java/packages/lib
        /usr/lib/x86_64-linux-gnu/jni
        /usr/lib
    java.specification.version = 17
    java.version = 17.0.15
    java.version.date = 2025-04-15
    line.separator = \\n
    native.encoding = {charset}
    sun.jnu.encoding = {charset}

openjdk version "17.0.15" 2025-04-15
OpenJDK Runtime Environment (build 17.0.15+6-Debian-1deb12u1)
OpenJDK 64-Bit Server VM (build 17.0.15+6-Debian-1deb12u1, mixed mode, sharing)
"""
DPKG = """\
/usr/bin/dpkg-query
installed\tacl\t2.3.1-3
installed\tlibc6\t2.36-9+deb12u10
config-files\tlibfuse2\t2.9.9-6+b1
"""
APK = """\
/sbin/apk
musl-1.2.5-r0
procps-ng-4.0.4-r0
ca-certificates-bundle-20240226-r0
"""

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass(frozen=True)
class Completed:
    returncode: int
    stdout: bytes


class LocalShell:
    """Runs commands on this very machine."""

    def run(self, command: str) -> Completed:
        environment = {**os.environ, "PYTEST_DCS_LINES": "one\ntwo=2"}
        completed = subprocess.run(
            ["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False, env=environment
        )
        return Completed(completed.returncode, completed.stdout)


class HangingShell:
    """Every command outlives its limit."""

    def run(self, command: str) -> Completed:
        message = f"timed out after 60 s: {command}"
        raise AssertionError(message)


@only_linux
def test_the_facts_of_this_machine_are_read() -> None:
    facts = inventory.collect(LocalShell())
    assert facts.os is not None
    assert facts.users is not None
    assert any(user.uid == 0 and user.name == "root" for user in facts.users)
    assert facts.environment["PYTEST_DCS_LINES"] == "one\ntwo=2"


def test_what_nobody_can_read_is_unknown() -> None:
    assert inventory.collect(HangingShell()) == Inventory()


def test_the_distribution_is_parsed() -> None:
    assert inventory.parse_os_release(DEBIAN_12) == OsRelease("debian", "12")
    ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'\n"
    assert inventory.parse_os_release(ubuntu) == OsRelease("ubuntu", "22.04", ("debian",))


@pytest.mark.parametrize("text", ["", "NAME=x\n", 'ID="unfinished\n', "\x7fELF"])
def test_a_file_that_names_no_distribution_is_unknown(text: str) -> None:
    assert inventory.parse_os_release(text) in {None, OsRelease('"unfinished')}


def test_users_are_parsed_with_the_state_of_their_password() -> None:
    users = inventory.parse_users(PASSWD, SHADOW)
    assert users == (
        User("root", 0, 0, "/root", "/bin/bash", locked=True),
        User("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin", locked=False),
        User("libraries", 1000, 1000, "/home/libraries", "/bin/sh", locked=True),
    )


def test_without_shadow_nobody_knows_whether_a_password_is_locked() -> None:
    users = inventory.parse_users(PASSWD, "")
    assert users is not None
    assert {user.locked for user in users} == {None}
    assert inventory.parse_users(None, SHADOW) is None


def test_lines_that_are_no_user_are_left_out() -> None:
    users = inventory.parse_users("+::::::\n\nbroken line\nroot:x:0:0::/root:/bin/sh\n", "")
    assert users is not None
    assert [user.name for user in users] == ["root"]


@pytest.mark.parametrize("charset", ["UTF-8", "ANSI_X3.4-1968"])
def test_java_describes_itself(charset: str) -> None:
    assert inventory.parse_java(JAVA_17.format(charset=charset)) == Java(
        home="/usr/lib/jvm/java-17-openjdk-amd64", major=17, version="17.0.15", encoding=charset
    )


@pytest.mark.parametrize(
    ("version", "major"), [("1.8.0_412", 8), ("11.0.2", 11), ("21", 21), ("25-ea", 25)]
)
def test_every_way_to_write_a_version_has_its_major(version: str, major: int) -> None:
    java = inventory.parse_java(f"    java.home = /opt/jdk\n    java.version = {version}\n")
    assert java == Java(home="/opt/jdk", major=major, version=version)


def test_from_java_18_on_file_names_show_the_locale() -> None:
    java = inventory.parse_java(
        "    file.encoding = UTF-8\n    java.home = /opt/jdk\n    java.version = 21.0.4\n"
        "    sun.jnu.encoding = ANSI_X3.4-1968\n"
    )
    assert java is not None
    assert java.encoding == "ANSI_X3.4-1968"


@pytest.mark.parametrize("text", ["", 'openjdk version "17.0.15" 2025-04-15\n'])
def test_a_java_that_does_not_describe_itself_is_unknown(text: str) -> None:
    assert inventory.parse_java(text) is None


def test_python_describes_itself() -> None:
    argv = [sys.executable, "-I", "-c", inventory.DESCRIBE_PYTHON]
    text = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    python = inventory.parse_python(f"a greeting of sitecustomize\n{text}")
    assert python is not None
    assert python.version == ".".join(map(str, sys.version_info[:3]))
    assert python.release_level == sys.version_info.releaselevel
    assert python.prefix == os.path.realpath(sys.prefix)
    assert python.packages["pytest"] == pytest.__version__


def test_names_of_packages_are_normalised() -> None:
    facts = {"executable": "p", "version": "3.7.5", "release_level": "final", "prefix": "/p"}
    python = inventory.parse_python(json.dumps({**facts, "packages": {"Ruamel.YAML_x": "1"}}))
    assert python is not None
    assert python.packages == {"ruamel-yaml-x": "1"}


@pytest.mark.parametrize("text", ["", "\n", "Segmentation fault\n"])
def test_a_python_that_prints_no_json_is_unknown(text: str) -> None:
    assert inventory.parse_python(text) is None


def test_the_script_is_python_37() -> None:
    ast.parse(inventory.DESCRIBE_PYTHON, feature_version=(3, 7))


def test_packages_of_dpkg_and_apk_are_parsed() -> None:
    assert inventory.parse_packages(DPKG) == {"acl": "2.3.1-3", "libc6": "2.36-9+deb12u10"}
    assert inventory.parse_packages(APK) == {
        "musl": "1.2.5-r0",
        "procps-ng": "4.0.4-r0",
        "ca-certificates-bundle": "20240226-r0",
    }
    assert inventory.parse_packages("") is None


def test_the_environment_may_have_lines_and_equals_signs() -> None:
    environment = inventory.parse_environment("A=1\0B=two\nlines=2\0EMPTY=\0")
    assert environment == {"A": "1", "B": "two\nlines=2", "EMPTY": ""}
