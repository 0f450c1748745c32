"""SYS: accounts, sudo, services and libraries that are set up in a way that a cluster ignores."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, NotApplicable, answer, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

    from pytest_dcs.inventory import Inventory, User
    from pytest_dcs.launch import Launch

CONTAINERS_PAGE = "https://learn.microsoft.com/azure/databricks/compute/custom-containers"
MINIMAL_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/minimal/Dockerfile"
)

FIPS_VARIABLE = "OPENSSL_FORCE_FIPS_MODE"

LIST_SUDOERS = "ls -A /etc/sudoers.d"
LEFT_BY_PACKAGES = re.compile(r"\..*|.*~|.*\.(?:dpkg|ucf|rpm)[a-z-]*")
"""Hidden files, backups of editors and what package managers put aside: nobody means them."""

WRITE_INTO = 'file=$(mktemp %s/.pytest-dcs.XXXXXX) && rm "$file" && echo ready'

DAEMONS = {
    "amazon-cloudwatch-agent": "amazon-cloudwatch-agent",
    "anacron": "cron",
    "apache2": "apache2",
    "cron": "cron",
    "cronie": "cron",
    "datadog-agent": "datadog",
    "filebeat": "filebeat",
    "fluent-bit": "fluent-bit",
    "nginx": "nginx",
    "postgresql": "postgresql",
    "redis-server": "redis",
    "rsyslog": "syslog",
    "supervisor": "supervisor",
    "telegraf": "telegraf",
}
"""Packages whose use is a service, and a word of every command that starts it."""

READ_AUTOMATIC = "cat /var/lib/apt/extended_states"
AUTOMATIC = re.compile(r"^Package: (.+)\n(?:.+\n)*?Auto-Installed: 1$", re.MULTILINE)
"""Packages that came for another's sake: https://manpages.debian.org/bookworm/apt/apt-mark.8.en.html"""


@rule(
    "SYS016",
    "one-user-an-id",
    level="advice",
    effect="wrong-result",
    where="cluster",
    sources=(
        "https://github.com/databricks/containers/commit/840b63a",
        "https://github.com/databricks/containers/pull/215",
        "https://github.com/jupyterhub/repo2docker/issues/1346",
    ),
)
def test_one_user_an_id(dcs_inventory: Inventory) -> None:
    """Files and their access control lists keep a user's number. What is opened to `libraries` is
    open to a second user of that number too, and `ls` shows the name that comes first. Ubuntu 24.04
    has a user `ubuntu` of number 1000, which is the first number that `useradd` gives elsewhere.

    Fix: `RUN useradd libraries` without `--uid` and `--non-unique`; where Ubuntu's own user is not
    wanted, `RUN userdel --remove ubuntu` before it.
    """
    if dcs_inventory.users is None:
        raise NotApplicable("/etc/passwd could not be read")
    require_none(shared_ids(dcs_inventory.users))


@rule(
    "SYS017",
    "openssl-ignores-fips",
    level="advice",
    effect="disables-feature",
    need="fips_off",
    where="cluster",
    sources=(
        "https://github.com/databricks/containers/commit/89dbef0",
        "https://bugs.launchpad.net/ubuntu/+source/ca-certificates/+bug/2066990",
    ),
)
def test_openssl_ignores_fips(dcs_inventory: Inventory) -> None:
    """OpenSSL of Ubuntu 24.04 goes into FIPS mode where the kernel of the node is in it, and the
    image has no FIPS provider: TLS and apt then fail on such nodes and on no laptop. The official
    images set a variable against it since 16.4, "Workaround for
    https://bugs.launchpad.net/ubuntu/+source/ca-certificates/+bug/2066990".

    Fix: `ENV OPENSSL_FORCE_FIPS_MODE=0`
    """
    system = dcs_inventory.os
    if system is None or (system.id, system.version_id) != ("ubuntu", "24.04"):
        raise NotApplicable("the image is not built on Ubuntu 24.04")
    value = dcs_inventory.environment.get(FIPS_VARIABLE)
    require(value == "0", f"ENV {FIPS_VARIABLE}", found=value or "not set", needed="0")


@rule(
    "SYS018",
    "sudoers-files-are-read",
    level="advice",
    effect="disables-feature",
    where="cluster",
    requires=("SYS006",),
    sources=(
        "https://www.sudo.ws/docs/man/sudoers.man/#Including_other_files_from_within_sudoers",
    ),
)
def test_sudoers_files_are_read(host: Host) -> None:
    """In /etc/sudoers.d sudo leaves out files "that end in '~' or contain a '.' character", without
    a word. The rights in them are not given: "sudo: a password is required".

    Fix: give the file a name without a dot, `COPY --chmod=0440 data-team.conf
    /etc/sudoers.d/data-team`.
    """
    names = host.run(LIST_SUDOERS).stdout.splitlines()
    require_none(
        Item(f"/etc/sudoers.d/{name}", "a name with a dot", "a name that sudo reads")
        for name in names
        if "." in name and not LEFT_BY_PACKAGES.fullmatch(name)
    )


@rule(
    "SYS019",
    "home-is-writable",
    level="advice",
    effect="disables-feature",
    where="cluster",
    requires=("SYS004", "SYS009"),
    sources=(
        "https://pip.pypa.io/en/stable/topics/caching/",
        "https://matplotlib.org/stable/install/environment_variables_faq.html",
        "https://www.sudo.ws/docs/man/sudoers.man/#Command_environment",
    ),
)
def test_home_is_writable(host: Host, dcs_inventory: Inventory) -> None:
    """Tools keep settings and caches in the home directory: pip, Ivy, matplotlib, git. Processes
    that the platform starts through sudo have root's of /etc/passwd, others that of HOME.

    Fix: leave `ENV HOME` out, and keep /root; in scripts that clean up, `RUN rm -rf /root/.cache`.
    """
    homes = {
        user.home: f"home of {user.name}" for user in dcs_inventory.users or () if not user.uid
    }
    homes[dcs_inventory.environment.get("HOME", "")] = "HOME"
    results = {path: host.run(WRITE_INTO, path) for path in homes if path}
    require_none(
        Item(
            f"{subject} {path}".strip(),
            answer(results[path]) if path else "not set",
            "a directory that root can write to",
        )
        for path, subject in homes.items()
        if not path or results[path].stdout.strip() != "ready"
    )


@rule(
    "SYS020",
    "services-are-started",
    level="advice",
    effect="disables-feature",
    where="cluster",
    sources=(CONTAINERS_PAGE, "https://docs.databricks.com/aws/en/init-scripts/"),
)
def test_services_are_started(host: Host, dcs_inventory: Inventory, dcs_launch: Launch) -> None:
    """A cluster runs neither the image's ENTRYPOINT nor an init system of its own choice: a daemon
    that is installed starts if an init script starts it. Without one the schedule of cron is kept
    by nobody and no agent sends logs.

    Fix: start it in an init script, `service cron start`, and name that script here too
    (`--dcs-init-script`); or leave the package out.
    """
    if dcs_inventory.packages is None:
        raise NotApplicable("the installed packages could not be read")
    installed = sorted(DAEMONS.keys() & dcs_inventory.packages.keys())
    if not installed:
        raise NotApplicable("no package of a known daemon is installed")
    automatic = set(AUTOMATIC.findall(host.run(READ_AUTOMATIC).stdout))
    scripts = "".join(script_texts(host, dcs_launch))
    require_none(
        Item(f"package {name}", "no init script starts it", f"one with `{DAEMONS[name]}`")
        for name in installed
        if name not in automatic and DAEMONS[name] not in scripts
    )


@rule(
    "SYS021",
    "sudo-has-its-right",
    level="advice",
    effect="disables-feature",
    where="cluster",
    requires=("SYS006",),
    sources=(
        CONTAINERS_PAGE,
        "https://www.sudo.ws/docs/man/sudo.man/",
        "https://docs.docker.com/reference/cli/docker/container/export/",
    ),
)
def test_sudo_has_its_right(host: Host) -> None:
    """To start a process as another user sudo must belong to root and be "setuid". A hardening
    step, `chown -R` or a squashed layer takes that away. Root does not notice; everybody else gets
    "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set".

    Fix: `RUN chown root:root /usr/bin/sudo && chmod 4755 /usr/bin/sudo` as the last line.
    """
    result = host.run('sudo=$(command -v sudo) && ls -lnL "$sudo"')
    require(
        re.match(r"-..s\S*\s+\d+\s+0\s", result.stdout),
        "sudo",
        found=answer(result),
        needed="owned by root and setuid (-rwsr-xr-x)",
    )


def shared_ids(users: tuple[User, ...]) -> Iterator[Item]:
    """Yield an item for each number, and each name, that several users have."""
    for number, count in Counter(user.uid for user in users).items():
        names = [user.name for user in users if user.uid == number]
        if count > 1 and len(set(names)) > 1:
            yield Item(f"user id {number}", ", ".join(names), "one user")
    for name, count in Counter(user.name for user in users).items():
        if count > 1:
            yield Item(f"user {name}", f"{count} lines in /etc/passwd", "one")


def script_texts(host: Host, launch: Launch) -> Iterator[str]:
    """Yield what the init scripts say, those in the image as well."""
    for script in launch.request.init_scripts:
        if script.content is not None:
            yield script.content.decode(errors="replace")
        else:
            yield host.run("cat %s", script.path).stdout
