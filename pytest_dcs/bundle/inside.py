"""The run inside an image: pytest with the defaults of the one file, and a document on stdout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import spark_cache, stash
from pytest_dcs.collect import SPARK_PROBES, is_given_spark
from pytest_dcs.items import entry_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pytest_dcs.plan import Entry
    from pytest_dcs.report.terminal import Summary

FOREIGN = (
    "PYTEST_ADDOPTS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTEST_PLUGINS",
)
"""Variables of the image's or the job's that would change this pytest."""

OWN_CONFIGURATION = ("-c", "--config-file", "--rootdir", "--confcutdir")
"""Options by which a user says that the folder's own pytest configuration is meant."""

STDOUT, STDERR = 1, 2
DOCUMENT = "document.json"
TO_STDOUT = "--dcs-json=-"


def main(arguments: Sequence[str], folder: str) -> int:
    """Run pytest, and write the run's document to stdout unless the user named a file for it.

    `folder` is where the one file was unpacked: it goes away afterwards.
    """
    document, stdout = Path(folder, DOCUMENT), os.dup(STDOUT)
    # Whatever pytest and what it starts print is for people: stdout has the document alone.
    os.dup2(STDERR, STDOUT)
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ.setdefault("DCS_JSON", str(document))
    given = [each for each in arguments if each != TO_STDOUT]
    status = pytest.main([*defaults(given, folder), *given], plugins=[WithoutIndex()])
    if document.exists():
        with os.fdopen(stdout, "wb") as written:
            written.write(document.read_bytes())
    return int(status)


def defaults(arguments: Sequence[str], folder: str) -> list[str]:
    """Return the arguments that stand before the user's.

    A checkout's own pytest configuration asks for plugins that are not here.
    """
    chosen = ["--dcs-engine=local", "-p", "no:cacheprovider"]
    if not any(each.partition("=")[0] in OWN_CONFIGURATION for each in arguments):
        empty = Path(folder, "pytest.ini")
        empty.write_text("[pytest]\n", encoding="utf-8")
        chosen += ["-c", str(empty), f"--rootdir={Path.cwd()}", "--noconftest"]
    return chosen


class WithoutIndex:
    """Leaves out what needs a Spark that is not at hand: nothing is fetched inside an image."""

    def __init__(self) -> None:
        self.notes: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect the tests that would fetch one."""
        settings = config.stash.get(stash.SETTINGS, None)
        if settings is None:
            return
        left_out = [
            item
            for item in items
            if not SPARK_PROBES.isdisjoint(getattr(item, "fixturenames", ()))
            and (entry := entry_of(item)) is not None
            and is_given_spark(entry)
            and spark_cache.cached(entry.runtime.pyspark, settings.cache_directory) is None
        ]
        if left_out:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)
        for entry in {id(each): each for each in map(entry_of, left_out) if each}.values():
            count = sum(entry_of(item) == entry for item in left_out)
            self.notes[entry.id] = note_on(entry, count, settings.cache_directory)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Say under the verdict and in the document what was left out."""
        summary: Summary | None = session.config.pluginmanager.get_plugin("dcs-summary")
        for entry_id, note in self.notes.items():
            if summary is not None and entry_id in summary.judgements:
                summary.judgements[entry_id].notes.append(note)
        return (yield)


def note_on(entry: Entry, count: int, cache_directory: Path) -> str:
    """Return what is said of the tests that were left out."""
    return (
        f"{count} checks need Spark {entry.runtime.pyspark}, which is not in {cache_directory}, "
        "and were not run: judge them outside, or set DCS_CACHE to a folder that has it"
    )
