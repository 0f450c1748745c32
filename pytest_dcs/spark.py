"""The Spark smoke job: how it is started in a container, and what it found."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pytest_dcs.probe import Probe, ProbeFailed
from pytest_dcs.spark_cache import provision, volume_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.engines import Container

__all__ = ["Smoke", "SmokeProbe", "Stage", "provision", "start_smoke", "volume_name"]

Outcome = Literal["passed", "failed", "not-run"]

PYTHON_JOB = "spark_smoke.py"
SQL_JOB = "spark_sql.sh"
DETAIL_LIMIT = 2000
LOG_LINES = 6
"""How many lines of the driver's log are added to the first failed stage."""

NOISE = re.compile(
    r"\s+at \S+\(|\s+\.\.\. \d+ |Setting default log level|To adjust logging level"
    r"|  File \"<frozen importlib"
)
"""Lines of a driver's log that name no cause: stack frames, greetings and the import system."""

CRASH = "Fatal Python error: "
"""How Python begins the stack of a crash, the innermost frame first."""


@dataclass(frozen=True)
class Stage:
    """One stage of the job and how it went."""

    name: str
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Smoke:
    """What the job found."""

    stages: tuple[Stage, ...]
    log: str
    """The end of the driver's log."""
    facts: Mapping[str, str]
    """What the session said of itself: `spark` (its version), `java` and `java_home`."""

    def stage(self, name: str) -> Stage:
        """Return a stage by its name; one that this image's job does not have was not run."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        return Stage(name, "not-run", "no part of the job for images without Python")


class SmokeProbe:
    """The job while it runs."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    @property
    def pid(self) -> int:
        """The job's root process, as the container counts."""
        return self._probe.pid

    def result(self, timeout: float) -> Smoke:
        """Return what the job found, at its end or when `timeout` seconds from its start are over.

        The stage in which the job died or hung has failed. Raises `EngineLost`.
        """
        try:
            document = self._probe.wait(timeout)
        except ProbeFailed as failure:
            return _smoke(failure.data or {}, failure.log, failure.what)
        return _smoke(document.data, document.log, "the job has ended in the middle of this stage")


def start_smoke(
    container: Container,
    *,
    python: str | None,
    environment: Mapping[str, str],
    java_options: str,
) -> SmokeProbe:
    """Start the job in the background: PySpark by the image's interpreter, without one SQL alone.

    `java_options` are for the driver's JVM and come after those that Spark itself needs. Raises
    `ProbeFailed` when nothing starts, `ContainerEnded` and `EngineLost`.
    """
    # Unlike spark.driver.extraJavaOptions this variable replaces nothing, in no version of Spark.
    # https://github.com/apache/spark/blob/v3.5.0/launcher/src/main/java/org/apache/spark/launcher/SparkSubmitCommandBuilder.java#L270
    options = f"{environment.get('SPARK_SUBMIT_OPTS', '')} {java_options}".strip()
    probe = Probe.start(
        container,
        [python] if python else ["/bin/sh"],
        environment={**environment, **({"SPARK_SUBMIT_OPTS": options} if options else {})},
        source=PYTHON_JOB if python else SQL_JOB,
    )
    return SmokeProbe(probe)


def _smoke(data: Mapping[str, Any], log: str, ending: str) -> Smoke:
    """Return what a report says; `ending` is why a stage that has no outcome has none."""
    reported = data.get("stages") or [{"name": "start", "outcome": "running"}]
    facts = {key: data[key] for key in ("spark", "java", "java_home") if data.get(key)}
    return Smoke(tuple(_stage(entry, log, ending) for entry in reported), log, facts)


def _stage(entry: Mapping[str, Any], log: str, ending: str) -> Stage:
    """Return one stage; where Python cannot have seen the cause, the driver's log tells it."""
    stage = Stage(**entry)
    if stage.outcome == "not-run" and not stage.detail:
        return replace(stage, detail=ending)
    interrupted = entry["outcome"] == "running"
    if interrupted:
        stage = replace(stage, outcome="failed", detail=ending)
    if stage.outcome == "failed" and (interrupted or stage.name == "start" or not stage.detail):
        told = "\n".join([stage.detail, *_telling_lines(log)]).strip()
        stage = replace(stage, detail=told[:DETAIL_LIMIT])
    return stage


def _telling_lines(log: str) -> list[str]:
    """Return the lines of the driver's log that most likely tell a cause."""
    before, crash, stack = log.rpartition(CRASH)
    lines = (crash + stack if crash else before + stack).splitlines()
    lines = [line for line in lines if line.strip() and not NOISE.match(line)]
    return lines[:LOG_LINES] if crash else lines[-LOG_LINES:]
