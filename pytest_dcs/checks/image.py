"""IMG: what the builder wrote into the image's config; needs no container."""

from __future__ import annotations

import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_dcs.image.secrets import masked
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from pytest_dcs.image import Image
    from pytest_dcs.runtimes import Runtime

CONTAINERS_PAGE = "https://learn.microsoft.com/azure/databricks/compute/custom-containers"
DBFSFUSE_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/dbfsfuse/Dockerfile"
)

SHELLS = frozenset({"sh", "ash", "bash", "dash", "zsh"})
INTERPRETERS = frozenset({"python", "python3", "ipython", "jshell", "R"})
WRAPPERS = frozenset({"tini", "dumb-init", "nvidia_entrypoint.sh", "__cacert_entrypoint.sh"})
WITHOUT_LOSS = SHELLS | INTERPRETERS | WRAPPERS
"""Programs whose absence takes nothing away: base images start them for people at a terminal."""

HARMLESS_DIRECTORIES = frozenset({"", "/", "/databricks"})
"""Values of WORKDIR that nobody relies on; official images for GPUs set the last one."""

JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")
PLATFORM_VARIABLES = (
    "CLASSPATH",
    "DB_HOME",
    "HIVE_HOME",
    "MASTER",
    "PYTHONPATH",
    "R_LIBS",
    "SPARK_CONF_DIR",
    "SPARK_DIST_CLASSPATH",
    "SPARK_HOME",
    "SPARK_LOCAL_DIRS",
    "SPARK_LOCAL_IP",
)
"""Variables that the platform sets for the driver and the executors."""


@rule(
    "IMG001",
    "platform-is-linux-amd64",
    level="fail",
    effect="blocks-start",
    where="image",
    sources=(CONTAINERS_PAGE, "https://github.com/databricks/containers/issues/211"),
)
def test_platform_is_linux_amd64(dcs_image: Image) -> None:
    """Container Services runs on linux/amd64 only; arm64 (Graviton) instance types are not
    supported. The cluster does not start: "exec format error".

    Fix: build with `docker build --platform linux/amd64 …`, also on an Apple laptop.
    """
    platform = dcs_image.config.platform
    require(
        platform == "linux/amd64", "platform of the image", found=platform, needed="linux/amd64"
    )


@rule(
    "IMG002",
    "user-is-root",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        DBFSFUSE_DOCKERFILE,
        "https://github.com/yxtay/databricks-runtime-containers/commit/f7f3b28",
    ),
)
def test_user_is_root(dcs_image: Image) -> None:
    """Within a Container Services container the user is always root: the launch writes to
    /databricks, mounts and calls sudo. What another USER does there is not documented; linters
    that ask for one are right for other platforms.

    Fix: leave `USER` out, or end the Dockerfile with `USER root`.
    """
    user = dcs_image.config.user.partition(":")[0]
    require(user in {"", "0", "root"}, "USER of the image", found=user, needed="root")


@rule(
    "IMG003",
    "no-volumes",
    level="advice",
    effect="wrong-result",
    where="image",
    sources=(
        "https://docs.docker.com/reference/dockerfile/#volume",
        "https://github.com/moby/moby/issues/14385",
    ),
)
def test_no_volumes(dcs_image: Image) -> None:
    """What a Dockerfile writes below a `VOLUME` after that line is dropped by some builders, and
    at run time an anonymous volume lies over the directory, lost with each container.

    Fix: remove the `VOLUME` line; where a base image brings it, put your files elsewhere.
    """
    require_none(
        Item(f"VOLUME {path} of the image", "declared", "none: what it masks is lost")
        for path in dcs_image.config.volumes
    )


@rule(
    "IMG004",
    "entrypoint-is-not-needed",
    level="advice",
    effect="disables-feature",
    where="image",
    sources=(CONTAINERS_PAGE,),
)
def test_entrypoint_is_not_needed(dcs_image: Image) -> None:
    """Databricks documents that it "ignores the Docker primitives CMD and ENTRYPOINT". A service
    that they start does not run on a cluster, and variables that an entrypoint script exports are
    not set. Bare shells and interpreters of a base image do no harm.

    Fix: start services from a cluster init script and set variables with `ENV`; `ENTRYPOINT []`
    and `CMD ["bash"]` say that nothing is meant to start.
    """
    command = (*dcs_image.config.entrypoint, *dcs_image.config.command)
    lost = [
        word
        for word in command
        if not word.startswith("-") and PurePosixPath(word).name not in WITHOUT_LOSS
    ]
    require(
        not lost,
        "ENTRYPOINT and CMD of the image",
        found=masked(" ".join(command)),
        needed="nothing that a cluster must have run, because it ignores both",
    )


@rule(
    "IMG005",
    "no-java-options",
    level="advice",
    effect="wrong-result",
    where="image",
    sources=(
        "https://docs.oracle.com/en/java/javase/17/troubleshoot/environment-variables-and-system-properties.html",
        "https://github.com/apache/spark/pull/2725",
    ),
)
def test_no_java_options(dcs_image: Image) -> None:
    """Every JVM obeys these variables: a heap size in them overrides the one that the platform
    computed for the node, and each JVM prints "Picked up JAVA_TOOL_OPTIONS: …" where scripts parse
    its output.

    Fix: remove the variable from `ENV` and set `spark.driver.extraJavaOptions` and
    `spark.executor.extraJavaOptions` on the cluster.
    """
    environment = dcs_image.config.environment
    require_none(
        Item(f"ENV {name} of the image", masked(environment[name]), "not set")
        for name in JAVA_OPTIONS
        if environment.get(name)
    )


@rule(
    "IMG006",
    "no-platform-variables",
    level="advice",
    effect="disables-feature",
    where="image",
    sources=(
        "https://github.com/databricks/containers/issues/44",
        "https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh",
    ),
)
def test_no_platform_variables(dcs_image: Image) -> None:
    """The platform sets these variables for its own Spark. A value from the image is overwritten,
    so what relies on it works in `docker run` and not in a notebook, or points Spark at another
    installation.

    Fix: remove the variable from `ENV`; install Python code into /databricks/python3 instead of
    naming it in `PYTHONPATH`, and put Spark settings into the cluster's configuration.
    """
    environment = dcs_image.config.environment
    require_none(
        Item(f"ENV {name} of the image", masked(environment[name]), "not set: it is the platform's")
        for name in PLATFORM_VARIABLES
        if environment.get(name)
    )


@rule(
    "IMG007",
    "runtime-in-support",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://learn.microsoft.com/azure/databricks/release-notes/runtime/",
        "https://learn.microsoft.com/azure/databricks/release-notes/runtime/databricks-runtime-ver",
    ),
)
def test_runtime_in_support(dcs_runtime: Runtime) -> None:
    """A runtime past its end of support gets no security fixes, and Databricks may refuse to start
    clusters with it.

    Fix: build the image `FROM` the newest LTS tag of its base, such as
    `databricksruntime/standard:17.3-LTS`, and test it with `--dcs-runtime=17.3`.
    """
    end = dcs_runtime.end_of_support
    if end is None:
        raise NotApplicable(f"the end of support of {dcs_runtime.name} is not known")
    require(
        datetime.date.today() <= end,
        f"Databricks Runtime {dcs_runtime.name}",
        found=f"end of support on {end:%Y-%m-%d}",
        needed="a runtime in support",
    )


@rule(
    "IMG008",
    "config-is-honoured",
    level="advice",
    effect="disables-feature",
    where="image",
    sources=(
        CONTAINERS_PAGE,
        "https://github.com/databricks/databricks-agent-skills/blob/main/experimental/databricks-ai-runtime/docker-images.md",
        "https://github.com/getml/getml-demo/issues/48",
    ),
)
def test_config_is_honoured(dcs_image: Image) -> None:
    """The platform starts processes of its own in the container. The driver works in
    /databricks/driver whatever `WORKDIR` says, so relative paths lead elsewhere; nobody runs a
    `HEALTHCHECK`, and no `STOPSIGNAL` is sent.

    Fix: use absolute paths in code and scripts; leave `HEALTHCHECK` and `STOPSIGNAL` out.
    """
    config = dcs_image.config
    ignored = {
        "WORKDIR": config.working_directory
        if config.working_directory.rstrip("/") not in HARMLESS_DIRECTORIES
        else "",
        "HEALTHCHECK": " ".join(config.health_check if config.health_check != ("NONE",) else ()),
        "STOPSIGNAL": config.stop_signal,
    }
    require_none(
        Item(
            f"{name} of the image",
            masked(value),
            "nothing that a cluster must obey, because none does",
        )
        for name, value in ignored.items()
        if value
    )
