"""What runs on a cluster's node: the interface, and nodes that tests answer for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.remote.standin.files import Files


class NodeFailed(Exception):
    """The node could not be launched with the image."""

    def __init__(self, code: str, message: str, scripts: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.scripts = scripts
        """How the init scripts ended, where it came to that."""


class CodeFailed(Exception):
    """Code in a notebook's context has raised: a line about it, and the whole traceback."""

    def __init__(self, summary: str, cause: str) -> None:
        super().__init__(summary)
        self.summary = summary
        self.cause = cause


@dataclass(frozen=True)
class Task:
    """A Python file to run, as a job has it."""

    name: str
    content: bytes
    parameters: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Running(Protocol):
    """A task on a node."""

    def wait(self) -> tuple[int, str]:
        """Return the exit status and all that it wrote, when it has ended."""

    def kill(self) -> None:
        """End it."""


class Context(Protocol):
    """A notebook's Python on a node."""

    def run(self, code: str) -> str:
        """Return what code prints, and its last value; raises `CodeFailed`."""

    def end(self) -> None:
        """End it and what it runs."""


class Node(Protocol):
    """One node of a cluster that runs."""

    scripts: tuple[str, ...]
    """How each init script ended, in the words of the events."""

    def start_task(self, task: Task) -> Running:
        """Start a Python file."""

    def open_context(self) -> Context:
        """Open a notebook's context."""

    def end(self) -> None:
        """Remove the node; never raises."""


class Nodes(Protocol):
    """Where nodes come from."""

    def launch(self, spec: Mapping[str, Any], files: Files) -> Node:
        """Launch a node with this specification's image; raises `NodeFailed`."""

    def close(self) -> None:
        """Remove all that is left."""


def nothing(task: Task) -> tuple[int, str]:
    """Answer for a task that passes and writes nothing."""
    return 0, ""


def silence(code: str) -> str:
    """Answer for a command that prints nothing."""
    return ""


@dataclass
class AnsweredNodes:
    """Nodes on which nothing runs: a test's functions answer for it."""

    task: Callable[[Task], tuple[int, str]] = nothing
    """Returns the exit status and the log of a task."""
    command: Callable[[str], str] = silence
    """Returns what a command prints, or raises `CodeFailed`."""

    def launch(self, spec: Mapping[str, Any], files: Files) -> Node:
        """Return a node whose init scripts have all passed."""
        scripts = tuple("SUCCEEDED" for _ in spec.get("init_scripts") or ())
        return _AnsweredNode(scripts, self)

    def close(self) -> None:
        """Do nothing: there is nothing left."""


@dataclass
class _AnsweredNode:
    scripts: tuple[str, ...]
    nodes: AnsweredNodes

    def start_task(self, task: Task) -> Running:
        return _AnsweredTask(task, self.nodes.task)

    def open_context(self) -> Context:
        return _AnsweredContext(self.nodes)

    def end(self) -> None:
        pass


@dataclass
class _AnsweredTask:
    task: Task
    answer: Callable[[Task], tuple[int, str]]

    def wait(self) -> tuple[int, str]:
        return self.answer(self.task)

    def kill(self) -> None:
        pass


@dataclass
class _AnsweredContext:
    nodes: AnsweredNodes

    def run(self, code: str) -> str:
        return self.nodes.command(code)

    def end(self) -> None:
        pass
