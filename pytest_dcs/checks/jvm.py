"""JVM: the JDK that runs the driver and the executors; Databricks brings none into the image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, NotApplicable, answer, require, require_none, rule

if TYPE_CHECKING:
    from testinfra.backend.base import CommandResult
    from testinfra.host import Host

    from pytest_dcs.image import Image
    from pytest_dcs.inventory import Inventory, Java
    from pytest_dcs.runtimes import Runtime

CONTAINERS_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
MINIMAL_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/minimal/Dockerfile"
)
RUNTIME_16 = "https://learn.microsoft.com/azure/databricks/release-notes/runtime/16.0"

DRIVER_OPTIONS = (
    "-Djava.io.tmpdir=/local_disk0/tmp -XX:-OmitStackTraceInFastThrow -XX:-UseContainerSupport"
    " -Xss4m"
)
"""Options that a driver of July 2023 logged, without those of JDK 8 alone and sizes of memory."""

JDK_TOOLS = {"javac -version": r"javac \d", "jmap -h": r"jmap "}
"""Programs that only a JDK has, and what their answer must contain."""


@rule(
    "JVM001",
    "java-runs",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    sources=(CONTAINERS_PAGE, MINIMAL_DOCKERFILE),
)
def test_java_runs(host: Host) -> None:
    """Databricks needs "a JDK as Java on the system PATH" and starts the driver with it. Without
    one the cluster ends with "SPARK_STARTUP_FAILURE".

    Fix: `RUN apt-get update && apt-get install -y openjdk-8-jdk-headless` for runtimes before 16.0,
    `openjdk-17-jdk-headless` from 16.0 on.
    """
    result = host.run("java -version")
    require(names_version(result), "java -version", found=answer(result), needed="a JVM that runs")


@rule(
    "JVM002",
    "java-major",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    requires=("JVM001", "JVM004"),
    sources=(CONTAINERS_PAGE, RUNTIME_16),
)
def test_java_major(dcs_java: Java, dcs_inventory: Inventory, dcs_runtime: Runtime) -> None:
    """The runtime's classes are built for its default JDK: "UnsupportedClassVersionError: … class
    file version 61.0, this version of the Java Runtime only recognizes class file versions up to
    52.0". Databricks asks to "match the JDK to the default Java version of your target Databricks
    Runtime version"; the variable JNAME selects another one where the runtime has one.

    Fix: install that JDK and make it the default: `RUN apt-get install -y openjdk-17-jdk-headless
    && update-java-alternatives -s java-1.17.0-openjdk-amd64`; for a JDK that the runtime offers
    beside its default, set `ENV JNAME=` to the name of its directory in /usr/lib/jvm.
    """
    if dcs_runtime.java is None:
        raise NotApplicable(f"the JDK of runtime {dcs_runtime.version} is not known")
    accepted = {dcs_runtime.java}
    if dcs_inventory.environment.get("JNAME"):
        if not dcs_runtime.jname:
            raise NotApplicable(f"what JNAME selects on {dcs_runtime.version} is not known")
        accepted.update(dcs_runtime.java_selectable)
    choices = " or ".join(map(str, sorted(accepted)))
    require(
        dcs_java.major in accepted,
        f"Java in {dcs_java.home}",
        found=f"{dcs_java.major} ({dcs_java.version})",
        needed=f"{choices}, as runtime {dcs_runtime.name} has",
    )


@rule(
    "JVM003",
    "java-home-exists",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    requires=("JVM001",),
    sources=(
        "https://spark.apache.org/docs/latest/configuration.html#environment-variables",
        "https://github.com/jupyter/docker-stacks/issues/1459",
    ),
)
def test_java_home_exists(host: Host, dcs_image: Image) -> None:
    """Spark prefers JAVA_HOME to the `java` of PATH: "spark-class: line 71:
    /usr/lib/jvm/java-17-openjdk-amd64/bin/java: No such file or directory".

    Fix: leave `ENV JAVA_HOME` out, or name the directory that `readlink -f $(command -v java)`
    shows, without `/bin/java`.
    """
    home = dcs_image.config.environment.get("JAVA_HOME")
    if not home:
        raise NotApplicable("the image sets no JAVA_HOME")
    result = host.run("%s -version", f"{home}/bin/java")
    require(
        names_version(result),
        f"ENV JAVA_HOME={home}",
        found=answer(result),
        needed="a directory whose bin/java runs",
    )


@rule(
    "JVM004",
    "jname-exists",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    requires=("JVM001",),
    sources=(RUNTIME_16, "https://github.com/hail-is/hail/pull/15529"),
)
def test_jname_exists(host: Host, dcs_inventory: Inventory) -> None:
    """JNAME names a directory in /usr/lib/jvm, and the platform starts the driver with its JVM.
    Databricks' values, such as zulu17-ca-amd64, are the directories of Zulu's packages; other
    distributions of Java have others.

    Fix: `RUN ln -s java-17-openjdk-amd64 /usr/lib/jvm/zulu17-ca-amd64`, or leave `ENV JNAME` out.
    """
    name = dcs_inventory.environment.get("JNAME")
    if not name:
        raise NotApplicable("JNAME is not set")
    result = host.run("%s -version", f"/usr/lib/jvm/{name}/bin/java")
    require(
        names_version(result),
        f"ENV JNAME={name}",
        found=answer(result),
        needed="a directory of /usr/lib/jvm whose bin/java runs",
    )


@rule(
    "JVM005",
    "jdk-not-jre",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="cluster",
    requires=("JVM001", "JVM004"),
    sources=(CONTAINERS_PAGE, "https://github.com/apache/spark/pull/45762"),
)
def test_jdk_not_jre(host: Host, dcs_java: Java) -> None:
    """Databricks asks for a JDK. With a runtime environment (JRE) Spark starts, and what its pages
    ask the JDK's tools for stays empty, such as the heap histogram of an executor.

    Fix: install `openjdk-17-jdk-headless` instead of `openjdk-17-jre-headless`.
    """
    directory = f"{dcs_java.home.removesuffix('/jre')}/bin"
    answers = {command: host.run(f"{directory}/{command} 2>&1") for command in JDK_TOOLS}
    require_none(
        Item(f"{directory}/{command}", answer(answers[command]), "the tool of a JDK")
        for command, expected in JDK_TOOLS.items()
        if not re.search(expected, answers[command].stdout)
    )


@rule(
    "JVM006",
    "utf8-in-jvm",
    level="fail",
    effect="wrong-result",
    feature="jvm",
    need="utf8",
    where="cluster",
    requires=("JVM001", "JVM004"),
    sources=(
        "https://github.com/databricks/containers/commit/dc9e266",
        "https://openjdk.org/jeps/400",
    ),
)
def test_utf8_in_jvm(dcs_java: Java) -> None:
    """The JVM takes the charset of text and file names from the locale. Without one it is ASCII,
    and every other letter is read and written as "?". The official images set the locale "to
    support UC".

    Fix: `ENV LANG=C.UTF-8 LC_ALL=C.UTF-8`
    """
    if dcs_java.encoding is None:
        raise NotApplicable("the JVM does not say which charset it uses")
    require(
        dcs_java.encoding.upper().replace("_", "-") in {"UTF-8", "UTF8"},
        f"charset of {dcs_java.home}",
        found=dcs_java.encoding,
        needed="UTF-8",
    )


@rule(
    "JVM007",
    "driver-options-accepted",
    level="fail",
    effect="blocks-start",
    feature="jvm",
    where="cluster",
    requires=("JVM001", "JVM004"),
    step="driver-options",
    sources=(
        CONTAINERS_PAGE,
        "https://www.oracle.com/java/technologies/javase/8u191-relnotes.html",
    ),
)
def test_driver_options_accepted(host: Host, dcs_java: Java) -> None:
    """The platform starts its JVMs with `-XX:-UseContainerSupport` and further options; its list of
    what an image needs asked for "JDK 8u191", the first that knows this one. An older JDK ends with
    "Unrecognized VM option 'UseContainerSupport'".

    Fix: a newer patch of the JDK, for runtimes before 16.0
    `RUN apt-get install -y openjdk-8-jdk-headless`.
    """
    result = host.run(f"%s {DRIVER_OPTIONS} -version", f"{dcs_java.home}/bin/java")
    require(
        names_version(result),
        "java with the driver's options",
        found=answer(result),
        needed=f"a JVM that takes {DRIVER_OPTIONS}",
    )


def names_version(result: CommandResult) -> bool:
    """Tell whether `java -version` ran and described its JVM, as all do on stderr."""
    return result.succeeded and re.search(r'version "\d', result.stderr) is not None
