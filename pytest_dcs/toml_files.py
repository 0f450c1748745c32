"""TOML files that users write: read with messages that name file, entry and field."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_dcs import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REQUIRED = "\0"


def read_toml(path: Path) -> dict[str, Any]:
    """Return a file's document; raises `BrokenFile` where it cannot be read or is no TOML."""
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))

    except (OSError, UnicodeDecodeError) as error:
        raise errors.BrokenFile(path, f"cannot be read ({error})", "Check the path.") from None
    except tomllib.TOMLDecodeError as error:
        raise errors.BrokenFile(path, f"is not valid TOML: {error}", "Correct it there.") from None
    return document


@dataclass
class Fields:
    """The fields of one table, taken one by one; what is left over is a misspelling."""

    path: Path
    where: str
    values: Mapping[str, Any]
    example: str
    taken: set[str] = field(default_factory=set)

    def text(self, name: str, default: str = REQUIRED) -> str:
        """Return a text."""
        value = self._take(name, str, "a text", default)
        if value == REQUIRED:
            self.refuse(f"field {name!r} is missing")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the field is not there."""
        values = self._take(name, list, "a list of texts", [])
        if not all(isinstance(value, str) for value in values):
            self.refuse(f"field {name!r} must be a list of texts")
        return tuple(values)

    def date(self, name: str) -> datetime.date:
        """Return a date, written without quotes."""
        value = self._take(name, datetime.date, "a date such as 2027-03-01, without quotes", None)
        if value is None:
            self.refuse(f"field {name!r} is missing")
        return datetime.date(value.year, value.month, value.day)

    def optional_date(self, name: str) -> datetime.date | None:
        """Return a date, None where the field is not there."""
        return self.date(name) if name in self.values else None

    def flag(self, name: str) -> bool:
        """Return true or false, false where the field is not there."""
        return bool(self._take(name, bool, "true or false", False))

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers, empty where the field is not there."""
        values = self._take(name, list, "a list of whole numbers", [])
        if not all(type(value) is int for value in values):
            self.refuse(f"field {name!r} must be a list of whole numbers")
        return tuple(values)

    def optional_integer(self, name: str) -> int | None:
        """Return a whole number, None where the field is not there."""
        value = self._take(name, int, "a whole number", None)
        if isinstance(value, bool):
            self.refuse(f"field {name!r} must be a whole number")
        return None if value is None else int(value)

    def table(self, name: str) -> Mapping[str, Any]:
        """Return a table, empty where it is not there."""
        return dict(self._take(name, dict, f"a table [{name}]", {}))

    def texts_by_name(self, name: str) -> Mapping[str, str]:
        """Return a table of texts, empty where it is not there."""
        values = self.table(name)
        if not all(isinstance(value, str) for value in values.values()):
            self.refuse(f"field {name!r} must be a table of texts")
        return values

    def tables(self, name: str) -> list[Mapping[str, Any]]:
        """Return an array of tables, empty where it is not there."""
        values = self._take(name, list, f"tables [[{name}]]", [])
        if not all(isinstance(value, dict) for value in values):
            self.refuse(f"field {name!r} must be tables [[{name}]]")
        return list(values)

    def nothing_else(self) -> None:
        """Raise `BrokenFile` for a field that nobody asked for."""
        unknown = sorted(set(self.values) - self.taken)
        if unknown:
            self.refuse(f"field {unknown[0]!r} is unknown")

    def refuse(self, problem: str) -> NoReturn:
        """Raise the `BrokenFile` that says what is wrong with this table."""
        raise errors.BrokenFile(self.path, f"{self.where}: {problem}", self.example)

    def _take(self, name: str, kind: type, description: str, default: Any) -> Any:
        self.taken.add(name)
        value = self.values.get(name, default)
        if name in self.values and not isinstance(value, kind):
            self.refuse(f"field {name!r} must be {description}")
        return value
