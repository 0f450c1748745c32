"""`python -m pytest_dcs sweep --remote`: what it finds, what it leaves alone, what it removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.__main__ import main
from pytest_dcs.remote import tags
from pytest_dcs.remote.job import request_of
from pytest_dcs.remote.journal import Journal
from pytest_dcs.remote.workspace import connect
from tests.remote.lifecycle import SPEC, order
from tests.remote.standin import lives

if TYPE_CHECKING:
    from pathlib import Path

    from tests.remote.standin import Workspace
    from tests.remote.standin.clock import Clock

PAST = "2020010100"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, virtual_time: Clock) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def spec(run_id: str = "0123abcd", **changes: str) -> dict[str, Any]:
    """Return the specification of a cluster of ours that somebody has forgotten."""
    tagged = tags.tagged(SPEC, run_id, 60.0)
    return {**tagged, "custom_tags": {**tagged["custom_tags"], "RemoveAfter": PAST, **changes}}


def cluster(workspace: Workspace, **changes: Any) -> str:
    body = {**spec(), "cluster_name": "dcs-0123abcd-1", **changes}
    return str(connect().post("/api/2.1/clusters/create", body)["cluster_id"])


def sweep(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    return main(["sweep", "--remote", *arguments]), capsys.readouterr().out


def test_expired_clusters_are_shown_and_removed_only_when_asked(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    forgotten = cluster(workspace)
    status, shown = sweep(capsys)
    assert status == 0
    assert f"would remove cluster {forgotten} dcs-0123abcd-1 (of run 0123abcd, " in shown
    assert [each.id for each in workspace.alive] == [forgotten]
    status, swept = sweep(capsys, "--yes")
    assert (status, swept.startswith(f"removed cluster {forgotten}")) == (0, True)
    assert workspace.alive == []
    assert sweep(capsys) == (0, "nothing to remove\n")


def test_what_is_not_ours_or_not_expired_is_left_alone(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = {"RemoveAfter": PAST}
    kept = [
        cluster(workspace, custom_tags=foreign),
        cluster(workspace, custom_tags=tags.own("0123abcd", 60.0)),
        cluster(workspace, custom_tags={**tags.own("0123abcd", 60.0), "RemoveAfter": "soon"}),
    ]
    workspace.may_leave.update(kept)
    assert sweep(capsys, "--yes") == (0, "nothing to remove\n")
    assert [each.id for each in workspace.alive] == kept


def test_other_peoples_are_removed_on_demand_only(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = cluster(workspace)
    monkeypatch.setattr("pytest_dcs.remote.sweep.caller_of", lambda _: "somebody-else@example.com")
    assert sweep(capsys) == (0, "nothing to remove\n")
    assert forgotten in sweep(capsys, "--all-expired", "--yes")[1]
    assert workspace.alive == []


def test_a_run_is_swept_whether_expired_or_not(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = cluster(workspace, custom_tags=tags.own("feedbeef", 6000.0))
    other = cluster(workspace, custom_tags=tags.own("0123abcd", 6000.0))
    workspace.may_leave.add(other)
    assert wanted in sweep(capsys, "--run=feed", "--yes")[1]
    assert [each.id for each in workspace.alive] == [other]


def test_runs_of_jobs_are_cancelled(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.script(lives.hanging())
    request = request_of(order(), spec(), "/Users/someone@example.com/checks.py")
    connect().post(
        "/api/2.0/workspace/import",
        {"path": "/Users/someone@example.com/checks.py", "format": "AUTO", "content": ""},
    )
    connect().post("/api/2.2/jobs/runs/submit", request)
    status, swept = sweep(capsys, "--yes")
    assert (status, swept.startswith("removed job run 1000 dcs-0123abcd")) == (0, True)
    assert workspace.alive == []


def test_all_is_listed_before_anything_is_removed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.remote.removal.PAGE", 1)
    for _ in range(3):
        cluster(workspace)
    sweep(capsys, "--yes")
    asked = [each.path.rpartition("/")[2] for each in workspace.requests]
    listed = [number for number, name in enumerate(asked) if name == "list"]
    assert len(listed) >= 3
    assert max(listed) < asked.index("delete")
    assert workspace.alive == []


def test_what_cannot_be_removed_is_said_and_the_rest_is_removed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = cluster(workspace), cluster(workspace)
    workspace.may_leave.update([first, second])
    workspace.fault("POST", "*/clusters/delete", "status", times=26, status=403)
    status, swept = sweep(capsys, "--yes")
    assert status == 1
    assert "NOT removed cluster" in swept
    assert len(workspace.alive) == 1


def test_what_a_run_that_is_over_has_noted_is_removed_before_its_hour(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal("0123abcd")
    journal.launching("dcs-0123abcd-1", workspace.url, "interactive", 6000.0)
    noted = cluster(workspace, custom_tags=tags.own("0123abcd", 6000.0))
    journal.note("created", "dcs-0123abcd-1", cluster_id=noted)
    assert sweep(capsys) == (0, "nothing to remove\n"), "its run still lives"
    journal.close()
    assert "left by run 0123abcd, which has ended" in sweep(capsys, "--yes")[1]
    assert workspace.alive == []
    assert not journal.path.exists()


def test_options_of_remote_sweeps_need_remote(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--yes"])
    assert "need --remote" in capsys.readouterr().err


def test_a_workspace_that_breaks_off_is_a_message(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.fault("GET", "*/clusters/list", "status", times=99, status=500)
    assert main(["sweep", "--remote"]) == 4
    assert "Traceback" not in capsys.readouterr().err
