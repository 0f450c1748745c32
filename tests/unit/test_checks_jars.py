from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.checks import jars
from pytest_dcs.rules import NotApplicable, RuleBroken
from pytest_dcs.runtimes import load

from .fake_host import MISSING, FakeHost, Result, finding_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = "/databricks/jars"
LTS_15 = load().find("15.4")


def a_jar(names: Iterable[str], *, size: int = 0) -> bytes:
    """Return a jar with empty files, and one of random size before them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as jar:
        jar.writestr("filler", bytes(size))
        for name in names:
            jar.writestr(name, b"")
    return buffer.getvalue()


@dataclass
class JarHost:
    """Has jars, and knows `find` and `tail`."""

    jars: Mapping[str, bytes]
    read: int = 0

    def run(self, command: str, *arguments: str) -> Any:
        if command.startswith("find"):
            return Result("".join(f"{path}\n" for path in self.jars))
        _, option, size, _ = command.split()
        assert option == "-c"
        tail = self.jars[arguments[0]][-int(size) :]
        self.read += len(tail)
        return SimpleNamespace(stdout_bytes=tail)


def named(*names: str) -> JarHost:
    return JarHost({f"{FOLDER}/{name}": a_jar(["com/example/A.class"]) for name in names})


def launched(*spark_conf: str) -> Any:
    return SimpleNamespace(request=SimpleNamespace(spark_conf=spark_conf))


def test_an_image_without_jars_is_not_asked() -> None:
    for check in (jars.test_jars_without_spark, jars.test_jars_once):
        with pytest.raises(NotApplicable):
            check(FakeHost({"find": Result(rc=1)}))
    with pytest.raises(NotApplicable):
        jars.test_jars_match_scala(FakeHost({"find": Result(rc=1)}), LTS_15)


def test_without_find_nothing_is_known() -> None:
    with pytest.raises(NotApplicable, match="no `find`"):
        jars.test_jars_once(FakeHost({"find": MISSING}))
    with pytest.raises(NotApplicable, match="no `find`"):
        jars.test_jars_where_spark_looks(FakeHost({"find": MISSING}), launched())


def test_a_jar_for_another_scala_is_found() -> None:
    jars.test_jars_match_scala(named("a_2.12-1.0.jar", "plain-1.0.jar", "b_2.12.jar"), LTS_15)
    found = finding_of(jars.test_jars_match_scala, named("a_2.13-1.0.jar"), LTS_15)
    assert found == f"{FOLDER}/a_2.13-1.0.jar: found built for Scala 2.13; needed built for 2.12"


def test_both_scalas_of_a_runtime_are_right() -> None:
    both = replace(LTS_15, scala=("2.12", "2.13"))
    jars.test_jars_match_scala(named("a_2.12-1.0.jar", "a_2.13-1.0.jar"), both)
    with pytest.raises(NotApplicable):
        jars.test_jars_match_scala(named("a_2.13-1.0.jar"), replace(LTS_15, scala=()))


def test_what_was_built_into_a_jar_tells_its_scala() -> None:
    note = "META-INF/maven/com.example/parser_2.13/pom.properties"
    host = JarHost({f"{FOLDER}/etl.jar": a_jar([note])})
    assert "Scala 2.13" in finding_of(jars.test_jars_match_scala, host, LTS_15)
    jars.test_jars_match_scala(JarHost({f"{FOLDER}/etl_2.12.jar": a_jar([note])}), LTS_15)


@pytest.mark.parametrize(("name", "library"), jars.RUNTIMES_OWN.items())
def test_a_jar_with_the_runtimes_own_classes_is_found(name: str, library: str) -> None:
    jars.test_jars_without_spark(JarHost({f"{FOLDER}/etl.jar": a_jar([f"shaded/{name}"])}))
    found = finding_of(jars.test_jars_without_spark, JarHost({f"{FOLDER}/etl.jar": a_jar([name])}))
    assert found.startswith(f"{FOLDER}/etl.jar: found classes of {library}; needed none")


@pytest.mark.parametrize("count", [1, 5_000], ids=["short list", "long list"])
def test_of_a_large_jar_only_its_end_is_read(count: int) -> None:
    names = [f"com/example/with/a/name/of/some/length/Class{n}.class" for n in range(count)]
    jar = a_jar([*names, "scala/Predef.class"], size=20_000_000)
    host = JarHost({f"{FOLDER}/etl.jar": jar})
    assert "Scala's library" in finding_of(jars.test_jars_without_spark, host)
    assert host.read < len(jar) / 2


@pytest.mark.parametrize("content", [b"", b"PK", bytes(3_000), a_jar(["scala/Predef.class"])[:-30]])
def test_what_is_no_jar_has_no_classes(content: bytes) -> None:
    jars.test_jars_without_spark(JarHost({f"{FOLDER}/etl.jar": content}))


@pytest.mark.parametrize(
    "names",
    [
        ("rapids-4-spark_2.12-23.04.0.jar", "rapids-4-spark_2.12-23.06.0.jar"),
        ("connector-1.2-SNAPSHOT.jar", "connector-1.1.jar"),
        ("native-1.0.1.Final-linux.jar", "native-1.0.2.Final-linux.jar"),
        ("connector.jar", "connector-1.1.jar"),
    ],
)
def test_a_jar_in_two_versions_is_found(names: tuple[str, ...]) -> None:
    found = finding_of(jars.test_jars_once, named(*names))
    assert found.endswith(f"found {', '.join(sorted(names))}; needed one version of it")


@pytest.mark.parametrize(
    "names",
    [
        ("native-1.0.jar", "native-1.0-linux-x86_64.jar", "native-1.0-linux-aarch_64.jar"),
        ("commons-lang-2.6.jar", "commons-lang3-3.12.0.jar"),
        ("spark-xml_2.12-0.17.0.jar", "spark-avro_2.12-0.17.0.jar"),
        ("log4j-api-2.20.jar", "log4j-core-2.20.jar"),
    ],
)
def test_jars_that_belong_together_are_no_copies(names: tuple[str, ...]) -> None:
    jars.test_jars_once(named(*names))


@pytest.mark.parametrize(
    "path",
    [
        "/opt/spark/jars/postgresql-42.7.1.jar",
        "/usr/local/lib/delta-spark_2.12-3.2.0.jar",
        "/home/libraries/spark-xml.jar",
    ],
)
def test_a_jar_where_spark_does_not_look_is_found(path: str) -> None:
    host = FakeHost({"find": Result(f"{path}\n")})
    folder, _, name = path.rpartition("/")
    found = finding_of(jars.test_jars_where_spark_looks, host, launched())
    assert found.startswith(f"{folder}: found {name}; needed in {FOLDER}")
    jars.test_jars_where_spark_looks(host, launched(f"spark.jars={path}"))
    jars.test_jars_where_spark_looks(host, launched(f"spark.driver.extraClassPath={folder}/*"))
    with pytest.raises(RuleBroken):
        jars.test_jars_where_spark_looks(host, launched(f"spark.app.name={path}"))


def test_a_folder_of_jars_is_one_item() -> None:
    paths = "".join(f"/opt/spark/jars/library{n:03}.jar\n" for n in range(250))
    host = FakeHost({"find": Result(paths)})
    found = finding_of(jars.test_jars_where_spark_looks, host, launched())
    assert found.startswith("/opt/spark/jars: found 250 jars, library000.jar the first;")


@pytest.mark.parametrize("path", ["/opt/flyway/lib/flyway-10.1.jar", "/home/spark/tool-1.0.jar"])
def test_jars_of_other_programs_are_let_be(path: str) -> None:
    host = FakeHost({"find": Result(f"{path}\n")})
    jars.test_jars_where_spark_looks(host, launched())
