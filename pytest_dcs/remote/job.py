"""The checks as a one-time job run, whose cluster the workspace ends even if this process dies."""

from __future__ import annotations

import base64
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import evidence, removal, signals
from pytest_dcs.remote.clock import pauses
from pytest_dcs.remote.cluster import (
    ATTEMPTS,
    REPEAT_AFTER,
    SILENCE,
    Progress,
    refuse_if_off,
)
from pytest_dcs.remote.delivery import Parcel
from pytest_dcs.remote.hiding import Unshown
from pytest_dcs.remote.tags import tagged
from pytest_dcs.remote.workspace import ME, Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.life import Life
    from pytest_dcs.remote.outcome import Order, Say
    from pytest_dcs.remote.workspace import Workspace

JOBS = "/api/2.2/jobs/runs"
FILES = "/api/2.0/workspace"
LARGEST_UPLOAD = 10_000_000
"""Bytes of base64 that one request may import.

https://docs.databricks.com/api/workspace/workspace/import
"""
TASK = "checks"
FOLDER = "/.pytest-dcs-"
MARGIN = 120.0
"""Seconds after its own time limit in which a run may come to its end."""
ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
NOT_OF_JOBS = ("cluster_name", "autotermination_minutes")
"""Fields of a cluster that its job run decides."""
NOTHING_TO_DO = "print('the driver answers')\n"
SERVICE_ENDS = 60.0
"""Seconds that the service gets to end the cluster of a run that has ended."""
RUN_PAGE, RUN_PAGES = 25, 40


class TooLarge(Exception):
    """The checks do not fit into what a workspace takes."""


def carry(workspace: Workspace, order: Order, journal: Journal, say: Say, life: Life) -> None:
    """Run what was ordered as a job; raises as `running_job` does."""
    parcel = Parcel(order.bundle, order.arguments, order.timeout) if order.bundle else None
    with running_job(workspace, order, life, journal, say, parcel) as progress:
        started = workspace.clock.time()
        until_ended(workspace, order, life, journal, progress)
        taken = workspace.clock.time() - started
        life.seconds["run"] = taken - life.seconds.get("start", 0.0)
        read_output(workspace, life, parcel)


@contextmanager
def running_job(
    workspace: Workspace,
    order: Order,
    life: Life,
    journal: Journal,
    say: Say,
    parcel: Parcel | None,
) -> Iterator[Progress]:
    """Hold a job run; on the way out it is cancelled, and its cluster and its folder are removed.

    Raises `ContainerServicesOff`, `JournalUnusable`, `TooManyLaunches`, `TooLarge`, `Refused` and
    `Unanswered`.
    """
    spec = tagged(order.spec, order.run_id, order.timeout)
    spec = Unshown({name: value for name, value in spec.items() if name not in NOT_OF_JOBS})
    progress = Progress(workspace, order.name, say)
    with signals.guarded(life.how_to_remove) as guard:
        life.folder = f"{home(workspace)}{FOLDER}{order.name}"
        journal.launching(order.name, workspace.host, order.mode, order.timeout)
        journal.note("folder", order.name, folder=life.folder)
        try:
            path = upload(workspace, life.folder, parcel)
            life.job_run_id = submit(workspace, life, request_of(order, spec, path), progress)
            journal.note("submitted", order.name, job_run_id=life.job_run_id)
            yield progress
        finally:
            try:
                guard.removing()
            finally:
                leave(workspace, life, journal, say, guard)


def home(workspace: Workspace) -> str:
    """Return the caller's own folder of the workspace."""
    return f"/Users/{workspace.get(ME).get('userName', '')}"


def upload(workspace: Workspace, folder: str, parcel: Parcel | None) -> str:
    """Put the Python file of the run into its folder and return its path."""
    path = f"{folder}/checks.py"
    text = parcel.script() if parcel else NOTHING_TO_DO
    content = base64.b64encode(text.encode()).decode()
    if len(content) > LARGEST_UPLOAD:
        message = f"the checks have {len(content)} bytes, a workspace takes {LARGEST_UPLOAD}"
        raise TooLarge(message)
    workspace.post(f"{FILES}/mkdirs", {"path": folder})
    workspace.post(
        f"{FILES}/import",
        {"path": path, "format": "AUTO", "content": content, "overwrite": True},
    )
    return path


def remove_folder(workspace: Workspace, folder: str) -> None:
    """Remove the folder of one launch; raises `Refused` and `Unanswered`."""
    if FOLDER in folder:
        workspace.post(f"{FILES}/delete", {"path": folder, "recursive": True})


def request_of(order: Order, spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the request for a run; its token makes the workspace take it once only."""
    content = {
        "run_name": order.name,
        "idempotency_token": f"{order.name}-{order.run_id}"[:64],
        "timeout_seconds": max(1, int(order.timeout)),
        "tasks": [
            {
                "task_key": TASK,
                "new_cluster": Unshown(spec),
                "spark_python_task": {"python_file": path, "source": "WORKSPACE"},
                "max_retries": 0,
            }
        ],
    }
    return Unshown(content)


def submit(workspace: Workspace, life: Life, request: dict[str, Any], progress: Progress) -> int:
    """Hand in a run, again where the answer is lost, and return its id."""
    for attempt in range(1, ATTEMPTS + 1):
        life.ordered, life.settled = True, False
        try:
            answer = workspace.post(f"{JOBS}/submit", request)
        except Refused as refused:
            refuse_if_off(workspace, life, refused)
            life.settled = not refused.passing
            if not refused.passing or attempt == ATTEMPTS:
                raise
            progress.tell("UNKNOWN", str(refused))
        except Unanswered as silent:
            if attempt == ATTEMPTS:
                raise
            progress.tell("UNKNOWN", str(silent))
        else:
            life.settled = True
            return int(answer["run_id"])
        workspace.clock.sleep(REPEAT_AFTER * attempt)
    raise AssertionError


def until_ended(
    workspace: Workspace, order: Order, life: Life, journal: Journal, progress: Progress
) -> None:
    """Wait for the end of a run, and keep what is said of it and of its cluster."""
    clock = workspace.clock
    answered = started = clock.time()
    for pause in pauses():
        try:
            look(workspace, life, journal)
        except (Refused, Unanswered) as silent:
            progress.tell("UNKNOWN", str(silent))
            if clock.time() - answered > SILENCE:
                life.trouble = f"the workspace says nothing of the run: {silent}"
                return
        else:
            answered = clock.time()
            state = life.run_state.get("state") or {}
            if life.state == "RUNNING":
                life.seconds.setdefault("start", answered - started)
            told = str(state.get("state_message") or life.cluster.get("state_message") or "")
            where = life.state or state.get("life_cycle_state") or ""
            progress.tell(str(where), told)
            if state.get("life_cycle_state") in ENDED:
                return
        if clock.time() > started + order.timeout + MARGIN:
            life.trouble = "the time for the launch was over before the run had ended"
            return
        clock.sleep(pause)


def look(workspace: Workspace, life: Life, journal: Journal) -> dict[str, Any]:
    """Read a run and, once it has one, its cluster; raises `Refused` and `Unanswered`."""
    run = workspace.get(f"{JOBS}/get", {"run_id": life.job_run_id})
    life.run_state = {name: run.get(name) for name in ("state", "status") if run.get(name)}
    cluster_id = ((task_of(run).get("cluster_instance")) or {}).get("cluster_id", "")
    if cluster_id and not life.cluster_id:
        life.cluster_id = str(cluster_id)
        journal.note("created", life.name, cluster_id=life.cluster_id)
    if life.cluster_id:
        cluster = removal.look(workspace, life.cluster_id)
        if cluster is not None:
            life.seen(cluster)
    return run


def task_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one task of a run of ours."""
    return next(iter(run.get("tasks") or ()), {})


def read_output(workspace: Workspace, life: Life, parcel: Parcel | None) -> None:
    """Keep the document that a run has printed, or what it says instead."""
    state = life.run_state.get("state") or {}
    succeeded = state.get("result_state") == "SUCCESS"
    life.ready = succeeded
    output: dict[str, Any] = {}
    with suppress(Refused, Unanswered):
        run = workspace.get(f"{JOBS}/get", {"run_id": life.job_run_id})
        task = task_of(run).get("run_id", life.job_run_id)
        output = workspace.get(f"{JOBS}/get-output", {"run_id": task})
    logs = str(output.get("logs") or "")
    problem = ""
    if parcel is not None:
        life.document, problem = parcel.read(logs)
        if problem and output.get("logs_truncated"):
            problem = f"{problem} (the workspace keeps the last 5 MB of a log)"
        logs = parcel.without_output(logs)
    said = [str(output.get(name) or "") for name in ("error", "error_trace")]
    life.log_tail = "\n".join(part for part in (logs[-evidence.LOG_TAIL :], *said) if part)
    if life.document is None and not succeeded:
        told = " ".join(str(state.get(name) or "") for name in ("result_state", "state_message"))
        problem = ": ".join(filter(None, [f"the run ended as {told.strip()}", said[0]]))
    life.trouble = life.trouble or problem


def leave(
    workspace: Workspace, life: Life, journal: Journal, say: Say, guard: signals.Guard
) -> None:
    """Cancel a run, see its cluster gone, and remove its folder."""
    started = workspace.clock.time()
    left = "the run was not cancelled"
    try:
        left = cancel(workspace, life, journal, guard)
        removal.gather_unless_hurried(workspace, life, say, guard)
    finally:
        with suppress(Refused, Unanswered):
            remove_folder(workspace, life.folder)
        life.seconds["removal"] = workspace.clock.time() - started
        removal.settle(life, journal, left, say)


def cancel(workspace: Workspace, life: Life, journal: Journal, guard: signals.Guard) -> str:
    """End a run and its cluster; return why one may still be there, empty if neither is."""
    clock = workspace.clock
    problem = ""
    if life.ordered and life.job_run_id is None and not life.settled:
        problem = find_run(workspace, life)
    if life.job_run_id is None:
        return problem
    end, asked = clock.time() + removal.PATIENCE, False
    for pause in pauses():
        try:
            run = look(workspace, life, journal)
            ended = (run.get("state") or {}).get("life_cycle_state") in ENDED
            if not ended and not asked:
                workspace.post(f"{JOBS}/cancel", {"run_id": life.job_run_id})
                asked = True
            if ended:
                return cluster_gone(workspace, life, guard)
            problem = "the run is being cancelled"
        except (Refused, Unanswered) as silent:
            problem = str(silent)
        if clock.time() >= end or (asked and guard.in_a_hurry):
            break
        clock.sleep(pause)
    if life.cluster_id:
        return removal.remove(workspace, life.cluster_id, lambda: guard.in_a_hurry, purge=False)
    return problem


def cluster_gone(workspace: Workspace, life: Life, guard: signals.Guard) -> str:
    """See the cluster of a run that has ended gone; end it where the service does not."""
    if not life.cluster_id:
        return ""
    end = workspace.clock.time() + SERVICE_ENDS
    for pause in pauses():
        if removal.cluster_has_ended(workspace, life.cluster_id):
            return ""
        if workspace.clock.time() >= end or guard.in_a_hurry:
            break
        workspace.clock.sleep(pause)
    return removal.remove(workspace, life.cluster_id, lambda: guard.in_a_hurry, purge=False)


def find_run(workspace: Workspace, life: Life) -> str:
    """Find the run of a request whose answer was lost; return why it could not be looked for."""
    end = workspace.clock.time() + removal.APPEARING
    for pause in pauses():
        problem = ""
        try:
            for run in active_runs(workspace):
                if run.get("run_name") == life.name:
                    life.job_run_id, life.settled = int(run["run_id"]), True
                    return ""
        except (Refused, Unanswered) as silent:
            problem = f"the workspace cannot be asked: {silent}"
        if workspace.clock.time() >= end:
            return problem
        workspace.clock.sleep(pause)
    return ""


def active_runs(workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Return the one-time runs that have not ended; raises `Refused` and `Unanswered`."""
    query: dict[str, Any] = {
        "active_only": True,
        "run_type": "SUBMIT_RUN",
        "expand_tasks": True,
        "limit": RUN_PAGE,
    }
    for _ in range(RUN_PAGES):
        answer = workspace.get(f"{JOBS}/list", query)
        yield from answer.get("runs") or ()
        token = answer.get("next_page_token")
        if not token or token == query.get("page_token"):
            return
        query["page_token"] = token
