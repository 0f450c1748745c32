"""A stage in which a probe or its JVM died says what most likely was the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs.probe import Document, Probe, ProbeFailed, describe_exit
from pytest_dcs.stages import StagedProbe

if TYPE_CHECKING:
    from pytest_dcs.stages import Stage

ENDED = "pytest-dcs: the driver's JVM has ended "
PY4J = "AssertionError: snappy: Py4JError: An error occurred while calling o115.save"
JVM_CRASH = """\
#
# A fatal error has been detected by the Java Runtime Environment:
#
#  SIGSEGV (0xb) at pc=0x00007f1, pid=22, tid=96
#
# JRE version: OpenJDK Runtime Environment (17.0.15+6)
# Java VM: OpenJDK 64-Bit Server VM
# Problematic frame:
# C  [librocksdbjni-linux64.so+0x1234]  rocksdb::DB::Open
#
# If you would like to submit a bug report, please visit:
#   https://bugreport.java.com/bugreport/crash.jsp
#
"""


class FinishedProbe:
    def __init__(self, document: Document | ProbeFailed) -> None:
        self.document = document

    def wait(self, *limits: object) -> Document:
        if isinstance(self.document, ProbeFailed):
            raise self.document
        return self.document


def stage_of(document: Document | ProbeFailed) -> Stage:
    return StagedProbe(cast("Probe", FinishedProbe(document))).result(1.0).stage("streaming")


def report(outcome: str, detail: str = "") -> dict[str, Any]:
    return {"stages": [{"name": "streaming", "outcome": outcome, "detail": detail}]}


def test_a_jvm_that_was_killed_is_named_before_what_python_saw() -> None:
    log = f"WARN MemoryManager\n\tat org.apache.Frame(A.scala)\n{ENDED}by signal 9\nERROR: later\n"
    lines = stage_of(Document(report("failed", PY4J), log)).detail.splitlines()
    assert lines == ["the driver's JVM has ended by signal 9", "WARN MemoryManager", PY4J]


def test_a_jvm_that_crashed_is_named_with_the_library() -> None:
    log = f"started\n{JVM_CRASH}[error occurred]\n{ENDED}by signal 6\n"
    lines = stage_of(Document(report("failed", PY4J), log)).detail.splitlines()
    assert lines[0] == "the driver's JVM has ended by signal 6"
    assert lines[1].endswith("SIGSEGV (0xb) at pc=0x00007f1, pid=22, tid=96")
    assert "# C  [librocksdbjni-linux64.so+0x1234]  rocksdb::DB::Open" in lines
    assert not [line for line in lines if "bugreport" in line or "JRE version" in line]


def test_a_fault_that_came_before_the_end_of_the_jvm_keeps_its_own_words() -> None:
    stage = stage_of(
        Document(report("failed", "found 1, plain Python has 2"), f"{ENDED}by signal 9")
    )
    assert stage.detail == "found 1, plain Python has 2"


def test_an_error_of_the_connection_alone_is_not_taken_for_the_end_of_the_jvm() -> None:
    assert stage_of(Document(report("failed", PY4J), "WARN all is well\n")).detail == PY4J


def test_a_probe_that_was_killed_says_who_most_likely_did_it() -> None:
    failure = ProbeFailed(f"the probe died {describe_exit(137)}", "last words\n", report("running"))
    lines = stage_of(failure).detail.splitlines()
    assert lines == [
        "the probe died by signal 9 (killed, most likely by the out-of-memory killer)",
        "last words",
    ]


@pytest.mark.parametrize(
    ("status", "described"),
    [
        (1, "with status 1"),
        (126, "with status 126 (it may not be executed)"),
        (127, "with status 127 (it was not found)"),
        (134, "by signal 6"),
        (139, "by signal 11 (native code of its own or of a library crashed)"),
    ],
)
def test_an_exit_status_is_put_into_words(status: int, described: str) -> None:
    assert describe_exit(status) == described
