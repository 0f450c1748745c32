"""Launching on a workspace: what is sent how often, what is kept, and that nothing is left."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.remote import errors
from pytest_dcs.remote.journal import Journal
from pytest_dcs.remote.orders import carry_out
from pytest_dcs.remote.workspace import connect
from tests.remote.lifecycle import DOCUMENT, PASSWORD, SPEC, Python, bundle, order, run_task
from tests.remote.standin import lives
from tests.remote.standin.nodes import AnsweredNodes

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dcs.remote.outcome import Order, Outcome
    from tests.remote.standin import Workspace
    from tests.remote.standin.clock import Clock

MODES = ("jobs", "interactive")
CREATE, SUBMIT = "/clusters/create", "/jobs/runs/submit"
both_modes = pytest.mark.parametrize("mode", MODES)


@dataclass
class Launcher:
    """Launches on the workspace of the test, with time that is only counted."""

    workspace: Workspace
    folder: Path
    said: list[str] = field(default_factory=list)
    record: Path | None = None

    def __call__(self, ordered: Order, **more: Any) -> Outcome:
        journal = Journal(ordered.run_id, self.folder, **more)
        try:
            return carry_out(connect(self.record), ordered, journal, self.said.append)
        finally:
            journal.close()


@pytest.fixture
def launch(workspace: Workspace, virtual_time: Clock, tmp_path: Path) -> Launcher:
    assert isinstance(workspace.nodes, AnsweredNodes)
    workspace.nodes.task = run_task
    workspace.nodes.command = Python()
    return Launcher(workspace, tmp_path / "journal")


@both_modes
def test_the_document_comes_back_and_nothing_is_left(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    outcome = launch(order(mode))
    assert outcome.document == DOCUMENT
    assert outcome.trouble == ""
    assert (outcome.ready, outcome.removed, outcome.left) == (True, True, "")
    assert outcome.cluster_id == workspace.clusters[0].id
    assert [event["type"] for event in outcome.events][:3] == [
        "CREATING",
        "RUNNING",
        "DRIVER_HEALTHY",
    ]
    assert set(outcome.seconds) == {"start", "run", "removal"}
    assert workspace.alive == []
    assert workspace.files.left() == []
    assert list(launch.folder.iterdir()) == []
    assert any(" PENDING 0:" in line for line in launch.said)


@both_modes
def test_the_tags_of_the_user_and_ours_are_both_there(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    tags = launch(order(mode)).cluster["custom_tags"]
    assert tags["team"] == "images"
    assert tags["pytest-dcs-run"] == order().run_id
    assert {"pytest-dcs", "RemoveAfter"} < set(tags)


@both_modes
def test_a_password_is_in_nothing_that_leaves(
    launch: Launcher, mode: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    launch.record = tmp_path / "wire.jsonl"
    long = "x" * 90 + "-the-end-of-a-long-key" * 20
    spec = {
        **SPEC,
        "spark_env_vars": {"DB_PASSWORD": "swordfish-7", "ACME": "from-the-vault"},
        "spark_conf": {**SPEC["spark_conf"], "fs.azure.account.key.acme": long},
    }
    text = "import sys; print('swordfish-7', 'from-the-vault'); sys.exit(1)"
    kept: list[Path] = []
    with caplog.at_level(logging.DEBUG):
        ordered = order(mode, spec=spec, bundle=bundle(text), secrets=("from-the-vault",))
        outcome = launch(ordered)
    kept += [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [repr(ordered), repr(outcome), caplog.text, *launch.said]
    texts += [path.read_text() for path in kept]
    assert "swordfish" not in "".join(texts)
    assert "hunter2" not in "".join(texts)
    assert PASSWORD not in "".join(texts)
    assert "from-the-vault" not in "".join(texts)
    assert "the-end-of-a-long-key" not in "".join(texts)
    assert launch.workspace.token not in "".join(texts)
    assert "(hidden)" in outcome.trouble
    assert "/clusters/get" in caplog.text


def test_the_log_of_requests_names_neither_the_host_nor_people(
    launch: Launcher, tmp_path: Path
) -> None:
    launch.record = tmp_path / "wire.jsonl"
    launch(order("interactive"))
    text = launch.record.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    created = next(line for line in lines if line["path"].endswith(CREATE))
    assert created["status"] == 200
    assert created["body"]["docker_image"]["basic_auth"]["password"] == "(hidden)"
    assert "cluster_id" in created["answer"]
    assert "someone" not in text
    assert launch.workspace.url.removeprefix("http://") not in text
    assert not any("print" in str(line["body"]) for line in lines)


@both_modes
def test_why_a_cluster_ended_is_kept_as_it_came(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.script(lives.unknown_code())
    outcome = launch(order(mode))
    assert outcome.termination is not None
    assert outcome.termination["code"] == "SECURITY_AGENTS_FAILED_INITIAL_VERIFICATION"
    assert outcome.termination["type"] == "SERVICE_TROUBLE"
    assert (outcome.ready, outcome.document, outcome.removed) == (False, None, True)
    assert outcome.trouble


@both_modes
def test_a_state_that_nobody_knows_is_waited_out(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.script(lives.unknown_state())
    assert launch(order(mode)).document == DOCUMENT
    assert any("WARMING_UP" in line for line in launch.said)


@both_modes
def test_each_init_script_has_its_status(launch: Launcher, workspace: Workspace, mode: str) -> None:
    workspace.script(lives.init_script_failure("SUCCEEDED", "FAILED_EXECUTION"))
    scripts = [
        {"workspace": {"destination": "/Shared/proxy.sh"}},
        {"volumes": {"destination": "/Volumes/acme/scripts/agent.sh"}},
    ]
    outcome = launch(order(mode, spec={**SPEC, "init_scripts": scripts}))
    assert [(each["script"], each["status"]) for each in outcome.init_scripts] == [
        ("/Shared/proxy.sh", "SUCCEEDED"),
        ("/Volumes/acme/scripts/agent.sh", "FAILED_EXECUTION"),
    ]


@both_modes
def test_a_cluster_that_never_starts_is_given_up(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.script(lives.never_up())
    outcome = launch(order(mode, timeout=300.0))
    assert (outcome.ready, outcome.removed) == (False, True)
    assert outcome.trouble
    assert workspace.alive == []


@both_modes
def test_checks_that_never_end_are_given_up(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.script(lives.hanging())
    outcome = launch(order(mode, timeout=600.0))
    assert (outcome.document, outcome.removed) == (None, True)
    assert outcome.trouble


@both_modes
def test_a_driver_that_dies_is_not_ready(launch: Launcher, workspace: Workspace, mode: str) -> None:
    life = lives.driver_death(after=30.0)
    workspace.script(lives.Life(life.steps, hangs=True))
    outcome = launch(order(mode))
    assert outcome.termination is not None
    assert outcome.termination["code"] == "DRIVER_UNREACHABLE"
    assert (outcome.ready, outcome.removed) == (False, True)


@both_modes
def test_a_launch_without_checks_tells_that_the_driver_answers(launch: Launcher, mode: str) -> None:
    outcome = launch(order(mode, bundle=None))
    assert (outcome.ready, outcome.document, outcome.trouble) == (True, None, "")


def test_running_alone_is_not_ready(launch: Launcher, workspace: Workspace) -> None:
    workspace.script(lives.sick_driver())
    outcome = launch(order("interactive", bundle=None))
    assert outcome.cluster["state"] == "RUNNING"
    assert not outcome.ready
    assert "its driver never was healthy" in outcome.trouble


def test_python_is_not_needed_to_see_that_a_driver_answers(
    launch: Launcher, workspace: Workspace
) -> None:
    assert isinstance(workspace.nodes, AnsweredNodes)
    workspace.nodes.task = lambda task: (127, "python: not found")
    assert launch(order("jobs", bundle=None)).ready


@both_modes
def test_checks_that_fail_to_start_say_what_they_printed(launch: Launcher, mode: str) -> None:
    outcome = launch(order(mode, bundle=bundle("import sys; sys.exit('no such runtime')")))
    assert outcome.document is None
    assert "the checks ended with status 1 and printed no document" in outcome.trouble
    assert "no such runtime" in outcome.log_tail


def test_a_log_that_was_cut_is_not_believed(launch: Launcher, workspace: Workspace) -> None:
    def cut(task: Any) -> tuple[int, str]:
        status, log = run_task(task)
        lines = log.splitlines()
        first = next(number for number, line in enumerate(lines) if " 1 " in line[:50])
        return status, "\n".join(lines[first + 1 :])

    assert isinstance(workspace.nodes, AnsweredNodes)
    workspace.nodes.task = cut
    outcome = launch(order("jobs"))
    assert outcome.document is None
    assert outcome.trouble.startswith("the log was cut: 1 of 1 lines")


@pytest.mark.parametrize("kind", ["dropped", "half"])
def test_a_cluster_whose_answer_was_lost_is_found_by_its_name(
    launch: Launcher, workspace: Workspace, kind: Any
) -> None:
    workspace.fault("POST", f"*{CREATE}", kind)
    assert launch(order("interactive")).document == DOCUMENT
    assert workspace.count("POST", CREATE) == 1
    assert len(workspace.clusters) == 1


@pytest.mark.parametrize("how", [{"kind": "closed"}, {"kind": "status", "status": 500}])
def test_a_creation_that_may_have_worked_is_not_sent_again(
    launch: Launcher, workspace: Workspace, how: dict[str, Any]
) -> None:
    workspace.fault("POST", f"*{CREATE}", **how)
    outcome = launch(order("interactive"))
    assert workspace.count("POST", CREATE) == 1
    assert (outcome.cluster_id, outcome.removed, outcome.refusal) == ("", True, None)
    assert "did not answer" in outcome.trouble


def test_a_creation_that_was_throttled_is_sent_again_but_not_after_hours(
    launch: Launcher, workspace: Workspace
) -> None:
    workspace.fault("POST", f"*{CREATE}", "status", status=429, retry_after=7200)
    started = workspace.clock.now()
    assert launch(order("interactive")).document == DOCUMENT
    assert len(workspace.clusters) == 1
    assert workspace.clock.now() - started < 600


@pytest.mark.parametrize("how", [{"kind": "dropped"}, {"kind": "half"}, {"kind": "status"}])
def test_a_run_whose_answer_was_lost_is_submitted_again_and_is_one(
    launch: Launcher, workspace: Workspace, how: dict[str, Any]
) -> None:
    workspace.fault("POST", f"*{SUBMIT}", **how)
    assert launch(order("jobs")).document == DOCUMENT
    assert len(workspace.runs) == 1


@both_modes
@pytest.mark.parametrize(
    "how", [{"kind": "closed"}, {"kind": "half"}, {"kind": "status", "status": 503}]
)
def test_a_workspace_that_is_silent_for_a_while_is_waited_for(
    launch: Launcher, workspace: Workspace, mode: str, how: dict[str, Any]
) -> None:
    workspace.fault("GET", "*/clusters/get", on=2, times=4, **how)
    assert launch(order(mode)).document == DOCUMENT


@pytest.mark.parametrize(
    "how", [{"kind": "closed"}, {"kind": "dropped"}, {"kind": "status", "status": 403}]
)
@pytest.mark.parametrize("path", ["*/clusters/delete", "*/clusters/permanent-delete"])
def test_a_removal_that_fails_is_tried_again(
    launch: Launcher, workspace: Workspace, path: str, how: dict[str, Any]
) -> None:
    workspace.fault("POST", path, times=3, **how)
    outcome = launch(order("interactive"))
    assert (outcome.removed, outcome.document) == (True, DOCUMENT)


def test_a_cluster_that_is_not_seen_gone_is_said_loudly_and_masks_nothing(
    launch: Launcher, workspace: Workspace
) -> None:
    workspace.fault("POST", "*/clusters/delete", "status", times=999, status=403)
    workspace.fault("POST", "*/clusters/permanent-delete", "status", times=999, status=403)
    outcome = launch(order("interactive"))
    cluster = workspace.clusters[0].id
    workspace.may_leave.add(cluster)
    assert (outcome.document, outcome.removed) == (DOCUMENT, False)
    assert f"`databricks clusters permanent-delete {cluster}`" in outcome.left
    assert "sweep --remote --run=0123abcd0123abcd --yes" in outcome.left
    assert any(line.startswith("NOT REMOVED") and cluster in line for line in launch.said)


def test_what_was_left_is_said_at_the_next_launch_until_it_is_gone(
    launch: Launcher, workspace: Workspace
) -> None:
    faults = [
        workspace.fault("POST", path, "status", times=999, status=403)
        for path in ("*/clusters/delete", "*/clusters/permanent-delete")
    ]
    launch(order("interactive"))
    cluster = workspace.clusters[0]
    for fault in faults:
        workspace.server.faults.remove(fault)
    launch.said.clear()
    launch(order("interactive", run_id="feedbeef", name="dcs-feedbeef-1"))
    assert [line for line in launch.said if f"{cluster.id} on " in line]
    connect().post("/api/2.1/clusters/delete", {"cluster_id": cluster.id})
    workspace.clock.move(60)
    launch.said.clear()
    launch(order("interactive", run_id="beadbeef", name="dcs-beadbeef-1"))
    assert not [line for line in launch.said if "earlier run" in line]
    assert list(launch.folder.iterdir()) == []


def test_a_job_that_is_not_seen_gone_is_said_loudly(launch: Launcher, workspace: Workspace) -> None:
    workspace.script(lives.never_up())
    workspace.fault("POST", "*/jobs/runs/cancel", "status", times=999, status=403)
    workspace.fault("POST", "*/clusters/delete", "status", times=999, status=403)
    workspace.fault("GET", "*/jobs/runs/get", "status", times=999, status=403)
    outcome = launch(order("jobs", timeout=100000.0))
    workspace.may_leave |= {cluster.id for cluster in workspace.clusters}
    assert not outcome.removed
    assert "databricks jobs cancel-run 1000" in outcome.left


@both_modes
def test_containers_that_are_turned_off_stop_the_run(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.set_containers("false")
    with pytest.raises(errors.ContainerServicesOff, match="enableDcs"):
        launch(order(mode))
    assert workspace.files.left() == []
    assert list(launch.folder.iterdir()) == []


@both_modes
def test_what_the_workspace_refuses_is_told_apart_from_silence(launch: Launcher, mode: str) -> None:
    spec = {**SPEC, "data_security_mode": "USER_ISOLATION"}
    outcome = launch(order(mode, spec=spec))
    assert outcome.refusal is not None
    assert outcome.refusal["status"] == 400
    assert outcome.removed


@both_modes
def test_a_launch_without_events_is_still_judged(
    launch: Launcher, workspace: Workspace, mode: str
) -> None:
    workspace.fault("POST", "*/clusters/events", "status", times=999, status=500)
    outcome = launch(order(mode))
    assert (outcome.document, outcome.events, outcome.removed) == (DOCUMENT, (), True)


def test_events_are_read_to_the_last_page(
    launch: Launcher, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.remote.evidence.PAGE", 1)
    outcome = launch(order("interactive"))
    assert Counter(str(event["type"]) for event in outcome.events) == Counter(
        ["CREATING", "RUNNING", "DRIVER_HEALTHY"]
    )


def test_a_run_has_a_limit_of_launches(launch: Launcher, workspace: Workspace) -> None:
    journal = Journal("0123abcd0123abcd", launch.folder, cap=1)
    carry_out(connect(), order("interactive"), journal, launch.said.append)
    with pytest.raises(errors.TooManyLaunches):
        carry_out(connect(), order("interactive", name="dcs-2"), journal, launch.said.append)
    journal.close()
    assert len(workspace.clusters) == 1


def test_without_a_journal_nothing_is_launched(
    workspace: Workspace, virtual_time: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.JournalUnusable, match="nothing is launched"):
        Journal("0123abcd", tmp_path / "file" / "folder")


def test_a_token_of_another_workspace_is_a_message(
    workspace: Workspace, virtual_time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-of-elsewhere")
    with pytest.raises(errors.CredentialsRefused) as raised:
        connect()
    assert "dapi-of-elsewhere" not in str(raised.value)


def test_a_service_principal_can_launch(
    launch: Launcher, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    for name, value in workspace.principal_environment.items():
        monkeypatch.setenv(name, value)
    assert launch(order("interactive")).document == DOCUMENT


def test_no_credentials_are_a_message(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    with pytest.raises(errors.NoCredentials, match="databricks auth describe"):
        connect()


def test_a_host_that_is_not_there_is_a_message(
    workspace: Workspace, virtual_time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "http://127.0.0.1:9")
    with pytest.raises(errors.WorkspaceUnreachable, match=r"http://127\.0\.0\.1:9"):
        connect()
