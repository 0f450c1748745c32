"""JVM: the jars that an image brings for Spark, their names and what is in them."""

from __future__ import annotations

import io
import re
import zipfile
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_dcs.checks.system_files import NOT_FOUND
from pytest_dcs.rules import Item, NotApplicable, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testinfra.host import Host

    from pytest_dcs.launch import Launch
    from pytest_dcs.runtimes import Runtime

CLASS_PATH = "/databricks/jars"
LIST_CLASS_PATH = f"find {CLASS_PATH}/ -maxdepth 1 -name '*.jar'"

NOT_LOOKED_INTO = (
    *("site-packages", "dist-packages", "node_modules", "jvm", "pytest-dcs"),
    *(".cache", ".gradle", ".ivy2", ".m2", ".sbt"),
)
"""Folders of other programs and of build tools, whose jars are not meant for Spark."""
LIST_ELSEWHERE = "find /opt /usr/local /root /home -xdev {} -name '*.jar' -print".format(
    " ".join(f"-name {name} -prune -o" for name in NOT_LOOKED_INTO)
)

FOR_SPARK = re.compile(r".*/jars/[^/]+|.*/[^/]*(?:_2\.1\d[-.]|spark)[^/]*", re.IGNORECASE)
"""Jars in a folder of this name, those for a version of Scala, and those that name Spark."""
CLASS_PATH_SETTINGS = ("spark.jars", "ExtraClassPath", "extraClassPath")

TAILS = (2**18, 2**23)
"""Bytes at the end of a jar in which the list of its files is sought; the second is enough for
about 80 000 files."""

RUNTIMES_OWN = {
    "org/apache/spark/SparkContext.class": "Spark",
    "org/apache/spark/sql/SparkSession.class": "Spark SQL",
    "org/apache/hadoop/conf/Configuration.class": "Hadoop",
    "org/apache/log4j/Logger.class": "log4j 1",
    "org/apache/logging/log4j/core/Logger.class": "log4j 2",
    "org/antlr/v4/runtime/Parser.class": "ANTLR",
    "com/fasterxml/jackson/databind/ObjectMapper.class": "Jackson",
    "scala/Predef.class": "Scala's library",
}
"""One class of each library that the runtime brings and that breaks when it is there twice."""

SCALA_IN_NAME = re.compile(r"_(2\.\d+)(?=[-./]|$)")
VERSIONED = re.compile(
    r"(?P<name>.+?)-v?\d+(?:\.\d+)+[^-]*(?:-(?:SNAPSHOT|RC|M|alpha|beta)\w*)?(?P<classifier>-.*)?"
)
"""The name of a jar as Maven makes it, without `.jar`.

https://maven.apache.org/guides/mini/guide-naming-conventions.html
"""


@rule(
    "JVM010",
    "jars-match-scala",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="container",
    sources=(
        "https://github.com/databricks/containers/issues/220",
        "https://github.com/weaviate/spark-connector/issues/88",
    ),
)
def test_jars_match_scala(host: Host, dcs_runtime: Runtime) -> None:
    """A library of Scala is built for one of its minor versions, and its jar says which. In a
    runtime with another one the first call ends with "java.lang.NoSuchMethodError" or
    "java.lang.NoClassDefFoundError: scala/…".

    Fix: take the artifact for the runtime's Scala, `COPY connector_2.13-1.2.jar /databricks/jars/`
    instead of `connector_2.12-1.2.jar`.
    """
    if not dcs_runtime.scala:
        raise NotApplicable(f"the Scala of runtime {dcs_runtime.version} is not known")
    needed = " or ".join(dcs_runtime.scala)
    built_for = {path: scala_of(path, files) for path, files in contents(host).items()}
    require_none(
        Item(path, f"built for Scala {', '.join(versions)}", f"built for {needed}")
        for path, versions in built_for.items()
        if versions and not set(versions) & set(dcs_runtime.scala)
    )


@rule(
    "JVM011",
    "jars-without-spark",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="container",
    sources=(
        "https://github.com/feathr-ai/feathr/issues/1030",
        "https://github.com/NVIDIA/spark-rapids-container/issues/20",
        "https://github.com/NVIDIA/spark-rapids-container/issues/47",
    ),
)
def test_jars_without_spark(host: Host) -> None:
    """Jars in /databricks/jars are on one class path with the runtime's own. Where one was built
    with all its dependencies, either copy of a class may be loaded: "java.lang.NoSuchMethodError",
    or a logging configuration that nobody reads.

    Fix: build the jar with Spark and what it brings as `provided`, or shaded to names of its own;
    then `COPY etl.jar /databricks/jars/`.
    """
    found = {path: runtimes_own(files) for path, files in contents(host).items()}
    require_none(
        Item(path, f"classes of {', '.join(libraries)}", "none of the runtime's own libraries")
        for path, libraries in found.items()
        if libraries
    )


@rule(
    "JVM012",
    "jars-once",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="container",
    sources=("https://github.com/NVIDIA/spark-rapids-container/issues/47",),
)
def test_jars_once(host: Host) -> None:
    """All jars in /databricks/jars are on one class path. Of a library that is there in two
    versions some classes come from one and some from the other: "java.lang.NoSuchMethodError".

    Fix: remove the old one in the line that brings the new one, `RUN rm
    /databricks/jars/connector_2.12-1.1.jar`.
    """
    copies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in class_path(host):
        jar = PurePosixPath(path)
        match = VERSIONED.fullmatch(jar.stem)
        key = (match["name"], match["classifier"] or "") if match else (jar.stem, "")
        copies[key].append(jar.name)
    require_none(
        Item(f"{CLASS_PATH}: {name}", ", ".join(sorted(jars)), "one version of it")
        for (name, _), jars in sorted(copies.items())
        if len(jars) > 1
    )


@rule(
    "JVM013",
    "jars-where-spark-looks",
    level="advice",
    effect="disables-feature",
    feature="jvm",
    where="container",
    sources=(
        "https://github.com/databricks/containers/issues/120",
        "https://github.com/databricks/containers/issues/22",
        "https://github.com/projectglow/glow/issues/456",
    ),
)
def test_jars_where_spark_looks(host: Host, dcs_launch: Launch) -> None:
    """The runtime's Spark loads the jars in /databricks/jars, not those of another Spark in the
    image: "TypeError: 'JavaPackage' object is not callable", "java.lang.ClassNotFoundException".

    Fix: `COPY connector_2.12-1.2.jar /databricks/jars/`, or name the jar in the cluster's setting
    `spark.jars` (here with `--dcs-spark-conf`).
    """
    settings = [
        setting
        for setting in dcs_launch.request.spark_conf
        if any(name in setting for name in CLASS_PATH_SETTINGS)
    ]
    folders: dict[str, list[str]] = defaultdict(list)
    for path in listed(host, LIST_ELSEWHERE):
        if FOR_SPARK.fullmatch(path):
            folders[str(PurePosixPath(path).parent)].append(PurePosixPath(path).name)
    require_none(
        Item(
            folder,
            jars[0] if len(jars) == 1 else f"{len(jars)} jars, {jars[0]} the first",
            f"in {CLASS_PATH}, if Spark is to load them",
        )
        for folder, jars in folders.items()
        if not any(folder in setting for setting in settings)
    )


def class_path(host: Host) -> list[str]:
    """Return the jars of the image that are on the class path of the runtime."""
    paths = listed(host, LIST_CLASS_PATH)
    if not paths:
        raise NotApplicable(f"the image has no jars in {CLASS_PATH}")
    return [path.replace("//", "/") for path in paths]


def listed(host: Host, command: str) -> list[str]:
    """Return the paths that a command prints; it fails, too, where a folder does not exist."""
    result = host.run(command)
    if result.rc == NOT_FOUND:
        raise NotApplicable("the image has no `find` to look for jars with")
    return sorted(result.stdout.splitlines())


def contents(host: Host) -> Mapping[str, Sequence[str]]:
    """Return the names of the files in the jars of the class path, none for one that is no jar."""
    return {path: files_of(host, path) for path in class_path(host)}


def files_of(host: Host, path: str) -> Sequence[str]:
    """Return the names of the files in a jar, from the list at its end."""
    for size in TAILS:
        tail = host.run(f"tail -c {size} %s", path).stdout_bytes
        try:
            with zipfile.ZipFile(io.BytesIO(tail)) as jar:
                return jar.namelist()
        except (zipfile.BadZipFile, ValueError):
            continue
    return ()


def scala_of(path: str, files: Sequence[str]) -> list[str]:
    """Return the versions of Scala that a jar's name, or Maven's notes in it, say."""
    own = SCALA_IN_NAME.findall(PurePosixPath(path).name)
    notes = (name for name in files if name.startswith("META-INF/maven/"))
    return sorted(
        set(own or (version for name in notes for version in SCALA_IN_NAME.findall(name)))
    )


def runtimes_own(files: Sequence[str]) -> Sequence[str]:
    """Return which of the runtime's libraries have classes among the files."""
    names = set(files)
    return [library for name, library in RUNTIMES_OWN.items() if name in names]
