"""How a registry says which login it wants.

https://www.rfc-editor.org/rfc/rfc9110#name-www-authenticate
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = re.compile(
    r"[\s,]*(?P<name>[!#$%&'*+.^_`|~\w-]+)"
    r'(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"=]+)))?',
    re.ASCII,
)
"""A scheme's name, or a parameter of the scheme before it."""


@dataclass(frozen=True)
class Challenge:
    """One way to log in that a server offers."""

    scheme: str
    """In lower case, as in `bearer`."""
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a header `WWW-Authenticate`, those that can be read."""
    found: list[tuple[str, dict[str, str]]] = []
    for piece in _PIECE.finditer(header):
        name, quoted, plain = piece.group("name", "quoted", "plain")
        if quoted is None and plain is None:
            found.append((name.lower(), {}))
        elif found:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1][1].setdefault(name.lower(), value)
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
