"""A class-data archive is made after a run, mapped by the next one, and never believed blindly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import pytest
from platformdirs import user_cache_path

from pytest_dcs import class_data, errors, runtimes, spark
from pytest_dcs.engines.docker_volume import LABEL
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import SPARK, LaunchRequest

from .launching import RUNTIME, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.class_data import Archive
    from pytest_dcs.engines.docker import DockerEngine

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

VERSION = runtimes.load().find(RUNTIME).pyspark
USER_CACHE = user_cache_path("pytest-dcs")
"""Read before any test changes the home."""
PATIENCE = 300.0
MAPPED = "for pid in $(pgrep -x java); do grep -o '/[^ ]*[.]jsa' /proc/$pid/maps; done"
MAKING = "making the class-data archive for Spark"
OWN_RUN = "label=pytest-dcs.run=warm"


def with_spark(directory: Path) -> Path:
    """Return a new cache that has the Spark of the user's, and no archive."""
    directory.mkdir()
    tar = spark.provision(VERSION, USER_CACHE, print)
    for path in (tar, tar.with_name(f"{tar.name}.size")):
        (directory / path.name).symlink_to(path)
    return directory


def without_ci(cache: Path) -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    return {**variables, "DCS_CACHE": str(cache), "COLUMNS": "200"}


@contextmanager
def own_volume(docker_command: DockerCommand, cache: Path) -> Iterator[None]:
    """Remove the volume with the archives of a cache at the end."""
    try:
        yield
    finally:
        name = class_data.volume_name(VERSION, class_data.find(cache, VERSION))
        docker_command("volume", "rm", "--force", name)


@pytest.fixture(scope="module")
def run_and_cache(
    tmp_path_factory: pytest.TempPathFactory, python_image: str, docker_command: DockerCommand
) -> Iterator[tuple[str, Path]]:
    """Return what a run prints that has missed an archive, and the cache that it leaves."""
    folder = tmp_path_factory.mktemp("class-data")
    cache = with_spark(folder / "cache")
    options = [f"--dcs-image={python_image}", f"--dcs-runtime={RUNTIME}", "--dcs-select=SPK001"]
    command = [sys.executable, "-m", "pytest", "-n1", "-p", "no:cacheprovider", *options]
    with own_volume(docker_command, cache):
        run = subprocess.run(
            command,
            cwd=folder,
            env=without_ci(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert run.returncode == 0, run.stdout
        yield run.stdout, cache


@pytest.fixture(scope="module")
def archive(run_and_cache: tuple[str, Path]) -> Archive:
    _, cache = run_and_cache
    (archive,) = class_data.find(cache, VERSION)
    return archive


@contextmanager
def launched(
    engine: DockerEngine, reference: str, profile: str, cache: Path, **more: Any
) -> Iterator[Launch]:
    catalogue = runtimes.load()
    request = LaunchRequest(
        image=engine.resolve(reference, "never"),
        runtime=catalogue.find(RUNTIME),
        features=catalogue.features(profile),
        needs=frozenset(),
        run_id="class-data",
        timeout=TIMEOUT,
        cache_directory=cache,
        probes=frozenset({SPARK}),
        **more,
    )
    launch = Launch(engine, request)
    launch.start()
    try:
        assert launch.failure is None
        yield launch
    finally:
        launch.end()


def mapped(launch: Launch) -> set[str]:
    """Return the archives that the JVMs of a container have mapped, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = {
            path
            for path in launch.shell.run(MAPPED).stdout.decode().split()
            if path.startswith(class_data.MOUNT)
        }
        if found:
            return found
        time.sleep(0.05)
    return set()


def damaged(archive: Archive, cache: Path, start: int, length: int) -> Archive:
    """Store an archive that passes every check and is not what the JVM has written."""
    content = bytearray(archive.path.read_bytes())
    content[start : start + length] = os.urandom(length)
    name = archive.path.name
    return class_data.store(cache, name, archive.job, [bytes(content)], len(content))


def test_it_is_made_after_the_verdict_of_a_run_that_missed_it(
    run_and_cache: tuple[str, Path], archive: Archive, docker_command: DockerCommand
) -> None:
    printed, cache = run_and_cache
    assert printed.index(": releasable\n") < printed.index(" passed") < printed.index(MAKING)
    assert printed.count(MAKING) == 1
    assert archive.job == "python"
    names = {path.name for path in cache.iterdir() if "-classes-" in path.name}
    assert names == {archive.path.name, f"{archive.path.name}.json", f"{archive.path.name}.lock"}
    volume = class_data.volume_name(VERSION, [archive])
    label = docker_command("volume", "inspect", "-f", f'{{{{index .Labels "{LABEL}"}}}}', volume)
    assert label == "true", "`sweep --cache` removes it"


def test_the_jvm_of_the_python_job_maps_it(
    engine: DockerEngine, python_image: str, archive: Archive
) -> None:
    with launched(engine, python_image, "python", archive.path.parent) as launch:
        assert mapped(launch) == {f"{class_data.MOUNT}/{archive.path.name}"}
        assert launch.spark_smoke().passed
        assert launch.wish is None
        assert not launch.notes


def test_the_jvm_of_the_sql_job_maps_it(
    engine: DockerEngine, minimal_image: str, archive: Archive
) -> None:
    with launched(engine, minimal_image, "minimal", archive.path.parent) as launch:
        assert mapped(launch) == {f"{class_data.MOUNT}/{archive.path.name}"}
        assert launch.spark_smoke().passed
        assert launch.wish is None


def test_the_jvm_takes_it_for_its_own_order_of_the_jars_alone(
    engine: DockerEngine, minimal_image: str, archive: Archive
) -> None:
    with launched(engine, minimal_image, "minimal", archive.path.parent) as launch:
        java = class_data.ask(launch.shell)
        assert java is not None
        options = class_data.options(VERSION, java).replace("-Xshare:auto", "-Xshare:on")
        assert launch.shell.run(f"java {options} -version").returncode == 0
        conf, *jars = java.class_path.split(":")
        other_order = options.replace(java.class_path, ":".join([conf, *reversed(jars)]))
        assert launch.shell.run(f"java {other_order} -version").returncode == 1


@pytest.mark.parametrize(
    "change",
    [
        "mkdir -p /databricks/jars && touch /databricks/jars/own.jar",
        "rm /databricks/spark && cp -as /opt/pytest-dcs/spark /databricks/spark",
    ],
)
def test_another_class_path_than_sparks_own_stays_as_it_is(
    engine: DockerEngine, minimal_image: str, archive: Archive, change: str
) -> None:
    with launched(engine, minimal_image, "minimal", archive.path.parent) as launch:
        assert launch.spark_smoke().passed
        assert class_data.ask(launch.shell) is not None
        assert launch.shell.run(change).returncode == 0
        assert class_data.ask(launch.shell) is None


def test_an_untuned_job_maps_none(
    engine: DockerEngine, minimal_image: str, archive: Archive
) -> None:
    with launched(engine, minimal_image, "minimal", archive.path.parent, tuned=False) as launch:
        assert launch.spark_smoke().passed
        assert launch.shell.run(f"ls {class_data.MOUNT}").returncode != 0
        assert launch.wish is None


def test_a_job_that_dies_of_its_archive_is_run_again_without(
    engine: DockerEngine,
    minimal_image: str,
    archive: Archive,
    tmp_path: Path,
    docker_command: DockerCommand,
) -> None:
    cache = with_spark(tmp_path / "cache")
    damaged(archive, cache, start=archive.size * 2 // 5, length=archive.size // 5)
    with (
        own_volume(docker_command, cache),
        launched(engine, minimal_image, "minimal", cache) as launch,
    ):
        found = launch.spark_smoke()
        assert found.passed
        assert launch.notes == [class_data.RAN_AGAIN]
        assert launch.spark_smoke() == found, "not once more"
        assert launch.notes == [class_data.RAN_AGAIN]
        launch.end()


def test_an_archive_of_another_build_is_left_aside_by_the_jvm(
    engine: DockerEngine,
    minimal_image: str,
    archive: Archive,
    tmp_path: Path,
    docker_command: DockerCommand,
) -> None:
    cache = with_spark(tmp_path / "cache")
    content = archive.path.read_bytes()
    ident = content.index(b"OpenJDK 64-Bit Server VM")
    damaged(archive, cache, start=ident, length=24)
    with (
        own_volume(docker_command, cache),
        launched(engine, minimal_image, "minimal", cache) as launch,
    ):
        assert launch.spark_smoke().passed
        assert not launch.notes
        launch.end()


def test_options_that_an_image_sets_for_all_jvms_are_no_fault_of_the_image(
    engine: DockerEngine, minimal_image: str, archive: Archive
) -> None:
    other_collector = {"JAVA_TOOL_OPTIONS": "-XX:+UseParallelGC"}
    cache = archive.path.parent
    with launched(engine, minimal_image, "minimal", cache, environment=other_collector) as launch:
        assert launch.spark_smoke().passed
        assert launch.notes == [class_data.RAN_AGAIN]


def test_a_volume_that_cannot_be_filled_is_a_note(
    engine: DockerEngine, minimal_image: str, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = engine.fill_volume

    def fill_spark_only(name: str, image: Any, tar: IO[bytes]) -> None:
        if "-classes-" in name:
            raise errors.EngineFault(task="fill a volume", detail="no space left on device")
        fill(name, image, tar)

    monkeypatch.setattr(engine, "fill_volume", fill_spark_only)
    with launched(engine, minimal_image, "minimal", archive.path.parent) as launch:
        assert launch.spark_smoke().passed
        (note,) = launch.notes
        assert note.startswith("Spark starts without its class-data archive: ")
        assert "no space left on device" in note


def test_a_stopped_making_leaves_nothing(
    minimal_image: str, tmp_path: Path, docker_command: DockerCommand
) -> None:
    cache = with_spark(tmp_path / "cache")
    options = [minimal_image, f"--runtime={RUNTIME}", "--profile=minimal"]
    command = [sys.executable, "-m", "pytest_dcs", "warm", *options]
    with subprocess.Popen(command, env=without_ci(cache), stderr=subprocess.PIPE) as making:
        try:
            assert making.stderr is not None
            assert MAKING in making.stderr.readline().decode()
            making.send_signal(signal.SIGINT)
            _, told = making.communicate(timeout=PATIENCE)
        finally:
            making.kill()
    assert making.returncode == 130
    assert told.decode().splitlines()[-1] == "stopped"
    assert not class_data.find(cache, VERSION)
    assert not list(cache.glob("*.part"))
    deadline = time.monotonic() + 20
    while docker_command("ps", "-aq", "--filter", OWN_RUN) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not docker_command("ps", "-aq", "--filter", OWN_RUN)


def test_an_image_whose_java_is_none_is_told(tmp_path: Path, docker_command: DockerCommand) -> None:
    cache = with_spark(tmp_path / "cache")
    reference = "pytest-dcs/broken:java-truncated"
    if not docker_command("images", "-q", reference):
        pytest.skip(f"needs the image {reference}: build it with `./dev samples --broken`")
    command = [sys.executable, "-m", "pytest_dcs", "warm", reference, f"--runtime={RUNTIME}"]
    ended = subprocess.run(
        command, env=without_ci(cache), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 4
    assert "its JVM can use none" in ended.stderr
    assert "Traceback" not in ended.stderr
