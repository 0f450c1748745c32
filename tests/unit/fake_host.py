"""Stand-ins for what checks get as fixtures."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.rules import RuleBroken

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Result:
    """What testinfra returns for a command."""

    stdout: str = ""
    rc: int = 0
    stderr: str = ""

    @property
    def succeeded(self) -> bool:
        return self.rc == 0

    @property
    def failed(self) -> bool:
        return self.rc != 0


MISSING = Result(rc=127, stderr="sh: 1: program: not found\n")
EMPTY_FILE = Result()
"""What a shell gives for a program of zero bytes."""


@dataclass
class FakeHost:
    """Answers a command by the first text of its table that is part of the command."""

    answers: dict[str, Result] = field(default_factory=dict)
    otherwise: Result = MISSING
    commands: list[str] = field(default_factory=list)

    def run(self, command: str, *arguments: str) -> Result:
        full = command % tuple(map(shlex.quote, arguments)) if arguments else command
        self.commands.append(full)
        found = (result for text, result in self.answers.items() if text in full)
        return next(found, self.otherwise)


def an_image(**config: Any) -> Image:
    return Image(reference="acme/ml:1", id="sha256:0", config=ImageConfig(**config))


def finding_of(check: Callable[..., None], *facts: object) -> str:
    """Return the first line of the finding; the check must make one."""
    with pytest.raises(RuleBroken) as caught:
        check(*facts)
    return str(caught.value).splitlines()[0]
