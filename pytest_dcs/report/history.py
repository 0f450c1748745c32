"""The file of runs: an SQLite database to which each run adds itself once, at its end.

https://www.sqlite.org/lockingv3.html#rollback: the journal is that of a rollback and not the
write-ahead log, which would leave part of the history in a second file and which no network drive
can have. Whoever opens the file after a writer was killed rolls its run back.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_dcs import errors
from pytest_dcs.report.entries import (
    Measured,
    asked_text,
    machine_of,
    measured_in,
    name_of,
    outcomes_of,
    repository_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_dcs.report.entries import Key

APPLICATION = 0x64637368
"""Says in the file's header whose it is: `dcsh`."""
VERSION = 1
"""To be raised with each change of the tables."""
BUSY_SECONDS = 60.0
"""How long a writer waits for others, each of which takes some milliseconds."""

TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    plugin TEXT NOT NULL,
    started TEXT NOT NULL,
    engine TEXT NOT NULL,
    seen TEXT NOT NULL
);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    image TEXT NOT NULL,
    name TEXT NOT NULL,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    image_id TEXT NOT NULL,
    runtime TEXT NOT NULL,
    profile TEXT NOT NULL,
    verdict TEXT NOT NULL,
    asked TEXT NOT NULL,
    machine TEXT NOT NULL,
    outcomes TEXT NOT NULL,
    measured TEXT NOT NULL,
    rest TEXT NOT NULL,
    findings TEXT NOT NULL,
    inventory TEXT NOT NULL
);
CREATE INDEX entry_by_repository ON entry (repository, runtime, profile, verdict);
CREATE INDEX entry_by_digest ON entry (digest, runtime, profile);
CREATE INDEX entry_by_name ON entry (name, runtime, profile, verdict);
"""
"""Outcomes by the keys of findings, and what was measured, are kept apart and before what is
long: they are read of many runs."""

COLUMNS = ("image", "digest", "image_id", "runtime", "profile", "verdict")
"""Texts of an entry that have a column of the same name."""
IN_OTHER_COLUMNS = frozenset({*COLUMNS, "findings", "inventory"})
GOOD = "releasable"
NOT_A_DATABASE = "it is not an SQLite database"


class Past(NamedTuple):
    """An entry of an earlier run, as far as many are looked at together."""

    id: int
    started: str
    """ISO 8601, UTC."""
    image: str
    verdict: str
    outcomes: Mapping[str, str]
    """By the keys of findings."""


class History:
    """A file of runs; every method raises `HistoryUnusable` where the file does not do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the file where there is none, and see whether a run can be added to it."""
        if self.path.is_dir():
            raise errors.HistoryUnusable(self.path, "it is a folder")
        if not self.path.parent.is_dir():
            raise errors.HistoryUnusable(self.path, f"there is no folder {self.path.parent}")
        with self._transaction() as connection:
            # Only a change of the file tells whether it can be changed; this one changes nothing.
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def add(self, document: Mapping[str, Any]) -> None:
        """Add a run, given as the document of it."""
        with self._transaction() as connection:
            run = connection.execute(
                "INSERT INTO run (run, plugin, started, engine, seen) VALUES (?, ?, ?, ?, ?)",
                [document[name] for name in ("run", "plugin", "started", "engine", "seen")],
            ).lastrowid
            for entry in document["entries"]:
                insert(connection, {"run": run, **row_of(entry)})

    def good_runs(self, key: Key, most: int) -> list[Past]:
        """Return releasable runs of a repository, the newest first."""
        return self._past(
            "repository = ? AND runtime = ? AND profile = ? AND verdict = ?", (*key, GOOD), most
        )

    def good_runs_of(self, image: str, runtime: str, profile: str, most: int) -> list[Past]:
        """Return releasable runs of one image by its reference, the newest first."""
        condition = "name = ? AND runtime = ? AND profile = ? AND verdict = ?"
        return self._past(condition, (name_of(image), runtime, profile, GOOD), most)

    def runs(self, key: Key, most: int) -> list[Past]:
        """Return all runs of a repository, the newest first."""
        return self._past("repository = ? AND runtime = ? AND profile = ?", tuple(key), most)

    def runs_alike(self, entry: Mapping[str, Any], run: Mapping[str, Any], most: int) -> list[Past]:
        """Return the runs that asked the same of the same digest as an entry of a run's document.

        They come the newest first.
        """
        return self._past(
            "digest = ? AND runtime = ? AND profile = ? AND asked = ? "
            "AND plugin = ? AND engine = ?",
            (
                *(entry[name] for name in ("digest", "runtime", "profile")),
                asked_text(entry),
                *(run[name] for name in ("plugin", "engine")),
            ),
            most,
        )

    def has_good_run_of(self, image: str) -> bool:
        """Tell whether an image has ever been releasable."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM entry WHERE name = ? AND verdict = ? LIMIT 1",
                (name_of(image), GOOD),
            )
            return found.fetchone() is not None

    def measured(self, key: Key, engine: str, machine: str, most: int) -> list[Measured]:
        """Return what good runs measured on this engine and machine, the newest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT measured FROM entry JOIN run ON run.id = entry.run "
                "WHERE repository = ? AND runtime = ? AND profile = ? AND verdict = ? "
                "AND engine = ? AND machine = ? ORDER BY started DESC, entry.id DESC LIMIT ?",
                (*key, GOOD, engine, machine, most),
            )
            return [Measured(*json.loads(measured)) for (measured,) in rows]

    def entry(self, number: int) -> dict[str, Any]:
        """Return one entry whole, as documents have it, with the time and engine of its run."""
        names = (*COLUMNS, "rest", "findings", "inventory", "started", "engine")
        with self._reading() as connection:
            row = connection.execute(
                f"SELECT {', '.join(names)} FROM entry JOIN run ON run.id = entry.run "  # noqa: S608
                "WHERE entry.id = ?",
                (number,),
            ).fetchone()
        found = dict(zip(names, row, strict=True))
        rest = json.loads(found.pop("rest"))
        parsed = {name: json.loads(found.pop(name)) for name in ("findings", "inventory")}
        return {**found, **rest, **parsed}

    def _past(self, condition: str, values: tuple[str, ...], most: int) -> list[Past]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT entry.id, started, image, verdict, outcomes "  # noqa: S608
                "FROM entry JOIN run ON run.id = entry.run "
                f"WHERE {condition} ORDER BY started DESC, entry.id DESC LIMIT ?",
                (*values, most),
            )
            return [
                Past(number, started, image, verdict, json.loads(outcomes))
                for number, started, image, verdict, outcomes in rows
            ]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            self._refuse_other_files(connection)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's only lock for writing: what is done is kept whole or not at all."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if is_empty(connection):
                    make_tables(connection)
                self._refuse_other_files(connection)
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            with closing(connection):
                # Waits for the disk before it is said that a run was added, and for its folder.
                connection.execute("PRAGMA synchronous = EXTRA")
                yield connection
        except sqlite3.Error as error:
            told = str(error)
            problem = NOT_A_DATABASE if "not a database" in told else told
            raise errors.HistoryUnusable(self.path, problem) from None

    def _refuse_other_files(self, connection: sqlite3.Connection) -> None:
        if number(connection, "application_id") != APPLICATION:
            raise errors.HistoryUnusable(self.path, "it is the database of another program")
        version = number(connection, "user_version")
        if version != VERSION:
            problem = f"it has version {version}, and this pytest-dcs writes {VERSION}"
            raise errors.HistoryUnusable(self.path, problem)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Tell whether a database has no table yet."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not number(connection, "application_id")


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables within the transaction, which `executescript` would end."""
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def number(connection: sqlite3.Connection, pragma: str) -> int:
    """Return a number of the file's header."""
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def insert(connection: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    """Add one entry."""
    places = ", ".join("?" * len(row))
    connection.execute(
        f"INSERT INTO entry ({', '.join(row)}) VALUES ({places})",  # noqa: S608
        [*row.values()],
    )


def row_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an entry, given as documents have it."""
    rest = {name: value for name, value in entry.items() if name not in IN_OTHER_COLUMNS}
    return {
        **{name: entry[name] for name in COLUMNS},
        "name": name_of(entry["image"]),
        "repository": repository_of(entry["image"]),
        "asked": asked_text(entry),
        "machine": machine_of(entry),
        "outcomes": compact(outcomes_of(entry)),
        "measured": compact(measured_in(entry)),
        "rest": compact(rest),
        "findings": compact([without_empty(finding) for finding in entry["findings"]]),
        "inventory": compact(entry["inventory"]),
    }


def without_empty(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain finding without the fields that most findings leave empty."""
    return {name: value for name, value in finding.items() if value and name != "entry"}


def compact(value: Any) -> str:
    """Return a value as JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
