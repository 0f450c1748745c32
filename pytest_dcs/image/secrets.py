"""Secrets in texts: found by detect-secrets and by what secrets.toml adds to it.

What is found is named by its kind and its place. The secret itself never leaves this process: it is
kept only to tell whether two places hold the same one.
"""

from __future__ import annotations

import importlib
import logging
import re
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detect_secrets.plugins.base import RegexBasedDetector

DATA = Path(__file__).with_name("secrets.toml")
MOST_SECRETS = 50
WINDOW = 4_000
"""Characters that are looked at together: patterns of plugins take long on one endless line."""
OVERLAP = 500
LONGEST_NAME = 60
SHORTEST = 4
SHORTEST_AFTER_COLON = 6
"""Texts have many a word after a colon, such as `passwd: files`."""
NO_VALUE = re.compile(r"[\W\d_]{0,7}|[\W_]*")
"""Short numbers and signs: `MAX_TOKEN=4096`."""


@dataclass(frozen=True)
class Secret:
    """One secret in a text."""

    what: str
    """Its kind or name, with the prefix that is public: `GitHub Token (ghp_…)`."""
    line: int
    """The line of the text, counted from 1."""
    value: str = field(repr=False)

    def overlaps(self, others: Iterable[Secret]) -> bool:
        """Tell whether one of the others is this secret, a part of it or more than it."""
        return any(self.value in other.value or other.value in self.value for other in others)


@dataclass(frozen=True)
class Pattern:
    """One more way to write a secret."""

    kind: str
    expression: re.Pattern[str]


def scan(text: str, more: Sequence[Pattern] = ()) -> list[Secret]:
    """Return the secrets in a text, in the order of its lines; `MOST_SECRETS` are enough."""
    found: list[Secret] = []
    for number, line in enumerate(text.splitlines(), 1):
        on_line: list[Secret] = []
        for what, value in _in_line(line, more):
            secret = Secret(what, number, value)
            if not secret.overlaps(on_line):
                on_line.append(secret)
            if len(found) + len(on_line) == MOST_SECRETS:
                return found + on_line
        found += on_line
    return found


def scan_variable(name: str, value: str) -> list[Secret]:
    """Return the secrets in a variable or label: what its value holds, or all of it."""
    found = scan(value)
    if not found and _names_secret(name) and is_written_out(value):
        found.append(Secret(f"value of {name}", 1, value))
    return found


def masked(text: str) -> str:
    """Return a text with an ellipsis for each secret in it."""
    for secret in scan(text):
        text = text.replace(secret.value, "…")
    return text


def is_written_out(value: str) -> bool:
    """Tell whether a value is a secret itself: no reference to one, and no placeholder."""
    heuristic = _import("filters.heuristic")
    return not (
        len(value) < SHORTEST
        or NO_VALUE.fullmatch(value)
        or any(pattern.search(value) for pattern in _no_secrets())
        or heuristic.is_templated_secret(value)
        or heuristic.is_sequential_string(value)
    )


@cache
def data() -> Mapping[str, Any]:
    """Return the document of secrets.toml."""
    return read_toml(DATA)


def _in_line(line: str, more: Sequence[Pattern]) -> Iterator[tuple[str, str]]:
    """Yield the kind or name and the value of each secret, some of them more than once."""
    for start in range(0, len(line), WINDOW - OVERLAP):
        part = line[start : start + WINDOW]
        yield from _by_form(part)
        yield from _by_patterns(part, more)
        yield from _by_name(part)


def _by_form(line: str) -> Iterator[tuple[str, str]]:
    """Yield the kind and the value of secrets that are known by their form."""
    for detector in _detectors():
        # A plugin may yield parts of a secret, such as its prefix alone; its patterns have all.
        if any(True for _ in detector.analyze_string(line)):
            kind = detector.secret_type
            yield from _by_patterns(line, [Pattern(kind, each) for each in detector.denylist])


def _by_patterns(line: str, patterns: Iterable[Pattern]) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        for match in pattern.expression.finditer(line):
            value = match.groupdict().get("value") or match.group()
            if is_written_out(value):
                yield f"{pattern.kind}{_public_part(value)}", value


def _by_name(line: str) -> Iterator[tuple[str, str]]:
    """Yield `value of NAME` and the value where a name says that it is secret."""
    for match in _assignment().finditer(line):
        before = line[max(0, match.start() - LONGEST_NAME) : match.start()]
        begin = cast("re.Match[str]", re.search(r"\$?\{?[\w.-]*$", before)).group()
        value = (match["double"] or match["single"] or match["bare"] or "").rstrip("\\")
        if _is_assigned(begin, match["sign"], value) and is_written_out(value):
            yield f"value of {begin.lstrip('-')}{match['name']}", value


def _is_assigned(begin: str, sign: str, value: str) -> bool:
    """Tell whether a value that follows a name is given to it."""
    if begin.startswith("$"):
        return False
    if sign.isspace():
        return begin.startswith("--") and not value.startswith("-")
    return sign.strip() != ":" or len(value) >= SHORTEST_AFTER_COLON


def _public_part(value: str) -> str:
    prefixes = [prefix for prefix in data()["public_prefixes"] if value.startswith(prefix)]
    return f" ({prefixes[0]}…)" if prefixes else ""


def _names_secret(name: str) -> bool:
    return (
        re.search(rf"(?:{'|'.join(data()['secret_names'])})\d*$", name, re.IGNORECASE) is not None
    )


@cache
def _assignment() -> re.Pattern[str]:
    """Return the pattern of `NAME=value`, `"name": "value"` and `--name value`.

    It begins with the end of the name: a beginning of any length, tried at each character, would
    take long on the one line of a large JSON document.
    """
    return re.compile(
        rf"""(?P<name>(?:{"|".join(data()["secret_names"])})\d*)["'\\\]]{{0,3}}"""
        r"""(?P<sign>={1,3}|\s{1,3}={1,3}\s{1,3}|\s{0,3}(?:=>|:=|:)\s{0,3}|\s+)"""
        r"""\\?(?:"(?P<double>[^"]*)|'(?P<single>[^']*)|(?P<bare>[^\s"'`&;|<>,)}\]][^\s"'&;|<>,)]*))""",
        re.IGNORECASE,
    )


@cache
def _no_secrets() -> Sequence[re.Pattern[str]]:
    """Return the patterns of references to secrets and of placeholders for them."""
    return [re.compile(each) for each in (*data()["references"], *data()["placeholders"])]


@cache
def _detectors() -> Sequence[RegexBasedDetector]:
    """Return the plugins of detect-secrets that are used, and our own ones."""
    base = _import("plugins.base").RegexBasedDetector
    found = []
    for name in data()["plugins"]:
        module, _, plugin = name.partition(".")
        found.append(getattr(_import(f"plugins.{module}"), plugin)())
    for token in data()["token"]:
        denylist = (re.compile(token["pattern"]),)
        found.append(type("Token", (base,), {"secret_type": token["kind"], "denylist": denylist})())
    return found


@cache
def _import(module: str) -> Any:
    """Return a module of detect-secrets, imported when there is a text to scan.

    On import it turns all warnings of the process into log records, which pytest is to see.
    """
    shows_warnings = warnings.showwarning
    imported = importlib.import_module(f"detect_secrets.{module}")
    if warnings.showwarning is not shows_warnings:
        logging.captureWarnings(capture=False)
    return imported
