"""SYS: the programs that the platform's own scripts run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, NotApplicable, answer, require, require_none, rule

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_dcs.inventory import Inventory
    from pytest_dcs.launch import Launch

CONTAINERS_PAGE = "https://learn.microsoft.com/azure/databricks/compute/custom-containers"
MINIMAL_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/minimal/Dockerfile"
)
WORKER_SCRIPT = "https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh"

COREUTILS = {
    "nohup -- echo ready": "ready",
    "readlink -f /": "/",
    "stat -c %u /": "0",
    "id -u": "0",
    "dirname /databricks/spark": "/databricks",
    "basename /databricks/spark": "spark",
    "printf '15.4\\n17.3\\n' | head -n 1": "15.4",
    "echo spark.master | cut -d . -f 2": "master",
    "echo true | tr a-z A-Z": "TRUE",
    "printf '15.4\\n17.3\\n' | wc -l": "2",
    "echo ready | cat": "ready",
    "date -u +%Z": "UTC",
    "d=$(mktemp -d /pytest-dcs.XXXXXX) && mkdir -p $d/a/b && chmod 700 $d/a && cp -r $d/a $d/c"
    " && [ -d $d/c/b ] && rm -r $d && echo ready": "ready",
}
"""Commands with the options of the platform's and Spark's scripts, and what each must print.

What is printed counts, not only the exit status: a shell runs an empty file with success.
"""

ALPINE_PACKAGES = ("bash", "coreutils", "iproute2", "procps|procps-ng", "sudo")
GLIBC_FOR_ALPINE = "gcompat|libc6-compat|glibc"


@rule(
    "SYS001",
    "shell-answers",
    level="fail",
    effect="blocks-start",
    where="cluster",
    requires=("IMG001",),
    waivable=False,
    step="container",
    sources=(CONTAINERS_PAGE,),
)
def test_shell_answers(dcs_launch: Launch) -> None:
    """Databricks creates a container from the image and runs its own scripts in it as root. An
    image without a working /bin/sh, or for another processor, ends the cluster with
    "CONTAINER_LAUNCH_FAILURE". No other rule can be checked without it.

    Fix: start from a distribution's image, `FROM ubuntu:22.04`; distroless and scratch images have
    no shell.
    """
    require(
        dcs_launch.failure is None,
        "launch of the image",
        found=dcs_launch.failure,
        needed="a container whose /bin/sh answers as root",
    )


@rule(
    "SYS002",
    "bash-runs",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(CONTAINERS_PAGE, MINIMAL_DOCKERFILE),
)
def test_bash_runs(host: Host) -> None:
    """The scripts that start the driver and the workers, Spark's own and most init scripts are
    written for bash: "bash: command not found", or a syntax error where `bash` is another shell.

    Fix: `RUN apt-get update && apt-get install -y bash`
    """
    words = (
        "words=(driver worker); [[ ${#words[@]} -eq 2 ]] && exec /bin/bash -c 'echo $BASH_VERSION'"
    )
    result = host.run("bash -c %s", words)
    require(
        result.succeeded and result.stdout.strip(),
        "bash",
        found=answer(result),
        needed="GNU bash on PATH and at /bin/bash",
    )


@rule(
    "SYS003",
    "iproute2",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(CONTAINERS_PAGE, MINIMAL_DOCKERFILE),
)
def test_iproute2(host: Host) -> None:
    """Databricks lists iproute2 among what every image needs; its `ip` tells the addresses of the
    container when a node starts.

    Fix: `RUN apt-get update && apt-get install -y iproute2`
    """
    result = host.run("ip -o addr")
    require(
        result.succeeded and re.search(r"^\d+:\s+\S+\s+inet6? ", result.stdout, re.MULTILINE),
        "ip -o addr",
        found=answer(result),
        needed="the addresses of the container, one a line",
    )


@rule(
    "SYS004",
    "coreutils",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(
        CONTAINERS_PAGE,
        MINIMAL_DOCKERFILE,
        WORKER_SCRIPT,
        "https://github.com/apache/spark/pull/22538",
    ),
)
def test_coreutils(host: Host) -> None:
    """The start scripts use these programs with these options. Small replacements exist under the
    same names and do not know all of them: "nohup: can't execute '--': No such file or directory".

    Fix: `RUN apt-get update && apt-get install -y coreutils`
    """
    results = {command: host.run(command) for command in COREUTILS}
    require_none(
        Item(command, answer(results[command]), expected)
        for command, expected in COREUTILS.items()
        if results[command].stdout.strip() != expected
    )


@rule(
    "SYS005",
    "procps",
    level="fail",
    effect="wrong-result",
    where="cluster",
    sources=(
        CONTAINERS_PAGE,
        "https://github.com/wolfi-dev/os/pull/21395",
        "https://github.com/big-data-europe/docker-spark/issues/134",
    ),
)
def test_procps(host: Host) -> None:
    """Spark's scripts ask `ps` whether the JVM they started still runs. Without an answer they go
    on and silently leave options out: "load-spark-env.sh: line 68: ps: command not found"; the
    `ps` of BusyBox says "ps: unrecognized option: p".

    Fix: `RUN apt-get update && apt-get install -y procps`
    """
    results = {command: host.run(command) for command in ("ps -p 1 -o comm=", "ps -o stat= -p $$")}
    require_none(
        Item(command, answer(result), "one word about the process")
        for command, result in results.items()
        if result.failed or len(result.stdout.split()) != 1
    )


@rule(
    "SYS006",
    "sudo-without-password",
    level="fail",
    effect="blocks-start",
    where="cluster",
    requires=("SYS009",),
    sources=(
        CONTAINERS_PAGE,
        MINIMAL_DOCKERFILE,
        "https://github.com/ansible/molecule/issues/595",
    ),
)
def test_sudo_without_password(host: Host, dcs_inventory: Inventory) -> None:
    """The platform starts processes through sudo, as root and as users without rights, where no
    terminal and nobody to type a password is: "sudo: sorry, you must have a tty to run sudo",
    "sudo: a password is required".

    Fix: `RUN apt-get update && apt-get install -y sudo`, and leave `root ALL=(ALL:ALL) ALL` in
    /etc/sudoers without `requiretty`.
    """
    others = {user.name for user in dcs_inventory.users or () if user.uid != 0}
    targets = ["root", *sorted(others & {"nobody"})]
    results = {user: host.run("sudo -n -u %s sh -c 'echo ready'", user) for user in targets}
    require_none(
        Item(f"sudo -n -u {user}", answer(result), "a command run without a password")
        for user, result in results.items()
        if result.stdout.strip() != "ready"
    )


@rule(
    "SYS012",
    "start-script-tools",
    level="fail",
    effect="blocks-start",
    where="cluster",
    sources=(WORKER_SCRIPT,),
)
def test_start_script_tools(host: Host) -> None:
    """Beside bash and coreutils, which have rules of their own, the script that starts a worker
    reads the platform's settings with grep: "grep: command not found".

    Fix: `RUN apt-get update && apt-get install -y grep`
    """
    result = host.run("printf 'spark.master\\nhive.conf\\n' | grep '^spark[.]'")
    require(
        result.stdout.strip() == "spark.master",
        "grep '^spark[.]'",
        found=answer(result),
        needed="the line that matches",
    )


@rule(
    "SYS014",
    "alpine-is-complete",
    level="advice",
    effect="disables-feature",
    where="cluster",
    sources=(
        CONTAINERS_PAGE,
        "https://github.com/databricks/containers/blob/master/experimental/alpine/minimal/Dockerfile",
        "https://github.com/apache/spark/pull/23898",
    ),
)
def test_alpine_is_complete(dcs_inventory: Inventory) -> None:
    """On Alpine the small programs of BusyBox stand under the names of those that Databricks lists,
    and Spark's native libraries are built for glibc: "Error loading shared library
    ld-linux-x86-64.so.2".

    Fix: `RUN apk add bash coreutils procps sudo iproute2 gcompat`; Databricks recommends Ubuntu.
    """
    if dcs_inventory.os is None or dcs_inventory.os.id != "alpine":
        raise NotApplicable("the image is not built on Alpine")
    installed = dcs_inventory.packages
    if installed is None:
        raise NotApplicable("the installed packages could not be read")
    require_none(
        Item("packages of Alpine", f"no {choice.replace('|', ', ')}", "installed by apk")
        for choice in (*ALPINE_PACKAGES, GLIBC_FOR_ALPINE)
        if not any(name in installed for name in choice.split("|"))
    )
