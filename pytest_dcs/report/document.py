"""The document of a run: all that it found, as plain data that later runs and programs read."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import __version__, errors, stash
from pytest_dcs.options import STDOUT

if TYPE_CHECKING:
    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.report.findings import Judgement
    from pytest_dcs.report.terminal import Summary

FORMAT = 1
"""To be raised when a reader of older documents would misread new ones."""

INSIDE = "local"
"""The engine with which a run sees its image from the inside."""

TEXTS_OF_RUN = ("plugin", "run", "started", "engine", "seen")
FIELDS_OF_ENTRY: dict[type, tuple[str, ...]] = {
    str: ("image", "digest", "image_id", "runtime", "profile", "verdict", "lost"),
    int: ("own_failures", "own_passes"),
    dict: ("seconds", "inventory"),
    list: ("findings", "notes"),
}
NAMES_OF_KINDS = {str: "a text", int: "a number", dict: "an object", list: "a list"}
TEXTS_OF_FINDING = ("rule", "name", "outcome", "subject", "message")


class Writer:
    """Writes the document when the session has ended, in the process that has all findings."""

    def __init__(self, config: pytest.Config, target: str, summary: Summary) -> None:
        self.config = config
        self.target = target
        self.summary = summary
        self.lines: list[str] = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write a file, so that what keeps it from being written is still in the summary."""
        if self.target == STDOUT:
            return
        try:
            write(self.target, of_run(self.config, self.summary))
        except errors.DocumentNotWritten as error:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            self.lines.append(f"ERROR: {error}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why there is no file."""
        for line in self.lines:
            terminalreporter.write_line(line)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Print the document below all that pytest prints."""
        if self.target == STDOUT:
            write(STDOUT, of_run(config, self.summary))


def of_run(config: pytest.Config, summary: Summary) -> dict[str, Any]:
    """Return the document of a run that has judged its images."""
    engine = summary.settings.engine.value
    return {
        "format": FORMAT,
        "plugin": __version__,
        "run": stash.run_id_of(config),
        "started": summary.started.isoformat(timespec="seconds"),
        "engine": engine,
        "seen": "inside" if engine == INSIDE else "outside",
        "entries": [
            of_entry(entry, judgement, summary.settings) for entry, judgement in summary.judged()
        ],
    }


def of_entry(entry: Entry, judgement: Judgement, settings: Settings) -> dict[str, Any]:
    """Return what a document has of one image on one runtime."""
    return {
        "image": entry.image.reference,
        "digest": entry.image.released_as,
        "image_id": entry.image.id,
        "runtime": entry.runtime.version,
        "runtime_source": entry.runtime_source,
        "profile": entry.profile,
        "asked": asked(entry, settings),
        "verdict": judgement.verdict,
        "lost": judgement.lost,
        "notes": list(judgement.notes),
        "own_failures": judgement.own_failures,
        "own_passes": judgement.own_passes,
        "seconds": {step: round(taken, 3) for step, taken in judgement.seconds.items()},
        "findings": [finding.to_plain() for _, finding in sorted(judgement.findings.items())],
        "inventory": judgement.inventory,
    }


def asked(entry: Entry, settings: Settings) -> dict[str, Any]:
    """Return what else was asked for that outcomes depend on, without values that may be secret."""
    return {
        "without": sorted(settings.without.value),
        "init_scripts": [Path(script).name for script in entry.init_scripts],
        "jars": [Path(jar).name for jar in settings.jar.value],
        "spark_conf": sorted(text.partition("=")[0] for text in settings.spark_conf.value),
        "spark_mode": settings.spark_mode.value,
        "open_network": settings.open_network.value,
        "strict": settings.strict.value,
        "merged": [Path(part).name for part in settings.merge.value],
    }


def refuse_unwritable(target: str) -> None:
    """Raise `DocumentNotWritten` where a file could not be written, before time is spent on it."""
    path = Path(target)
    if target == STDOUT:
        return
    if path.is_dir():
        raise errors.DocumentNotWritten(path, "it is a folder")
    if not path.parent.is_dir():
        raise errors.DocumentNotWritten(path, f"there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise errors.DocumentNotWritten(path, f"{path.parent} cannot be written")


def write(target: str, document: dict[str, Any]) -> None:
    """Write a document to a file, whole or not at all, or to stdout where the target is `-`.

    Raises `DocumentNotWritten`.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if target == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    path = Path(target)
    try:
        replace(path, text)
    except OSError as error:
        raise errors.DocumentNotWritten(path, error.strerror or str(error)) from None


def replace(path: Path, text: str) -> None:
    """Put a new file in the place of an old one in one step; raises `OSError`."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets nobody else read; a report is for whoever may read other new files.
        Path(name).chmod(0o666 & ~current_mask())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def current_mask() -> int:
    """Return the mask of this process for new files, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def read(path: Path) -> dict[str, Any]:
    """Return the document in a file; raises `DocumentUnreadable` for anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.DocumentUnreadable(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise errors.DocumentUnreadable(path, f"it is not JSON: {error}") from None
    problem = problem_of(document)
    if problem:
        raise errors.DocumentUnreadable(path, problem)
    result: dict[str, Any] = document
    return result


def problem_of(document: Any) -> str:
    """Return why something is no document of a run that can be read, empty where it is one."""
    if not isinstance(document, dict) or "format" not in document:
        return "it is not the document of a run"
    if document["format"] != FORMAT:
        return f"its format is {document['format']!r}, and this pytest-dcs reads {FORMAT}"
    missing = [name for name in TEXTS_OF_RUN if not isinstance(document.get(name), str)]
    if missing:
        return f"field {missing[0]!r} is not a text"
    if not isinstance(document.get("entries"), list):
        return "field 'entries' is not a list"
    problems = (problem_of_entry(entry) for entry in document["entries"])
    return next(
        (f"entry {number}: {problem}" for number, problem in enumerate(problems, 1) if problem), ""
    )


def problem_of_entry(entry: Any) -> str:
    """Return what is wrong with one entry, empty where nothing is."""
    if not isinstance(entry, dict):
        return "it is not an object"
    for kind, names in FIELDS_OF_ENTRY.items():
        for name in names:
            if not isinstance(entry.get(name), kind):
                return f"field {name!r} is not {NAMES_OF_KINDS[kind]}"
    if not all(map(is_finding, entry["findings"])):
        return "field 'findings' has something that is no finding"
    return ""


def is_finding(plain: Any) -> bool:
    """Tell whether a value can be read as a finding."""
    return (
        isinstance(plain, dict)
        and all(isinstance(plain.get(name), str) for name in TEXTS_OF_FINDING)
        and isinstance(plain.get("items"), list)
    )
