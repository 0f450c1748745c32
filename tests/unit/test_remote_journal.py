"""The journal of remote launches: what is on disk when a run dies."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.remote import errors, journal
from pytest_dcs.remote.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

HOST = "https://workspace.example.com"


def launched(folder: Path, run_id: str = "aaaa") -> Journal:
    written = Journal(run_id, folder)
    written.launching(f"dcs-{run_id}-1", HOST, "jobs", 60.0)
    return written


def test_a_name_is_on_disk_before_anything_is_launched(tmp_path: Path) -> None:
    (left,) = journal.unfinished_in(launched(tmp_path).path)
    assert (left.name, left.run_id, left.host, left.cluster_id) == (
        "dcs-aaaa-1",
        "aaaa",
        HOST,
        "",
    )


def test_what_was_learnt_later_belongs_to_the_name(tmp_path: Path) -> None:
    written = launched(tmp_path)
    written.note("created", "dcs-aaaa-1", cluster_id="c-1")
    written.note("submitted", "dcs-aaaa-1", job_run_id=7)
    (left,) = journal.unfinished_in(written.path)
    assert (left.cluster_id, left.job_run_id) == ("c-1", 7)


def test_what_was_removed_is_left_no_more(tmp_path: Path) -> None:
    written = launched(tmp_path)
    written.note("removed", "dcs-aaaa-1")
    assert journal.unfinished_in(written.path) == []
    written.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_with_something_left_stays(tmp_path: Path) -> None:
    written = launched(tmp_path)
    written.note("left", "dcs-aaaa-1", reason="403")
    written.close()
    assert written.path.exists()
    ((path, left),) = Journal("bbbb", tmp_path).earlier()
    assert (path, left.name) == (written.path, "dcs-aaaa-1")
    journal.finish(path, left.name)
    assert not path.exists()


def test_runs_that_live_have_left_nothing(tmp_path: Path) -> None:
    living = launched(tmp_path)
    assert Journal("bbbb", tmp_path).earlier() == []
    living.close()


def test_a_killed_run_has_left_what_it_wrote(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from pytest_dcs.remote.journal import Journal; "
        "j = Journal('dead', pathlib.Path(sys.argv[1])); "
        "j.launching('dcs-dead-1', 'h', 'jobs', 1.0); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert [left.name for _, left in Journal("bbbb", tmp_path).earlier()] == ["dcs-dead-1"]


def test_a_line_that_was_cut_short_hides_no_other(tmp_path: Path) -> None:
    written = launched(tmp_path)
    with written.path.open("a") as file:
        file.write('{"event": "remo')
    assert len(journal.unfinished_in(written.path)) == 1


def test_launches_of_all_processes_of_a_run_count(tmp_path: Path) -> None:
    (tmp_path / "aaaa-1.jsonl").write_text('{"event": "launching", "name": "dcs-aaaa-0"}\n')
    written = launched(tmp_path)
    with pytest.raises(errors.TooManyLaunches, match="2 clusters"):
        written.launching("dcs-aaaa-2", HOST, "jobs", 60.0)


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_nobody_else_reads_it(tmp_path: Path) -> None:
    assert launched(tmp_path / "new").path.stat().st_mode & 0o077 == 0


def test_a_teardown_goes_on_when_the_disk_does_not(tmp_path: Path) -> None:
    written = launched(tmp_path)
    written.path.unlink()
    written.path.mkdir()
    written.note("removed", "dcs-aaaa-1")
    with pytest.raises(errors.JournalUnusable):
        written.launching("dcs-aaaa-2", HOST, "jobs", 60.0)
