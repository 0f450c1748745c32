"""A log of all requests and answers that can be shown to others: no secret, no host, no person."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_dcs.remote import errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from requests import Response

    from pytest_dcs.remote.hiding import Secrets

LONGEST_TEXT = 2000
"""Characters of one value; logs are longer and tell nothing about the interface."""

WORKSPACE = "workspace.example.com"
PEOPLE = {"creator_user_name", "single_user_name", "userName", "displayName", "user_name", "user"}
UPLOADS = {"content", "contents", "command"}
"""What we send to be run; as base64 it could hide what is to be replaced."""
PRIVATE = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "user@example.com"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "192.0.2.1"),
    (re.compile(r"\b\d{12}(?=\.dkr\.ecr\.|:)"), "123456789012"),
    (re.compile(r"\b[\w-]+(?=\.azurecr\.io\b)"), "registry"),
    (re.compile(r"(?<=-docker\.pkg\.dev/)[\w.-]+"), "project"),
    (re.compile(r"(?<=/Users/)[^/\"\s]+"), "user@example.com"),
    (
        re.compile(r"\b[\w.-]+\.(?:cloud|gcp|azure)?databricks\.(?:com|net|us|azure\.cn)\b"),
        WORKSPACE,
    ),
)
"""What says whose workspace it is, and by what it is replaced; kinds of registries are kept."""


class Exchange:
    """One request and what came of each time that it was sent; of downloads the answer is left."""

    def __init__(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        *,
        download: bool = False,
    ) -> None:
        self._download = download
        self.request = {"method": method, "path": path, "query": query, "body": body}
        self.attempts: list[dict[str, Any]] = []
        self.status = 0
        self._started = 0.0

    def sent(self) -> None:
        """Note that the request goes out, for the first time or again."""
        self._started = time.monotonic()
        self.attempts.append({"status": None, "answer": None, "milliseconds": None})

    def answered(self, status: int, response: Response) -> None:
        """Note what came back."""
        self.status = status
        milliseconds = round(1000 * (time.monotonic() - self._started))
        kept = None if self._download else response
        self.attempts[-1] |= {"status": status, "milliseconds": milliseconds, "answer": kept}

    def lost(self, reason: str) -> None:
        """Note why there is no answer that can be used."""
        if not self.attempts:
            self.sent()
        self.attempts[-1]["lost"] = reason


class WireLog:
    """Writes one line of JSON for each time that a request was sent."""

    def __init__(self, path: Path, secrets: Secrets, host: str) -> None:
        self._path = path
        self._secrets = secrets
        self._host = urlsplit(host).netloc
        try:
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise errors.RecordUnwritable(path, error.strerror or str(error)) from None

    def write(self, exchange: Exchange) -> None:
        """Write what is new; raises `RecordUnwritable`."""
        lines = []
        for attempt in exchange.attempts:
            plain = {**exchange.request, **attempt, "answer": read(attempt.get("answer"))}
            shown = self._private(self._secrets.hide_in(plain))
            lines.append(json.dumps(shown, ensure_ascii=False) + "\n")
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as error:
            raise errors.RecordUnwritable(self._path, error.strerror or str(error)) from None

    def _private(self, plain: Any, name: str = "") -> Any:
        if isinstance(plain, dict):
            return {each: self._private(value, each) for each, value in plain.items()}
        if isinstance(plain, list):
            return [self._private(value) for value in plain]
        if not isinstance(plain, str):
            return plain
        if name in UPLOADS:
            return f"({len(plain)} characters)"
        return "user@example.com" if name in PEOPLE else self._anonymous(plain)

    def _anonymous(self, text: str) -> str:
        if self._host:
            text = text.replace(self._host, WORKSPACE)
        for pattern, replacement in PRIVATE:
            text = pattern.sub(replacement, text)
        return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)})"


def read(response: Response | None) -> Any:
    """Return an answer as JSON where it is that; one that broke off has none."""
    if response is None:
        return None
    try:
        return response.json()
    except ValueError:
        return response.text
    except (OSError, RuntimeError):
        return None
