"""What was read off a container once, parsed into frozen dataclasses; None is unknown."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME_PYTHON = "/databricks/python3/bin/python"
OS_RELEASE_LINE = re.compile(r"""^(\w+)=(["']?)(.*?)\2$""", re.MULTILINE)
JAVA_SETTINGS = re.compile(r"^ {4}(\S+) = (.*)$", re.MULTILINE)

READ_FILES = r"""
for file in /etc/os-release /etc/passwd /etc/shadow /proc/self/environ; do
  [ -r "$file" ] && printf '\0\0%s\0' "$file" && cat "$file"
done
"""
"""Two zero bytes before each name: text has none, and an environment no two in a row."""

DESCRIBE_JAVA = '"${JNAME:+/usr/lib/jvm/$JNAME/bin/}java" -XshowSettings:properties -version 2>&1'

DESCRIBE_PYTHON = """
import json, os, re, sys
try:
    from importlib.metadata import distributions
except ImportError:
    distributions = None
packages = {}
if distributions:
    for each in distributions():
        name = (each.metadata or {}).get("Name")
        if name:
            packages.setdefault(name, each.version)
else:
    for directory in filter(os.path.isdir, sys.path):
        for entry in os.listdir(directory):
            match = re.match(r"(.+?)-([^-]+?)(-.*)?[.](dist|egg)-info$", entry)
            if match:
                packages.setdefault(match.group(1), match.group(2))
print(json.dumps({
    "executable": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "release_level": sys.version_info[3],
    "prefix": os.path.realpath(sys.prefix),
    "packages": packages,
}))
"""
"""Python 3.7 has no importlib.metadata: there the names of the metadata's directories say it."""

DESCRIBE_MACHINE = r"""
count=0 model=
while IFS=: read -r name value; do
  case $name in
    processor*) count=$((count + 1)) ;;
    "model name"*) model=$value ;;
  esac
done < /proc/cpuinfo && echo "$count x${model:- CPU}"
"""
"""With what the shell has built in: no process is started for it."""

LIST_PACKAGES = r"""
if command -v dpkg-query; then
  dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\n'
elif command -v apk; then
  apk info -v
elif command -v rpm; then
  rpm -qa --qf 'installed\t%{NAME}\t%{VERSION}-%{RELEASE}\n'
fi
"""


@dataclass(frozen=True)
class OsRelease:
    """The distribution, as `/etc/os-release` names it."""

    id: str
    version_id: str | None = None
    id_like: tuple[str, ...] = ()


@dataclass(frozen=True)
class User:
    """One line of `/etc/passwd`, with the state of its password."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    locked: bool | None = None
    """Whether the password in `/etc/shadow` is locked; None where nothing says so."""


@dataclass(frozen=True)
class TrustStoreSetting:
    """The system properties `javax.net.ssl.trustStore…`, empty where they are not set."""

    path: str
    type: str = ""
    password: str = ""


@dataclass(frozen=True)
class Java:
    """A JVM that answered, described by its own system properties."""

    home: str
    major: int
    version: str
    encoding: str | None = None
    """The charset that the JVM takes for text and file names, `UTF-8`."""
    trust_store: TrustStoreSetting | None = None
    """What its options name instead of the trust store of the JDK."""


@dataclass(frozen=True)
class Python:
    """A Python interpreter that answered, described by itself."""

    executable: str
    version: str
    release_level: str
    prefix: str
    packages: Mapping[str, str] = field(default_factory=dict)
    """Versions of the distributions on its path, by normalised name."""


@dataclass(frozen=True)
class Inventory:
    """The facts that rules look at; a fact that nobody could read is None."""

    os: OsRelease | None = None
    users: tuple[User, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """The environment of a root process of the container."""
    java: Java | None = None
    """The JVM that the platform would take: of `JNAME` where it is set, else of `PATH`."""
    python: Python | None = None
    """The interpreter of `/databricks/python3`."""
    packages: Mapping[str, str] | None = None
    """Versions of the distribution's own packages, by name."""
    machine: str = ""
    """How many processors of which model there are, `8 x AMD EPYC 7763`; empty: unknown."""


class Completed(Protocol):
    """What a command left: the shell's result is one."""

    @property
    def returncode(self) -> int:
        """The exit status."""

    @property
    def stdout(self) -> bytes:
        """What the command printed."""


class Commands(Protocol):
    """What runs commands in a container: the shell is one."""

    def run(self, command: str) -> Completed:
        """Run a command of /bin/sh."""


def collect(shell: Commands) -> Inventory:
    """Read the facts of a running container with five commands."""
    files = parse_files(output_of(shell, READ_FILES, partly=True) or "")
    python = f"cd / && {RUNTIME_PYTHON} -I -c {shlex.quote(DESCRIBE_PYTHON)}"
    return Inventory(
        os=parse_os_release(files.get("/etc/os-release", "")),
        users=parse_users(files.get("/etc/passwd"), files.get("/etc/shadow", "")),
        environment=parse_environment(files.get("/proc/self/environ", "")),
        java=parse_java(output_of(shell, DESCRIBE_JAVA) or ""),
        python=parse_python(output_of(shell, python) or ""),
        packages=parse_packages(output_of(shell, LIST_PACKAGES) or ""),
        machine=(output_of(shell, DESCRIBE_MACHINE) or "").strip(),
    )


def output_of(shell: Commands, command: str, *, partly: bool = False) -> str | None:
    """Return what a command prints, or None where it fails, unless part of it will do.

    A command that hangs or floods is the finding of the rule that runs it, not of all others.
    """
    try:
        completed = shell.run(command)
    except AssertionError:
        return None
    if completed.returncode != 0 and not partly:
        return None
    return completed.stdout.decode(errors="replace")


def parse_files(text: str) -> Mapping[str, str]:
    """Return contents by name from what `READ_FILES` prints."""
    parts = (part.partition("\0") for part in text.split("\0\0") if part)
    return {name: content for name, _, content in parts}


def parse_os_release(text: str) -> OsRelease | None:
    """Return the distribution; None without a line `ID=`.

    https://www.freedesktop.org/software/systemd/man/latest/os-release.html
    """
    fields = {name: value for name, _, value in OS_RELEASE_LINE.findall(text)}
    if "ID" not in fields:
        return None
    return OsRelease(
        id=fields["ID"],
        version_id=fields.get("VERSION_ID"),
        id_like=tuple(fields.get("ID_LIKE", "").split()),
    )


def parse_users(passwd: str | None, shadow: str) -> tuple[User, ...] | None:
    """Return the users of passwd(5), each with the state of its password by shadow(5)."""
    if passwd is None:
        return None
    secrets = dict(line.split(":")[:2] for line in shadow.splitlines() if ":" in line)
    rows = (line.split(":") for line in passwd.splitlines() if line.count(":") == 6)  # noqa: PLR2004
    return tuple(
        User(
            name=name,
            uid=int(uid),
            gid=int(gid),
            home=home,
            shell=login_shell,
            locked=secrets[name].startswith(("!", "*")) if name in secrets else None,
        )
        for name, _, uid, gid, _, home, login_shell in rows
        if uid.isdecimal() and gid.isdecimal()
    )


def parse_environment(text: str) -> Mapping[str, str]:
    """Return the variables of `/proc/self/environ`."""
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def parse_java(text: str) -> Java | None:
    """Return the JVM that `-XshowSettings:properties` describes; None where it does not.

    Since Java 18 `file.encoding` is UTF-8 whatever the locale, and only `sun.jnu.encoding` shows
    what file names are written in (https://openjdk.org/jeps/400): the one that is not UTF-8 counts.
    """
    properties = dict(JAVA_SETTINGS.findall(text))
    version = re.match(r"(?:1\.)?(\d+)", properties.get("java.version", ""))
    if version is None or "java.home" not in properties:
        return None
    encodings = [properties.get(name) for name in ("file.encoding", "sun.jnu.encoding")]
    known = [encoding for encoding in encodings if encoding]
    other = [encoding for encoding in known if encoding.upper() not in {"UTF-8", "UTF8"}]
    return Java(
        home=properties["java.home"],
        major=int(version[1]),
        version=properties["java.version"],
        encoding=next(iter(other + known), None),
        trust_store=parse_trust_store_setting(properties),
    )


def parse_trust_store_setting(properties: Mapping[str, str]) -> TrustStoreSetting | None:
    """Return which trust store a JVM's options name; None where they name none."""
    path, kind, password = (
        properties.get(f"javax.net.ssl.trustStore{part}", "") for part in ("", "Type", "Password")
    )
    return TrustStoreSetting(path, kind, password) if path else None


def parse_python(text: str) -> Python | None:
    """Return the interpreter that describes itself; None where it prints no JSON."""
    try:
        facts = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    packages = {normalised(name): version for name, version in facts.pop("packages").items()}
    return Python(**facts, packages=packages)


def normalised(name: str) -> str:
    """Return a distribution's name as Python's packaging tools compare it.

    https://packaging.python.org/en/latest/specifications/name-normalization/
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_packages(text: str) -> Mapping[str, str] | None:
    """Return versions by name from what `LIST_PACKAGES` prints; None where it listed nothing.

    dpkg and rpm print columns; apk prints `name-version-release`.
    """
    packages = {}
    for line in text.splitlines():
        columns = line.split("\t")
        if columns[0] == "installed":
            packages[columns[1]] = columns[2]
        elif re.search(r"-[^-]+-r\d+$", line):
            name, version, release = line.rsplit("-", 2)
            packages[name] = f"{version}-{release}"
    return packages or None
