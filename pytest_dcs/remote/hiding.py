"""What must not be seen: known secrets, and values under names that secrets have."""

from __future__ import annotations

import json
import logging
import re
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "(hidden)"
REFERENCE = "{{secrets/"
"""How a value begins that only names a secret of the workspace."""
SHORTEST = 4
"""Characters; replacing shorter values everywhere would spoil every text."""
CUT_AT = 96
"""Characters after which the SDK's log cuts a value off, so that it no longer equals the secret."""
SHORTEST_LINE = 16

NAMES = (
    r"password|passwd|passphrase|secret|token|credential|(?:access|account|private|api)[._-]?key"
)
SECRET_NAME = re.compile(NAMES, re.IGNORECASE)
HARMLESS = {"idempotency_token", "next_page_token", "page_token", "prev_page_token"}
NAMED_VALUE = re.compile(
    rf'("([^"\\]*(?:{NAMES})[^"\\]*)"\s*:\s*)"((?:[^"\\]|\\.)*)"', re.IGNORECASE
)


class Unshown(dict[str, Any]):
    """A JSON object whose repr shows nothing; tracebacks can show the values of all variables."""

    def __repr__(self) -> str:
        return "{…}"


class Secrets:
    """The values that a run knows to be secret; its repr shows none of them."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: list[str] = []
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Hide these values from now on, in the forms in which texts carry them."""
        forms = {form for value in values for form in forms_of(value)}
        self._forms = sorted(forms.union(self._forms), key=len, reverse=True)

    def learn_from(self, plain: Any) -> None:
        """Hide from now on what stands under the names of secrets in a JSON value."""
        self.learn(named_secrets(plain))

    def hide(self, text: str) -> str:
        """Return a text in which no secret can be read."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return NAMED_VALUE.sub(hide_named, text)

    def hide_in(self, plain: Any) -> Any:
        """Return a copy of a JSON value in which no secret can be read."""
        if isinstance(plain, str):
            return self.hide(plain)
        if isinstance(plain, dict):
            return {self.hide(str(name)): self._value(name, value) for name, value in plain.items()}
        if isinstance(plain, (list, tuple)):
            return [self.hide_in(value) for value in plain]
        return plain

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and is_secret(name, value):
            return HIDDEN
        return self.hide_in(value)


def forms_of(value: str) -> Iterator[str]:
    """Return a secret as it is, as JSON and addresses write it, by line, and as logs cut it."""
    if len(value) < SHORTEST:
        return
    lines = (line for line in value.splitlines() if len(line) >= SHORTEST_LINE)
    for text in (value, *lines):
        for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
            yield form
            if len(form) > CUT_AT:
                yield form[:CUT_AT]
        yield quote(text, safe="")


def is_secret(name: str, value: str) -> bool:
    """Tell whether a value is secret by its name; one that only names a secret is not."""
    return (
        name not in HARMLESS
        and SECRET_NAME.search(name) is not None
        and not value.startswith(REFERENCE)
    )


def named_secrets(plain: Any) -> Iterator[str]:
    """Return the texts that stand under the names of secrets, at any depth."""
    if isinstance(plain, (list, tuple)):
        for value in plain:
            yield from named_secrets(value)
    if isinstance(plain, dict):
        for name, value in plain.items():
            if isinstance(value, str) and is_secret(str(name), value):
                yield value
            else:
                yield from named_secrets(value)


def hide_named(found: re.Match[str]) -> str:
    """Return a name and its value in JSON, without the value where it is secret."""
    beginning, name, value = found.groups()
    return f'{beginning}"{HIDDEN}"' if is_secret(name, value) else found[0]


class LogFilter(logging.Filter):
    """Hides secrets in log records; the SDK's own redaction knows no registry password."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, without secrets in its message and traceback."""
        record.msg, record.args = self._secrets.hide(record.getMessage()), None
        if record.exc_info and record.exc_info[0]:
            lines = traceback.format_exception(*record.exc_info)
            record.exc_info, record.exc_text = None, self._secrets.hide("".join(lines).rstrip())
        return True


def guard_loggers(prefix: str, secrets: Secrets) -> LogFilter:
    """Put a filter on all loggers of a package; a filter on their parent would not see theirs."""
    log_filter = LogFilter(secrets)
    known: Mapping[str, Any] = logging.Logger.manager.loggerDict
    for name in (prefix, *(name for name in known if name.startswith(f"{prefix}."))):
        logging.getLogger(name).addFilter(log_filter)
    return log_filter
