"""A request as it came, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.remote.standin.refusals import malformed
from tests.remote.standin.specifications import without_secrets

CONTENT_KEYS = frozenset({"content", "contents", "data"})
"""Keys of large values, of which only the size is kept."""


@dataclass(frozen=True)
class Request:
    """One request."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: dict[str, Any] = field(repr=False)
    """The JSON, or the fields of a form."""
    content: bytes = field(default=b"", repr=False)
    """What was uploaded."""

    def value(self, key: str) -> str:
        """Return a value of the query; refuses a request without it."""
        if key not in self.query:
            message = f"{key} is required"
            raise malformed(message)
        return self.query[key][0]

    def number(self, key: str) -> int:
        """Return a whole number of the query."""
        text = self.value(key)
        if not text.isdigit():
            message = f"{key} is {text!r}, not an integer"
            raise malformed(message)
        return int(text)


@dataclass(frozen=True)
class Recorded:
    """What is kept of a request: no password, no header, no large value."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: dict[str, Any]
    status: int
    """What was answered; 0 where nothing was."""
    agent: str
    """The client's name for itself."""


def recorded(request: Request, status: int, agent: str) -> Recorded:
    """Return what is kept of a request."""
    body = {
        key: f"({len(str(value))} characters)" if key in CONTENT_KEYS else value
        for key, value in request.body.items()
    }
    return Recorded(
        request.method, request.path, request.query, without_secrets(body), status, agent
    )


def read(method: str, target: str, kind: str, content: bytes) -> Request:
    """Return a request; refuses a body that is no JSON object where it should be one."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    if kind.startswith("multipart/form-data"):
        fields, uploaded = _form(kind.partition("boundary=")[2].strip('"'), content)
        return Request(method, parts.path, query, fields, uploaded)
    if kind.startswith("application/x-www-form-urlencoded"):
        form = parse_qs(content.decode())
        return Request(method, parts.path, query, {key: form[key][0] for key in form})
    if method == "PUT":
        return Request(method, parts.path, query, {}, content)
    if not content:
        return Request(method, parts.path, query, {})
    try:
        body = json.loads(content)
    except ValueError as error:
        raise malformed(str(error)) from None
    if not isinstance(body, dict):
        message = "the body is no object"
        raise malformed(message)
    return Request(method, parts.path, query, body)


def _form(boundary: str, content: bytes) -> tuple[dict[str, Any], bytes]:
    fields: dict[str, Any] = {}
    uploaded = b""
    for part in content.split(b"--" + boundary.encode())[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        value = value.removesuffix(b"\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if name == "content":
            uploaded = value
        else:
            fields[name] = value.decode()
    return fields, uploaded
