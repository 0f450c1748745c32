"""The file of runs: kept whole under parallel writers and whenever a writer is killed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pytest_dcs import errors
from pytest_dcs.report.entries import Key
from pytest_dcs.report.history import History

from . import runs

ROOT = Path(__file__).parents[2]
KEY = Key("docker.io/acme/ml", "15.4", "python")
PATIENCE = 120

WRITER = """
import sys
from pathlib import Path
from pytest_dcs.report.history import History
from tests.unit import runs

path, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
many = {f"p{n}": "1.0" for n in range(2000)}
history = History(path)
history.prepare()
print("ready", flush=True)
for each in range(count):
    entry = runs.entry(digest=f"{number}-{each}", inventory={"python_packages": many})
    history.add(runs.run(entry))
    print(each, flush=True)
"""

KILLED_WITHIN = """
import os, signal, sqlite3, sys
from pathlib import Path
from pytest_dcs.report import history
from tests.unit import runs

path, moment = Path(sys.argv[1]), int(sys.argv[2])
seen = 0


def count(statement):
    global seen
    seen += 1
    if seen == moment:
        os.kill(os.getpid(), signal.SIGKILL)


class Counting(sqlite3.Connection):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        # Asks after every few instructions of SQLite's machine, so within statements too.
        self.execute("PRAGMA cache_size = 1")
        self.set_progress_handler(lambda: count("") or 0, 5)
        self.set_trace_callback(count)


connect = sqlite3.connect
sqlite3.connect = lambda *a, **named: connect(*a, factory=Counting, **named)
entries = [runs.entry(digest=f"killed {n}") for n in range(20)]
history.History(path).add(runs.run(*entries))
print(seen, flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def digests(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert answer == "ok"
        rows = connection.execute("SELECT digest FROM entry ORDER BY id").fetchall()
        orphans = connection.execute(
            "SELECT count(*) FROM run WHERE id NOT IN (SELECT run FROM entry)"
        ).fetchone()
    connection.close()
    assert orphans == (0,)
    return [digest for (digest,) in rows]


@pytest.fixture
def history(tmp_path: Path) -> History:
    made = History(tmp_path / "history.db")
    made.prepare()
    return made


def test_an_entry_comes_back_as_it_was_added(history: History) -> None:
    added = runs.entry({"PY001": "fail", "NB003 a.py": "pass"}, notes=["noted"], own_passes=2)
    history.add(runs.run(added, day=3))
    (past,) = history.runs(KEY, 9)
    assert past.outcomes == {"PY001": "fail", "NB003 a.py": "pass"}
    back = history.entry(past.id)
    slim = [
        {name: value for name, value in finding.items() if value and name != "entry"}
        for finding in added["findings"]
    ]
    expected = {**added, "findings": slim, "started": past.started, "engine": "docker"}
    assert back == expected


def test_the_newest_comes_first_and_only_good_ones_where_asked(history: History) -> None:
    history.add(runs.run(runs.entry(), day=2))
    history.add(runs.run(runs.entry({"PY001": "fail"}), day=3))
    history.add(runs.run(runs.entry(), day=1))
    assert [past.started[8:10] for past in history.runs(KEY, 9)] == ["03", "02", "01"]
    assert [past.started[8:10] for past in history.good_runs(KEY, 9)] == ["02", "01"]
    assert [past.started[8:10] for past in history.good_runs(KEY, 1)] == ["02"]


def test_images_are_told_apart_by_repository_runtime_and_profile(history: History) -> None:
    history.add(
        runs.run(
            runs.entry(image="acme/ml:1"),
            runs.entry(image="docker.io/acme/ml:2"),
            runs.entry(image="acme/ml-2:1"),
            runs.entry(image="index.example.com/acme/ml:1"),
            {**runs.entry(), "runtime": "16.4"},
            {**runs.entry(), "profile": "gpu"},
        )
    )
    assert {past.image for past in history.runs(KEY, 9)} == {"acme/ml:1", "docker.io/acme/ml:2"}
    assert len(history.runs(KEY, 9)) == 2


def test_an_image_is_found_however_its_name_is_written(history: History) -> None:
    history.add(runs.run(runs.entry(image="debian")))
    assert history.has_good_run_of("docker.io/library/debian:latest")
    assert not history.has_good_run_of("debian:12")
    assert len(history.good_runs_of("debian:latest", "15.4", "python", 9)) == 1


def test_files_that_are_no_history_are_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("my notes, which are long enough to be no database" * 9)
    with pytest.raises(errors.HistoryUnusable, match="it is not an SQLite database"):
        History(text).prepare()
    assert text.read_text().startswith("my notes")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(errors.HistoryUnusable, match="the database of another program"):
        History(other).prepare()
    assert other.read_bytes() == before


def test_a_newer_version_is_refused(history: History) -> None:
    with sqlite3.connect(history.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(errors.HistoryUnusable, match="version 9, and this pytest-dcs writes 1"):
        history.prepare()


@pytest.mark.parametrize(
    ("target", "problem"), [(".", "it is a folder"), ("missing/history.db", "there is no folder")]
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, target: str, problem: str) -> None:
    with pytest.raises(errors.HistoryUnusable, match=problem) as refused:
        History(tmp_path / target).prepare()
    assert "Name a file that is not there yet" in str(refused.value)


READ_ONLY = """
import os
from pathlib import Path
from pytest_dcs import errors
from pytest_dcs.report.history import History

if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    History(Path("history.db").resolve()).prepare()
except errors.HistoryUnusable as error:
    print(error)
"""


@pytest.mark.parametrize("modes", [(0o444, 0o555), (0o666, 0o555), (0o444, 0o777)])
def test_a_file_that_cannot_be_written_is_refused_before_a_run(modes: tuple[int, int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        history = History(Path(name) / "history.db")
        history.prepare()
        history.add(runs.run())
        history.path.chmod(modes[0])
        Path(name).chmod(modes[1])
        ended = subprocess.run(
            [sys.executable, "-c", READ_ONLY],
            capture_output=True,
            text=True,
            cwd=name,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            timeout=PATIENCE,
        )
        assert "history.db cannot be used" in ended.stdout, ended.stderr
        Path(name).chmod(0o755)
        assert digests(history.path) == ["sha256:1f3c"]


def test_a_file_that_others_hold_is_told_of(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.report.history.BUSY_SECONDS", 0.1)
    with sqlite3.connect(history.path, isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(errors.HistoryUnusable, match="database is locked"):
            history.add(runs.run())
    connection.close()


def test_parallel_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    writers = [start(WRITER, path, number, 5) for number in range(8)]
    for writer in writers:
        writer.communicate(timeout=PATIENCE)
        assert writer.returncode == 0
    assert sorted(digests(path)) == sorted(f"{n}-{each}" for n in range(8) for each in range(5))


CHANCE = random.Random(5)
DELAYS = [CHANCE.uniform(0, 0.3) for _ in range(6)]


@pytest.mark.parametrize("delay", DELAYS)
def test_a_writer_killed_at_any_time_loses_its_own_run_at_most(
    history: History, delay: float
) -> None:
    history.add(runs.run(runs.entry(digest="earlier")))
    writer = start(WRITER, history.path, 7, 100_000)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(delay)
    writer.send_signal(signal.SIGKILL)
    told, _ = writer.communicate(timeout=PATIENCE)
    done = [f"7-{line}" for line in told.splitlines()]
    history.add(runs.run(runs.entry(digest="later")))
    first, *between, last = digests(history.path)
    assert (first, last) == ("earlier", "later")
    assert between[: len(done)] == done
    assert len(between) <= len(done) + 1


def test_a_writer_killed_within_its_transaction_leaves_nothing_of_it(history: History) -> None:
    history.add(runs.run(runs.entry(digest="earlier")))
    counting = start(KILLED_WITHIN, history.path, -1)
    told, _ = counting.communicate(timeout=PATIENCE)
    steps = int(told)
    whole = len(digests(history.path)) - 1
    assert whole == 20
    for moment in sorted({1, 2, 3, *range(1, steps, steps // 12), steps - 1, steps}):
        before = digests(history.path)
        killed = start(KILLED_WITHIN, history.path, moment)
        killed.communicate(timeout=PATIENCE)
        assert killed.returncode == -signal.SIGKILL
        after = digests(history.path)
        assert after[: len(before)] == before
        assert len(after) - len(before) in {0, whole}
