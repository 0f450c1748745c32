"""A notebook's context in a container: one Python that stays, and takes code line by line."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_dcs.execution import KILL_TREE
from tests.remote.standin.nodes import CodeFailed

if TYPE_CHECKING:
    from pytest_dcs.engines import Container, Process

COMMAND_TIMEOUT = 570.0
"""Real seconds without any answer until a command counts as failed."""
DRIVER = """
import ast, base64, contextlib, io, json, os, sys, traceback
wire, asked = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
null = os.open(os.devnull, os.O_RDWR)
os.dup2(null, 0)
os.dup2(null, 1)
os.dup2(null, 2)
def say(answer):
    wire.write(json.dumps(answer) + "\\n")
    wire.flush()
say({"pid": os.getpid()})
names = {"__name__": "__main__"}
for line in asked:
    written, answer = io.StringIO(), {}
    try:
        with contextlib.redirect_stdout(written):
            tree = ast.parse(base64.b64decode(line).decode())
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<command>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<command>", "eval"), names)
                if value is not None:
                    print(repr(value))
    except BaseException as error:
        answer = {"summary": "%s: %s" % (type(error).__name__, error),
                  "cause": traceback.format_exc()}
    say(dict(answer, text=written.getvalue()))
"""
"""Runs in the image, in any Python since 3.7; what children write to their streams is not shown."""


class DockerContext:
    """One notebook's Python in a container."""

    def __init__(self, container: Container, python: str) -> None:
        self._container = container
        self._rest = b""
        self._process: Process = container.start([python, "-u", "-c", DRIVER])
        self._process.write(b"")
        self._pid = self._answer().get("pid", 0)

    def run(self, code: str) -> str:
        """Return what code prints, and its last value; raises `CodeFailed`."""
        try:
            self._process.write(base64.b64encode(code.encode()) + b"\n")
        except BrokenPipeError:
            raise _ended() from None
        answer = self._answer()
        if "summary" in answer:
            raise CodeFailed(answer["summary"], answer["cause"])
        text: str = answer["text"]
        return text

    def end(self) -> None:
        """Kill it with all that it has started."""
        with suppress(Exception):
            killer = self._container.start(["/bin/sh", "-c", KILL_TREE, "sh", str(self._pid)])
            killer.write(b"\n")
            while killer.read(COMMAND_TIMEOUT):
                pass
            killer.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._process.close()

    def _answer(self) -> dict[str, Any]:
        while b"\n" not in self._rest:
            try:
                chunk = self._process.read(COMMAND_TIMEOUT)
            except TimeoutError:
                raise _ended() from None
            if chunk is None:
                raise _ended()
            if chunk.stream == "stdout":
                self._rest += chunk.data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _ended() -> CodeFailed:
    message = "The Python process has ended, or does not answer."
    return CodeFailed(message, message)
