"""An archive is used only where it is whole and fits, and is made once, and not in pipelines."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs import class_data, errors, runtimes, stash, warm
from pytest_dcs.class_data import Archive, Java, Wish
from pytest_dcs.launch_request import LaunchRequest
from pytest_dcs.stages import Smoke, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.class_data import Job
    from pytest_dcs.engines import Engine
    from pytest_dcs.image import Image
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Plan

SPARK = "9.9.9"
CONTENT = b"classes" * 1000
DEBIAN = (
    "OpenJDK 64-Bit Server VM (17.0.21+2-1-deb12u1-Debian) for linux-amd64 JRE "
    '(17.0.21+2-1-deb12u1-Debian), built on Nov 19 2026 15:40:50 by "buildd" with gcc 12.2.0'
)
ZULU = (
    "OpenJDK 64-Bit Server VM (11.0.22+7-LTS) for linux-amd64 JRE (Zulu11.70+15-CA) "
    '(11.0.22+7-LTS), built on Jan 12 2024 18:44:00 by "zulu_re" with gcc 4.9.2'
)
ORACLE = (
    "Java HotSpot(TM) 64-Bit Server VM (21.0.2+13-LTS-58) for linux-amd64 JRE (21.0.2+13-LTS-58), "
    'built on 2024-01-05T18:32:24Z by "mach5one" with gcc 11.2.0'
)
JAVA_8 = (
    "OpenJDK 64-Bit Server VM (25.402-b06) for linux-amd64 JRE (1.8.0_402-b06), "
    'built on Jan 20 2024 10:52:13 by "buildd" with gcc 12.2.0'
)
JAVA_10 = DEBIAN.replace("17.0.21+2-1", "10.0.2+13")
OPENJ9 = 'Eclipse OpenJ9 VM (0.43.0) for linux-amd64 JRE (17.0.10+7), built by "jenkins"'


def answer(version: str = DEBIAN, modules: str = "modules 129171055 1795075647") -> str:
    return "\n".join(
        [
            "home /usr/lib/jvm/java-17",
            modules,
            f"archive {class_data.archive_name(SPARK, 'f' * 16)}",
            "jar /databricks/spark/jars/zstd-jni-1.5.jar",
            "jar /databricks/spark/jars/activation-1.1.jar",
            version,
        ]
    )


def a_java(key: str = "k" * 16, *archives: str) -> Java:
    return Java(key, "17.0.21", "/usr/lib/jvm/java-17", "conf/:a.jar", frozenset(archives))


def stored(cache: Path, key: str, content: bytes = CONTENT, job: Job = "python") -> Archive:
    cache.mkdir(exist_ok=True)
    name = class_data.archive_name(SPARK, key)
    return class_data.store(cache, name, job, [content[:100], content[100:]], len(content))


def members(archives: tuple[Archive, ...]) -> dict[str, bytes]:
    with class_data.tar_of(archives) as content:
        whole = content.read()
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        extracted = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in extracted.items() if file is not None}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("version", "told"), [(DEBIAN, "17.0.21"), (ZULU, "11.0.22"), (ORACLE, "21.0.2")]
)
def test_a_jvm_is_read_off_its_own_words(version: str, told: str) -> None:
    java = class_data.parse_java(answer(version))
    assert java is not None
    assert java.version == told
    assert java.home == "/usr/lib/jvm/java-17"
    assert java.archives == {class_data.archive_name(SPARK, "f" * 16)}


@pytest.mark.parametrize("version", [JAVA_8, JAVA_10, OPENJ9, "", "Segmentation fault"])
def test_a_jvm_that_can_use_no_archive_is_left_alone(version: str) -> None:
    assert class_data.parse_java(answer(version)) is None


def test_a_jvm_whose_modules_are_not_to_be_found_is_left_alone() -> None:
    assert class_data.parse_java(answer(modules="stat: cannot stat modules")) is None


@pytest.mark.parametrize(
    "other",
    [
        answer(DEBIAN.replace("deb12u1", "deb12u2")),
        answer(DEBIAN.replace("15:40:50", "15:40:51")),
        answer(modules="modules 129171056 1795075647"),
        answer(modules="modules 129171055 1795075648"),
    ],
)
def test_every_build_has_a_key_of_its_own(other: str) -> None:
    first, second = class_data.parse_java(answer()), class_data.parse_java(other)
    assert first is not None
    assert second is not None
    assert first.key != second.key


def test_the_class_path_has_the_same_order_everywhere() -> None:
    java = class_data.parse_java(answer())
    assert java is not None
    assert java.class_path.split(":") == [
        "/databricks/spark/conf/",
        "/databricks/spark/jars/activation-1.1.jar",
        "/databricks/spark/jars/zstd-jni-1.5.jar",
    ]


def test_an_archive_is_used_only_where_the_container_has_it() -> None:
    name = class_data.archive_name(SPARK, "k" * 16)
    options = class_data.options(SPARK, a_java("k" * 16, name))
    assert f"-XX:SharedArchiveFile={class_data.MOUNT}/{name} " in options
    assert options.endswith("-cp conf/:a.jar")
    assert not class_data.options(SPARK, a_java("o" * 16, name))
    assert not class_data.options(SPARK, None)


def test_what_was_stored_is_found_and_sent_as_it_was(cache: Path) -> None:
    archives = (stored(cache, "a"), stored(cache, "b", b"other" * 512))
    assert class_data.find(cache, SPARK) == archives
    assert not class_data.find(cache, "9.9")
    assert members(archives) == {
        class_data.archive_name(SPARK, "a"): CONTENT,
        class_data.archive_name(SPARK, "b"): b"other" * 512,
    }


@pytest.mark.parametrize("damage", ["cut", "no-marker", "broken-marker", "other-marker"])
def test_a_damaged_archive_is_not_found(cache: Path, damage: str) -> None:
    archive = stored(cache, "a")
    marker = archive.path.with_name(f"{archive.path.name}.json")
    if damage == "cut":
        archive.path.write_bytes(CONTENT[:-1])
    elif damage == "no-marker":
        marker.unlink()
    else:
        marker.write_text("{" if damage == "broken-marker" else '{"size": 7000}')
    assert not class_data.find(cache, SPARK)
    assert class_data.missing(cache, SPARK, a_java("a"), "python") is not None


def test_an_archive_with_another_hash_is_not_sent_and_removed(cache: Path) -> None:
    stored(cache, "a").path.write_bytes(CONTENT.replace(b"c", b"k", 1))
    stored(cache, "b")
    found = class_data.find(cache, SPARK)
    assert len(found) == 2
    assert list(members(found)) == [class_data.archive_name(SPARK, "b")]
    assert [archive.path.name for archive in class_data.find(cache, SPARK)] == [
        class_data.archive_name(SPARK, "b")
    ]


def test_nothing_is_read_for_a_volume_that_is_there(cache: Path) -> None:
    damaged = stored(cache, "a")
    damaged.path.write_bytes(bytes(len(CONTENT)))
    with class_data.tar_of([damaged]):
        pass
    assert damaged.path.exists()


@pytest.mark.parametrize("ending", [KeyboardInterrupt, OSError])
def test_making_that_is_stopped_leaves_what_was_there(
    cache: Path, ending: type[BaseException]
) -> None:
    def content() -> Iterator[bytes]:
        yield b"half"
        raise ending

    whole = stored(cache, "a")
    before = sorted(cache.iterdir())
    with pytest.raises(ending):
        class_data.store(cache, whole.path.name, "python", content(), 8)
    assert sorted(cache.iterdir()) == before
    assert class_data.find(cache, SPARK) == (whole,)


def test_an_archive_of_which_a_part_has_come_is_not_kept(cache: Path) -> None:
    cache.mkdir()
    with pytest.raises(OSError, match="4 of 8 bytes have come"):
        class_data.store(cache, class_data.archive_name(SPARK, "a"), "sql", [b"half"], 8)
    assert not list(cache.iterdir())


def test_the_volume_is_named_after_what_is_in_it(cache: Path) -> None:
    first, second = stored(cache, "a"), stored(cache, "b")
    names = {
        class_data.volume_name(SPARK, [first]),
        class_data.volume_name(SPARK, [second]),
        class_data.volume_name(SPARK, [first, second]),
        class_data.volume_name(SPARK, [stored(cache, "a", CONTENT[::-1])]),
        class_data.volume_name("9.9.8", [first]),
    }
    assert len(names) == 5
    assert class_data.volume_name(SPARK, [second, first]) in names


@pytest.mark.parametrize(
    ("there", "job", "is_missing"),
    [
        (None, "python", True),
        (None, "sql", True),
        ("sql", "python", True),
        ("sql", "sql", False),
        ("python", "sql", False),
        ("python", "python", False),
    ],
)
def test_what_is_missing_is_an_archive_with_the_classes_of_the_job(
    cache: Path, there: Job | None, job: Job, is_missing: bool
) -> None:
    if there:
        stored(cache, "a", job=there)
    wish = class_data.missing(cache, SPARK, a_java("a"), job)
    assert wish == (Wish("a", "17.0.21", "/usr/lib/jvm/java-17") if is_missing else None)


def test_nothing_is_missing_where_the_jvm_can_use_none(cache: Path) -> None:
    assert class_data.missing(cache, SPARK, None, "python") is None


def test_what_could_not_be_made_is_left_alone_for_a_while(cache: Path) -> None:
    cache.mkdir()
    name = class_data.archive_name(SPARK, "a")
    class_data.note_failure(cache, name, "the JVM did not make it")
    assert class_data.missing(cache, SPARK, a_java("a"), "python") is None
    long_ago = time.time() - class_data.RETRY_AFTER - 60
    os.utime(cache / f"{name}.failed", (long_ago, long_ago))
    assert class_data.missing(cache, SPARK, a_java("a"), "python") is not None


def test_only_the_newest_archives_stay(cache: Path) -> None:
    for age, key in enumerate("abcdef"):
        archive = stored(cache, key)
        os.utime(archive.path, (1_000_000 - age, 1_000_000 - age))
    class_data.prune(cache, SPARK)
    kept = [archive.path.name for archive in class_data.find(cache, SPARK)]
    assert kept == [class_data.archive_name(SPARK, key) for key in "abcd"]


@pytest.mark.parametrize(
    ("log", "suspect"),
    [
        ('Exception in thread "main" java.lang.NoClassDefFoundError: Could not', True),
        ("# A fatal error has been detected by the Java Runtime Environment:", True),
        ("Error: Could not create the Java Virtual Machine.", True),
        ("Error occurred during initialization of VM\nMultiple garbage collectors selected", True),
        ("/nowhere/bin/java: No such file or directory", False),
        ("java.lang.UnsatisfiedLinkError: libsnappyjava.so", False),
    ],
)
def test_only_a_jvm_that_died_is_suspect(log: str, suspect: bool) -> None:
    failed = Smoke((Stage("start", "failed"),), f"first line\n{log}\n", {})
    assert class_data.is_suspect(failed) is suspect
    assert not class_data.is_suspect(Smoke((Stage("start", "passed"),), log, {}))


@pytest.mark.parametrize(
    ("setting", "fits"),
    [
        ("spark.driver.extraClassPath=/opt/own/*", False),
        ("spark.driver.extraJavaOptions=-XX:+UseG1GC", False),
        ("spark.driver.defaultJavaOptions=-XX:+UseG1GC", False),
        ("spark.executor.extraJavaOptions=-XX:+UseG1GC", False),
        ("spark.jars=/opt/own.jar", True),
        ("spark.driver.memory=2g", True),
    ],
)
def test_own_options_of_the_jvm_switch_the_tuning_off(setting: str, fits: bool) -> None:
    assert class_data.goes_with(["spark.sql.ansi.enabled=true", setting]) is fits
    assert class_data.goes_with([])


class Makers:
    """What `warm.make` works with, without any container."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.cache = cache
        self.made = 0
        self.filled: list[str] = []
        self.messages: list[str] = []
        launch = SimpleNamespace(shell=None)
        monkeypatch.setattr(warm, "_launched", lambda engine, request: nullcontext(launch))
        monkeypatch.setattr(class_data, "ask", lambda shell: a_java())
        monkeypatch.setattr(warm, "_make", self._make)

    def fill_volume(self, name: str, image: Image, tar: object) -> None:
        self.filled.append(name)

    def make(self, *, wait: bool = True) -> Archive | None:
        request = LaunchRequest(
            image=cast("Image", SimpleNamespace(reference="acme/ml:1")),
            runtime=runtimes.load().find("15.4"),
            features=frozenset({"jvm", "python"}),
            needs=frozenset(),
            run_id="test",
            timeout=1,
            cache_directory=self.cache,
        )
        return warm.make(cast("Engine", self), request, self.messages.append, wait=wait)

    def _make(self, launch: object, java: Java, name: str, job: Job) -> Archive:
        self.made += 1
        time.sleep(0.5)
        return class_data.store(self.cache, name, job, [CONTENT], len(CONTENT))


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Makers:
    return Makers(monkeypatch, cache)


def test_runs_side_by_side_make_once(makers: Makers) -> None:
    archives: list[Archive | None] = []
    runs = [threading.Thread(target=lambda: archives.append(makers.make())) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert makers.made == 1
    assert len(set(archives)) == 1
    assert makers.messages == [
        "making the class-data archive for Spark 3.5.9 on JDK 17.0.21, once; Ctrl-C is safe"
    ]
    assert len(set(makers.filled)) == 1


def test_who_does_not_wait_leaves_it_to_the_other(makers: Makers) -> None:
    name = class_data.archive_name("3.5.9", a_java().key)
    with class_data.locked(makers.cache, name, wait=False) as is_ours:
        assert is_ours
        assert makers.make(wait=False) is None
    assert not makers.made


def test_a_cache_that_cannot_be_written_is_told(makers: Makers) -> None:
    makers.cache.touch()
    with pytest.raises(errors.ArchiveNotMade, match="no class-data archive was made of acme/ml:1"):
        makers.make()


class FakeConfig:
    """The configuration of a run whose reference job has missed an archive."""

    def __init__(self) -> None:
        self.stash = pytest.Stash()
        self.lines: list[str] = []
        entry = SimpleNamespace(
            id="acme/ml:1-15.4",
            image=SimpleNamespace(reference="acme/ml:1"),
            runtime=runtimes.load().find("15.4"),
            features=frozenset({"jvm"}),
        )
        self.stash[stash.PLAN] = cast("Plan", SimpleNamespace(entries=(entry,)))
        self.stash[stash.ENGINE] = cast("Engine", object())
        self.pluginmanager = self

    def get_plugin(self, name: str) -> FakeConfig:
        assert name == "terminalreporter"
        return self

    def write_line(self, line: str, *, flush: bool) -> None:
        assert flush
        self.lines.append(line)


@pytest.fixture
def config() -> FakeConfig:
    return FakeConfig()


@pytest.fixture
def warmer(config: FakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> warm.Warmer:
    monkeypatch.delenv("CI", raising=False)
    settings = SimpleNamespace(
        timeout=SimpleNamespace(value=60.0), cache_directory=tmp_path, is_local=False
    )
    warmer = warm.Warmer(cast("pytest.Config", config), cast("Settings", settings))
    wish = {"entry": "acme/ml:1-15.4", **asdict(Wish("k", "17.0.21", "/jdk"))}
    for _ in range(2):
        report = SimpleNamespace(dcs_class_data=wish)
        warmer.pytest_runtest_logreport(cast("pytest.TestReport", report))
    return warmer


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[LaunchRequest]:
    made: list[LaunchRequest] = []

    def make(engine: object, request: LaunchRequest, say: object, *, wait: bool) -> None:
        assert not wait
        made.append(request)

    monkeypatch.setattr(warm, "make", make)
    return made


def finish(warmer: warm.Warmer, config: FakeConfig) -> None:
    warmer.pytest_unconfigure(cast("pytest.Config", config))


def test_what_several_tests_have_missed_is_made_once_with_their_jdk(
    warmer: warm.Warmer, config: FakeConfig, requests: list[LaunchRequest]
) -> None:
    finish(warmer, config)
    assert [request.environment for request in requests] == [{"JAVA_HOME": "/jdk"}]


def test_nothing_is_made_in_a_pipeline(
    warmer: warm.Warmer,
    config: FakeConfig,
    requests: list[LaunchRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    finish(warmer, config)
    assert not requests


def test_nothing_is_made_in_a_worker(
    warmer: warm.Warmer, config: FakeConfig, requests: list[LaunchRequest]
) -> None:
    config.workerinput = {}  # type: ignore[attr-defined]
    finish(warmer, config)
    assert not requests


def test_nothing_is_made_after_an_interruption(
    warmer: warm.Warmer, config: FakeConfig, requests: list[LaunchRequest]
) -> None:
    warmer.pytest_keyboard_interrupt()
    finish(warmer, config)
    assert not requests


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (KeyboardInterrupt(), "dcs: stopped: no class-data archive was made"),
        (
            errors.ArchiveNotMade("acme/ml:1", "its JVM can use none"),
            "dcs: no class-data archive was made of acme/ml:1 (its JVM can use none).",
        ),
        (
            errors.EngineLost("connection reset"),
            "dcs: the container engine stopped answering (connection reset).",
        ),
    ],
)
def test_what_stops_the_making_is_one_line_after_the_verdict(
    warmer: warm.Warmer,
    config: FakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    ending: BaseException,
    told: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ending

    monkeypatch.setattr(warm, "make", fail)
    finish(warmer, config)
    assert config.lines == [told]
