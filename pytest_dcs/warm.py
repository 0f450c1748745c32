"""Making class-data archives: after a run that has missed one, or before any by `warm`."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import class_data, errors, stash
from pytest_dcs.class_data import Wish
from pytest_dcs.engines import LaunchFailed
from pytest_dcs.items import entry_of
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import SPARK, LaunchRequest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_dcs.class_data import Archive, Java, Job
    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.shell import Shell
    from pytest_dcs.spark_cache import Progress

DIRECTORY = "/local_disk0/tmp"
CLASS_LIST = f"{DIRECTORY}/pytest-dcs-classes.txt"
RECORD = f"-Xshare:off -XX:DumpLoadedClassList={CLASS_LIST}"
DUMP_TIMEOUT = 300.0
"""Seconds that the JVM may take to write an archive; about twenty on two cores."""
READ_TIMEOUT = 60.0
"""Seconds that the engine may take for the next piece of it."""
SHOWN_OUTPUT = 300
FEATURES = frozenset({"jvm", "python"})
"""What decides which job is run; an archive needs nothing else of an image."""


class Warmer:
    """Makes the archives that the reference jobs of a run have missed, after its verdict."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._wishes: dict[tuple[str, str], tuple[Entry, Wish]] = {}
        self._interrupted = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put on the report what the launch knows, in types that any report can carry."""
        report = yield
        entry, launch = entry_of(item), getattr(item, "funcargs", {}).get("dcs_launch")
        if entry is not None and isinstance(launch, Launch):
            report.dcs_notes = list(launch.notes)  # type: ignore[attr-defined]
            if launch.wish is not None:
                wish = {"entry": entry.id, **asdict(launch.wish)}
                report.dcs_class_data = wish  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a wish off a report, wherever it was made."""
        plain: dict[str, Any] | None = getattr(report, "dcs_class_data", None)
        plan = self._config.stash.get(stash.PLAN, None)
        if plain is None or plan is None:
            return
        wish = Wish(**{name: value for name, value in plain.items() if name != "entry"})
        entry = next(entry for entry in plan.entries if entry.id == plain["entry"])
        self._wishes.setdefault((entry.runtime.pyspark, wish.key), (entry, wish))

    def pytest_keyboard_interrupt(self) -> None:
        """Note that the user wants this to end."""
        self._interrupted = True

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Make what was missed, before the engine is let go."""
        if self._interrupted or is_worker(config) or is_pipeline() or self._settings.is_local:
            return
        try:
            for entry, wish in self._wishes.values():
                self._make(entry, wish)
        except KeyboardInterrupt:
            self._say("stopped: no class-data archive was made")

    def _make(self, entry: Entry, wish: Wish) -> None:
        from pytest_dcs.plan import engine_of

        request = LaunchRequest(
            image=entry.image,
            runtime=entry.runtime,
            features=entry.features,
            needs=frozenset(),
            run_id=stash.run_id_of(self._config),
            timeout=self._settings.timeout.value,
            cache_directory=self._settings.cache_directory,
            environment={"JAVA_HOME": wish.home},
        )
        try:
            make(engine_of(self._config), request, self._say, wait=False)
        except errors.SetupError as error:
            self._say(str(error).partition("\n")[0].removeprefix("dcs: "))

    def _say(self, line: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(f"dcs: {line}", flush=True)


def is_worker(config: pytest.Config) -> bool:
    """Tell whether this is a worker of xdist: its controller prints, and makes."""
    return hasattr(config, "workerinput")


def is_pipeline() -> bool:
    """Tell whether this runs in a pipeline, which would make an archive and throw it away."""
    return bool(os.environ.get("CI"))


def make(
    engine: Engine, request: LaunchRequest, progress: Progress, *, wait: bool
) -> Archive | None:
    """Return the archive for a runtime's Spark on an image's JDK, made unless it is there.

    While another process makes the same one, this one waits for it, or returns None. Raises
    `ArchiveNotMade`, and the errors of an engine and of a Spark that cannot be had.
    """
    job: Job = "python" if "python" in request.features else "sql"
    version, cache = request.runtime.pyspark, request.cache_directory
    recorder = replace(
        request,
        features=request.features & FEATURES,
        probes=frozenset({SPARK}),
        tuned=False,
        java_options=RECORD,
    )
    try:
        with _launched(engine, recorder) as launch:
            java = class_data.ask(launch.shell)
            if java is None:
                raise errors.ArchiveNotMade(request.image.reference, "its JVM can use none")
            name = class_data.archive_name(version, java.key)
            with class_data.locked(cache, name, wait=wait) as is_ours:
                if not is_ours:
                    return None
                archive = class_data.covering(cache, version, java.key, job)
                if archive is None:
                    title = f"Spark {version} on JDK {java.version}"
                    progress(f"making the class-data archive for {title}, once; Ctrl-C is safe")
                    archive = _make(launch, java, name, job)
                class_data.prune(cache, version)
    except (LaunchFailed, errors.ContainerEnded, OSError) as error:
        raise errors.ArchiveNotMade(request.image.reference, str(error)) from error
    archives = class_data.find(cache, version)
    with class_data.tar_of(archives) as tar:
        engine.fill_volume(class_data.volume_name(version, archives), request.image, tar)
    return archive


@contextmanager
def _launched(engine: Engine, request: LaunchRequest) -> Iterator[Launch]:
    launch = Launch(engine, request)
    try:
        launch.start()
        if launch.failure is not None:
            raise errors.ArchiveNotMade(request.image.reference, launch.failure)
        yield launch
    finally:
        launch.end()


def _make(launch: Launch, java: Java, name: str, job: Job) -> Archive:
    """Write down which classes the reference job loads, then let the JVM make their archive."""
    cache = launch.request.cache_directory
    target = f"{DIRECTORY}/{name}"
    try:
        smoke = launch.spark_smoke()
        if not smoke.passed:
            failed = next(stage for stage in smoke.stages if stage.outcome == "failed")
            raise AssertionError(failed.detail)
        size = _dump(launch.shell, java, target, DUMP_TIMEOUT * launch.time_factor)
    except AssertionError as error:
        reason = str(error).partition("\n")[0]
        class_data.note_failure(cache, name, reason)
        raise errors.ArchiveNotMade(launch.request.image.reference, reason) from error
    return class_data.store(cache, name, job, _content(launch.container, target), size)


def _dump(shell: Shell, java: Java, target: str, timeout: float) -> int:
    """Let the JVM write the archive and return its size; raises `AssertionError` if it does not."""
    command = (
        # Options that an image sets for all JVMs are none of the JDK's.
        "unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS\n"
        f"'{java.home}/bin/java' -Xshare:dump -Xlog:disable -Xlog:all=error:stderr "
        f"-XX:SharedClassListFile={CLASS_LIST} -XX:SharedArchiveFile={target} "
        f"-cp '{java.class_path}' >&2 && stat -c %s {target}"
    )
    dumped = shell.run(command, timeout=timeout)
    size = dumped.stdout.decode(errors="replace").strip()
    if dumped.returncode != 0 or not size.isdecimal():
        told = dumped.stderr.decode(errors="replace").strip()[-SHOWN_OUTPUT:]
        message = f"the JVM did not make it: exit status {dumped.returncode}, {told or 'no output'}"
        raise AssertionError(message)
    return int(size)


def _content(container: Container, path: str) -> Iterator[bytes]:
    process = container.start(["cat", path])
    try:
        process.write(b"\n")
        while (chunk := process.read(READ_TIMEOUT)) is not None:
            if chunk.stream == "stdout":
                yield chunk.data
    finally:
        process.close()
