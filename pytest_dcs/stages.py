"""Probes that work in stages: how each stage went, also when the probe died in one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pytest_dcs.probe import ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dcs.probe import Probe

Outcome = Literal["passed", "failed", "not-run"]

DETAIL_LIMIT = 2000
LOG_LINES = 6
"""How many lines of the log are added to the first failed stage."""

NOISE = re.compile(
    r"\s+at \S+\(|\s+\.\.\. \d+ |Setting default log level|To adjust logging level"
    r"|  File \"<frozen importlib"
)
"""Lines of a log that name no cause: stack frames, greetings and the import system."""

CRASH = "Fatal Python error: "
"""How Python begins the stack of a crash, the innermost frame first."""

JVM_ENDED = "pytest-dcs: the driver's JVM has ended "
"""How the probes log that end, which they learn of in the middle of a stage."""
JVM_CRASH = "# A fatal error has been detected by the Java Runtime Environment:"
JVM_CRASH_NOISE = re.compile(
    r"#?\s*$|# (JRE version|Java VM|Core dump|An error report|If you would)|#   http"
)
JVM_GONE = re.compile(
    r"Py4J(Network)?Error|Answer from Java side is empty|Error while (sending|receiving)"
    r"|Connection(RefusedError|ResetError| refused)|BrokenPipeError|EOFError"
)
"""What is then the error in Python, which names no cause."""

NOT_FACTS = frozenset({"version", "complete", "stages"})


@dataclass(frozen=True)
class Stage:
    """One stage of a probe and how it went."""

    name: str
    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Smoke:
    """What a probe found."""

    stages: tuple[Stage, ...]
    log: str
    """The end of what the probe logged."""
    facts: Mapping[str, Any]
    """What it said of itself, for example the version of Spark."""

    @property
    def passed(self) -> bool:
        """Whether no stage has failed."""
        return all(stage.outcome != "failed" for stage in self.stages)

    def with_log(self, more: str) -> Smoke:
        """Return the same with more at the end of the log."""
        return replace(self, log=f"{self.log}\n{more}")

    def stage(self, name: str) -> Stage:
        """Return a stage by its name; one that this image's probe does not have was not run."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        return Stage(name, "not-run", "it is no part of what runs on this image")


class StagedProbe:
    """Such a probe while it runs."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    @property
    def pid(self) -> int:
        """The probe's root process, as the container counts."""
        return self._probe.pid

    def result(self, timeout: float, hopeless: Callable[[], str] = str) -> Smoke:
        """Return what it found, at its end or when `timeout` seconds from its start are over.

        The stage in which it died or hung, or in which `hopeless` named a reason to kill it, has
        failed. Raises `EngineLost`.
        """
        try:
            document = self._probe.wait(timeout, hopeless)
        except ProbeFailed as failure:
            return _smoke(failure.data or {}, failure.log, failure.what)
        return _smoke(document.data, document.log, "it has ended in the middle of this stage")


def _smoke(data: Mapping[str, Any], log: str, ending: str) -> Smoke:
    """Return what a report says; `ending` is why a stage that has no outcome has none."""
    reported = data.get("stages") or [{"name": "start", "outcome": "running"}]
    facts = {key: value for key, value in data.items() if key not in NOT_FACTS and value != ""}
    return Smoke(tuple(_stage(entry, log, ending) for entry in reported), log, facts)


def _stage(entry: Mapping[str, Any], log: str, ending: str) -> Stage:
    """Return one stage; where the probe cannot have seen the cause, its log tells it."""
    stage = Stage(**entry)
    if stage.outcome == "not-run" and not stage.detail:
        return replace(stage, detail=ending)
    interrupted = entry["outcome"] == "running"
    if interrupted:
        stage = replace(stage, outcome="failed", detail=ending)
    if stage.outcome == "failed" and JVM_ENDED in log and JVM_GONE.search(stage.detail):
        told = "\n".join([*_end_of_jvm(log), stage.detail])
        stage = replace(stage, detail=told[:DETAIL_LIMIT])
    elif stage.outcome == "failed" and (interrupted or stage.name == "start" or not stage.detail):
        told = "\n".join([stage.detail, *_telling_lines(log)]).strip()
        stage = replace(stage, detail=told[:DETAIL_LIMIT])
    return stage


def _end_of_jvm(log: str) -> list[str]:
    """Return how the driver's JVM ended, and what it said last or of its crash."""
    before, _, after = log.partition(JVM_ENDED)
    _, crash, told = before.rpartition(JVM_CRASH)
    if crash:
        lines = [line for line in told.splitlines() if not JVM_CRASH_NOISE.match(line)][:LOG_LINES]
    else:
        lines = [line for line in before.splitlines() if line.strip() and not NOISE.match(line)]
        lines = lines[-LOG_LINES:]
    return [f"the driver's JVM has ended {after.splitlines()[0]}", *lines]


def _telling_lines(log: str) -> list[str]:
    """Return the lines of a log that most likely tell a cause."""
    before, crash, stack = log.rpartition(CRASH)
    lines = (crash + stack if crash else before + stack).splitlines()
    lines = [line for line in lines if line.strip() and not NOISE.match(line)]
    return lines[:LOG_LINES] if crash else lines[-LOG_LINES:]
