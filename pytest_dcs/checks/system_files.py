"""SYS: the users, names and files that the platform takes for granted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.rules import Blocked, Item, NotApplicable, answer, require, require_none, rule

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_dcs.image import Image
    from pytest_dcs.inventory import Inventory
    from pytest_dcs.launch import Launch

MINIMAL_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/minimal/Dockerfile"
)
WORKER_SCRIPT = "https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh"

WITH_ACL = "/tmp/.pytest-dcs-acl"  # noqa: S108 - a path in the container, made and removed here
SET_ACL = (
    f": >{WITH_ACL} && setfacl -m u:%s:r-- {WITH_ACL} && getfacl -cp {WITH_ACL};"
    f" status=$?; rm -f {WITH_ACL}; exit $status"
)
RUN_IN_TMP = (
    "file=/tmp/.pytest-dcs-run; printf '#!/bin/sh\\necho ready\\n' >$file"
    " && chmod 700 $file && $file; status=$?; rm -f $file; exit $status"
)
LOOK_UP_HOST_NAME = 'read -r name </proc/sys/kernel/hostname && getent hosts "$name"'
HOST_NAME_IS_GIVEN = (
    'read -r name </proc/sys/kernel/hostname; while read -r line; do case "$line " in '
    '*[[:space:]]"$name"[[:space:]]*) exit 0;; esac; done </etc/hosts; exit 1'
)
NOT_FOUND = 127
"""The exit status of a shell that finds no such program."""


@rule(
    "SYS007",
    "acl",
    level="fail",
    effect="disables-feature",
    need="acl",
    where="cluster",
    requires=("SYS009", "SYS010"),
    sources=(
        "https://docs.databricks.com/aws/en/compute/custom-containers",
        "https://github.com/databricks/containers/pull/139",
    ),
)
def test_acl(host: Host, dcs_inventory: Inventory) -> None:
    """The platform opens files to the user `libraries` and to users of notebooks by access control
    lists: "setfacl: command not found" ends the installation of cluster libraries.

    Fix: `RUN apt-get update && apt-get install -y acl`
    """
    names = {user.name for user in dcs_inventory.users or ()}
    user = "libraries" if "libraries" in names else "root"
    result = host.run(SET_ACL, user)
    if "Operation not supported" in result.stderr:
        raise NotApplicable("the file system of this container keeps no access control lists")
    require(
        f"user:{user}:r--" in result.stdout,
        f"setfacl -m u:{user}:r-- and getfacl",
        found=answer(result),
        needed=f"the entry user:{user}:r--",
    )


@rule(
    "SYS008",
    "libraries-user",
    level="fail",
    effect="disables-feature",
    need="libraries_user",
    where="cluster",
    sources=(MINIMAL_DOCKERFILE, "https://github.com/databricks/containers/pull/135"),
)
def test_libraries_user(dcs_inventory: Inventory) -> None:
    """Libraries of the cluster are installed as the user `libraries`, which the official images
    create "for cluster library installation" and lock, so that nobody can log in with it.

    Fix: `RUN useradd libraries && usermod -L libraries`
    """
    if dcs_inventory.users is None:
        raise NotApplicable("/etc/passwd could not be read")
    users = [user for user in dcs_inventory.users if user.name == "libraries"]
    if users and users[0].locked is None:
        raise NotApplicable("/etc/shadow could not be read")
    require(
        users and users[0].locked,
        "user libraries",
        found="a password that is not locked" if users else "no such user",
        needed="a user with a locked password",
    )


@rule(
    "SYS009",
    "root-has-a-name",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(
        "https://github.com/apache/spark/pull/40798",
        "https://github.com/apache/hadoop/pull/7325",
    ),
)
def test_root_has_a_name(host: Host) -> None:
    """Hadoop's login, which every Spark JVM makes, asks for the name of its user:
    "LoginException: java.lang.NullPointerException: invalid null input: name".

    Fix: keep the line `root:x:0:0:root:/root:/bin/bash` in /etc/passwd.
    """
    result = host.run("id -un")
    name = result.stdout.strip()
    if result.rc > 1 or (result.succeeded and not name):
        raise Blocked(f"`id` of coreutils does not work: {answer(result)}")
    require(name == "root", "name of user 0 (id -un)", found=answer(result), needed="root")


@rule(
    "SYS010",
    "tmp-works",
    level="fail",
    effect="blocks-start",
    where="cluster",
    requires=("SYS004",),
    sources=(
        WORKER_SCRIPT,
        "https://github.com/xerial/snappy-java/issues/240",
        "https://github.com/luben/zstd-jni/issues/113",
    ),
)
def test_tmp_works(host: Host) -> None:
    """The platform hands its settings over in files in /tmp, and Spark's native libraries are
    unpacked and loaded there: "failed to map segment from shared object".

    Fix: `RUN mkdir -p /tmp && chmod 1777 /tmp`, and no `VOLUME /tmp`.
    """
    result = host.run(RUN_IN_TMP)
    require(
        result.stdout.strip() == "ready",
        "a script written to /tmp",
        found=answer(result),
        needed="it can be written and run",
    )


@rule(
    "SYS011",
    "host-name-resolves",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(
        "https://github.com/sparklyr/sparklyr/issues/2045",
        "https://github.com/epahomov/docker-spark/issues/1",
    ),
)
def test_host_name_resolves(host: Host, dcs_image: Image) -> None:
    """Spark binds to the address of the container's own name, which the platform writes into
    /etc/hosts: "java.net.UnknownHostException: …: Name or service not known".

    Fix: keep `hosts: files dns` in /etc/nsswitch.conf, and let no program rewrite /etc/hosts.
    """
    result = host.run(LOOK_UP_HOST_NAME)
    if result.rc == NOT_FOUND:
        raise NotApplicable("the image has no `getent` to ask; the Spark job shows it")
    if result.failed and dcs_image.seen_from == "inside" and host.run(HOST_NAME_IS_GIVEN).failed:
        # So it is in a container without a network. A node has the name in that file.
        raise NotApplicable("this machine has no address for its own name in /etc/hosts")
    require(
        result.succeeded and result.stdout.strip(),
        "getent hosts of the container's name",
        found=answer(result),
        needed="its address",
    )


@rule(
    "SYS015",
    "platform-paths-are-free",
    level="advice",
    effect="wrong-result",
    where="container",
    step="runtime-code",
    sources=(
        "https://learn.microsoft.com/en-us/azure/databricks/compute/custom-containers",
        "https://github.com/NVIDIA/spark-rapids-container/blob/main/Databricks/README.md",
    ),
)
def test_platform_paths_are_free(dcs_launch: Launch) -> None:
    """The platform copies the runtime's code into the container and mounts storage at /dbfs,
    /Workspace and /Volumes. What the image has at such a path is replaced, mixed with the
    platform's own files or hidden by a mount, so that it is on a laptop and not on a cluster.

    Fix: put own files elsewhere, `COPY models /opt/models`; jars that Spark is to load belong into
    /databricks/jars, packages into /databricks/python3.
    """
    require_none(
        Item(path, "files of the image", "none: the path is the platform's own")
        for path in dcs_launch.platform_paths
    )
