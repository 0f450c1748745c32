"""The file of waivers, as the plugin writes it: TOML that the user goes on with."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from pytest_dcs import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_dcs.waivers import Waiver

HEADING = """\
# Adopted on {day} by --dcs-write-waivers. Mend what a waiver names and delete it, or give it a
# reason and a day of its own: after its day the rule fails again.
"""


def document(adopted: Sequence[Waiver], today: datetime.date) -> str:
    """Return waivers as TOML."""
    return "\n".join([HEADING.format(day=today), *map(table, adopted)])


def table(waiver: Waiver) -> str:
    """Return one waiver as a TOML table."""
    lines = [
        "[[waive]]",
        f"rule = {quoted(waiver.rule)}",
        f"reason = {quoted(waiver.reason)}",
        f"until = {waiver.until}",
        f"image = {quoted(waiver.image)}",
        f"runtime = {quoted(waiver.runtime or '')}",
    ]
    subjects = [quoted(subject) for subject in waiver.only]
    if len(subjects) == 1:
        lines.append(f"only = [{subjects[0]}]")
    else:
        lines += ["only = [", *(f"  {subject}," for subject in subjects), "]"]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Return a text as a TOML string, which is one of JSON with DEL escaped as well.

    https://toml.io/en/v1.0.0#string
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def refuse_unwritable(path: Path) -> None:
    """Raise `WaiversNotWritten` where a file could not be written, before time is spent on it."""
    if path.is_dir():
        raise errors.WaiversNotWritten(path, "it is a folder")
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK):
        raise errors.WaiversNotWritten(path, f"{target} cannot be written")


def append(path: Path, addition: str) -> None:
    """Write waivers behind those that a file has; raises `WaiversNotWritten`."""
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        tomllib.loads(before + gap + addition)
        with path.open("a", encoding="utf-8") as file:
            file.write(gap + addition)
    except OSError as error:
        raise errors.WaiversNotWritten(path, error.strerror or str(error)) from None
    except ValueError as error:
        raise errors.WaiversNotWritten(path, f"nothing can be added to it: {error}") from None
