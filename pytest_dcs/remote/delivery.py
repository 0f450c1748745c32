"""The checks' one file on its way to a cluster, and its document on the way back."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import uuid
import zlib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNNER = "bundle_runner.py"
PIECE = 400_000
"""Characters in one command to a cluster."""
SHOWN = 2000


@dataclass(frozen=True)
class Parcel:
    """What is to run on a cluster, under a token that marks the lines of its output."""

    bundle: bytes = field(repr=False)
    arguments: Sequence[str] = field(repr=False)
    seconds: float
    token: str = field(default_factory=lambda: f"dcs-{uuid.uuid4().hex}")

    def script(self) -> str:
        """Return all of it as one Python file."""
        encoded = base64.b85encode(self.bundle).decode()
        return f"{runner()}\n\n{self._call(repr(encoded))}\n"

    def commands(self) -> Iterator[str]:
        """Return it as commands to one Python session, of which the last prints the output."""
        yield f"{runner()}\n\ndcs_pieces = []\nprint('ready')"
        encoded = base64.b85encode(self.bundle).decode()
        for start in range(0, len(encoded), PIECE):
            yield f"dcs_pieces.append({encoded[start : start + PIECE]!r})"
        yield self._call("''.join(dcs_pieces)")

    def _call(self, encoded: str) -> str:
        arguments = list(self.arguments)
        return f"run({encoded}, {arguments!r}, {self.token!r}, {max(1, int(self.seconds))})"

    def read(self, text: str) -> tuple[dict[str, Any] | None, str]:
        """Return the document in a log, or why there is none."""
        lines = dict(re.findall(rf"^{self.token} (\d+) (\S+)\s*$", text, re.MULTILINE))
        end = re.search(rf"^{self.token} end (\d+) (\w+) (-?\d+)\s*$", text, re.MULTILINE)
        if end is None:
            return None, "the output of the checks has no end: they were ended, or the log was cut"
        count, digest, status = int(end[1]), end[2], int(end[3])
        missing = [number for number in range(1, count + 1) if str(number) not in lines]
        if missing:
            return None, f"the log was cut: {len(missing)} of {count} lines of the document are not"
        try:
            encoded = "".join(lines[str(number)] for number in range(1, count + 1))
            output = zlib.decompress(base64.b64decode(encoded, validate=True))
        except (binascii.Error, zlib.error, ValueError):
            return None, "the document was damaged on its way"
        if hashlib.sha256(output).hexdigest() != digest:
            return None, "the document was damaged on its way"
        return document_in(output.decode("utf-8", "replace"), status)

    def without_output(self, text: str) -> str:
        """Return a log without the lines that carry the document."""
        return "\n".join(line for line in text.splitlines() if not line.startswith(self.token))


def document_in(output: str, status: int) -> tuple[dict[str, Any] | None, str]:
    """Return the document that the checks have printed, or why that is none."""
    try:
        document = json.loads(output)
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document, ""
    told = f": {output[-SHOWN:].strip()}" if output.strip() else ""
    return None, f"the checks ended with status {status} and printed no document{told}"


def runner() -> str:
    """Return the text of what runs the file there."""
    return (resources.files("pytest_dcs") / "probes" / RUNNER).read_text(encoding="utf-8")
