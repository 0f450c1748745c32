"""What a cluster shows when it fails: termination codes and errors, each with its cause."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pytest_dcs.toml_files import read_toml

Fault = Literal["image", "script", "settings", "platform", "either"]

DATA = Path(__file__).with_name("symptoms.toml")


@dataclass(frozen=True)
class Symptom:
    """One way in which clusters fail; `symptoms.toml` explains the fields."""

    title: str
    fault: Fault
    cause: str
    next_step: str
    sources: tuple[str, ...]
    codes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def has_code(self, code: str) -> bool:
        """Tell whether a termination code in capitals is one of these."""
        return any(fnmatchcase(code, pattern) for pattern in self.codes)


@cache
def all_symptoms() -> tuple[Symptom, ...]:
    """Return all symptoms in the order of the data."""
    return tuple(map(_symptom, read_toml(DATA)["symptom"]))


def of_code(code: str) -> Symptom | None:
    """Return what a termination code means, in any case; None where nothing is known."""
    return next((each for each in all_symptoms() if each.has_code(code.upper())), None)


def _symptom(table: dict[str, Any]) -> Symptom:
    lists = {name: tuple(value) for name, value in table.items() if isinstance(value, list)}
    texts = {name: " ".join(value.split()) for name, value in table.items() if name not in lists}
    return Symptom(**texts, **lists)  # type: ignore[arg-type]
