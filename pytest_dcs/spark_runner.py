"""Code of the user's that runs in the container with the runtime's Spark."""

from __future__ import annotations

import json
import queue
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_dcs.errors import FileUnreadable
from pytest_dcs.execution import Execution, describe_exit
from pytest_dcs.probe import last_lines, put_probe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dcs.engines import Chunk, Container

PROBE = "spark_runner.py"
ANNOUNCE = 'echo "$$"; exec "$@"'
"""Says the process id under which the command then runs, with its stdin."""
ANSWER_LIMIT = 16_000_000
LOG_LIMIT = 200_000
POLL_SECONDS = 0.2
CODE_NAME = "<code>"


class SparkCodeFailed(AssertionError):
    """Code that was run with the runtime's Spark has failed; the message says how and where."""

    def __init__(self, what: str, output: str, log: str) -> None:
        printed = ["It printed last:", *last_lines(output)] if output.strip() else []
        super().__init__("\n".join([what, *printed]))
        self.what = what
        self.log = log
        """The end of the driver's log."""


class SparkRunner:
    """A session on the runtime's Spark inside the container, opened when it is first used."""

    def __init__(
        self,
        container: Container,
        *,
        python: str,
        environment: Mapping[str, str],
        timeout: float,
    ) -> None:
        """Take the interpreter, and the seconds that one piece of code may take."""
        self._container = container
        self._python = python
        self._environment = environment
        self._timeout = timeout
        self._execution: Execution | None = None
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._unread = b""

    @property
    def log(self) -> str:
        """The end of the driver's log."""
        return self._execution.stderr.text() if self._execution else ""

    def run(self, code: str, *, name: str = CODE_NAME) -> str:
        """Run Python code with `spark` at hand, and return what it has printed.

        Later code sees the names of earlier one, as the cells of a notebook do. Raises
        `SparkCodeFailed` where it fails, dies or takes too long.
        """
        return str(self._ask({"code": code, "name": name})["output"])

    def run_file(self, path: Path) -> str:
        """Run a file of Python code, and return what it has printed.

        Raises `SparkCodeFailed`, and `FileUnreadable` where there is no such file.
        """
        try:
            code = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileUnreadable(path=path, detail=str(error), option="--dcs-smoke") from error
        return self.run(code, name=path.name)

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query, each by the names of its columns.

        What JSON has no form for, such as dates, comes as text. Raises `SparkCodeFailed`.
        """
        rows: list[dict[str, Any]] = self._ask({"sql": query})["rows"]
        return rows

    def close(self) -> None:
        """End the session; never raises."""
        if self._execution is not None and not self._execution.wait(0):
            self._execution.kill()
        self._execution = None

    def _ask(self, request: Mapping[str, str]) -> dict[str, Any]:
        execution = self._execution or self._start()
        with suppress(BrokenPipeError):
            execution.write(json.dumps(request).encode() + b"\n")
        answer = self._next_answer(execution)
        if answer["outcome"] == "failed":
            raise SparkCodeFailed(answer["error"], answer["output"], self.log)
        return answer

    def _start(self) -> Execution:
        path = put_probe(self._container, PROBE)
        self._unread = b""
        self._execution = Execution.start(
            self._container,
            [self._python, path],
            name=PROBE,
            limits=(ANSWER_LIMIT, LOG_LIMIT),
            environment=self._environment,
            announce=ANNOUNCE,
            is_over=self._take,
        )
        return self._execution

    def _take(self, _: Execution, chunk: Chunk) -> bool:
        written = chunk.data if chunk.stream == "stdout" else b""
        *lines, self._unread = (self._unread + written).split(b"\n")
        for line in lines:
            with suppress(ValueError):
                self._answers.put(json.loads(line))
        return False

    def _next_answer(self, execution: Execution) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            has_ended = execution.wait(0)
            with suppress(queue.Empty):
                return self._answers.get(timeout=0 if has_ended else POLL_SECONDS)
            if has_ended:
                execution.raise_fault()
                return self._failure(f"the driver died {describe_exit(execution.returncode or 0)}")
        return self._failure(f"it did not end within {self._timeout:.0f} s and was killed")

    def _failure(self, what: str) -> dict[str, Any]:
        """Return the answer of a driver that gives none, and have a new one for the next code."""
        error = "\n".join([what, *last_lines(self.log)])
        self.close()
        return {"outcome": "failed", "error": error, "output": ""}
