"""Finding and removing what runs that are over have left in a workspace."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import errors, job, journal, removal
from pytest_dcs.remote.clock import pauses
from pytest_dcs.remote.tags import NAME_PREFIX, REMOVE_AFTER, RUN, are_ours, expired
from pytest_dcs.remote.workspace import ME, Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.remote.journal import Journal, Launched
    from pytest_dcs.remote.outcome import Say
    from pytest_dcs.remote.workspace import Workspace

COST = ("PENDING", "RUNNING", "RESTARTING", "RESIZING", "ERROR", "UNKNOWN")
CANCELLING = 60.0


@dataclass(frozen=True)
class Scope:
    """Which clusters and runs are looked for; by default the caller's own that are expired."""

    run_id: str = ""
    """Those of one run, expired or not; the beginning of its id is enough."""
    all_expired: bool = False
    """Other people's as well."""


@dataclass(frozen=True)
class Found:
    """A cluster or a job run that can be removed."""

    kind: str
    id: str
    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id} {self.name} ({self.why})"


def sweep(
    workspace: Workspace, scope: Scope, *, remove: bool, directory: Path | None = None
) -> tuple[list[str], bool]:
    """Look for all that is in scope, then remove it if so asked; return lines, and if all is well.

    Raises `NotListed` where the workspace cannot be asked what there is.
    """
    directory = directory or journal.default_directory()
    dead = dead_ends(workspace, directory)
    try:
        found = [*runs(workspace, scope, dead), *clusters(workspace, scope, dead)]
    except (Refused, Unanswered) as silent:
        raise errors.NotListed(workspace.host, str(silent)) from None
    if not remove:
        lines = [f"would remove {each}" for each in found]
        return [*lines, "add --yes to remove them"] if lines else ["nothing to remove"], True
    lines, failed = [], False
    for each in found:
        problem = remove_one(workspace, each)
        failed = failed or bool(problem)
        lines.append(f"NOT removed {each}: {problem}" if problem else f"removed {each}")
    for path, launched in dead:
        with suppress(Refused, Unanswered):
            if not still_there(workspace, launched):
                job.remove_folder(workspace, launched.folder)
                journal.finish(path, launched.name)
    return lines or ["nothing to remove"], not failed


def clusters(workspace: Workspace, scope: Scope, dead: list[tuple[Path, Launched]]) -> list[Found]:
    """Return the clusters in scope; raises as the workspace does."""
    caller = caller_of(workspace)
    left = {launched.cluster_id for _, launched in dead if launched.cluster_id}
    names = {launched.name for _, launched in dead}
    found = []
    for cluster in removal.listed(workspace, COST):
        tags = cluster.get("custom_tags") or {}
        number, name = str(cluster.get("cluster_id", "")), str(cluster.get("cluster_name", ""))
        own = cluster.get("creator_user_name") == caller
        if not are_ours(tags):
            continue
        why = reason(scope, tags, own=own, left=number in left or name in names)
        if why:
            found.append(Found("cluster", number, name, why))
    return found


def runs(workspace: Workspace, scope: Scope, dead: list[tuple[Path, Launched]]) -> list[Found]:
    """Return the job runs in scope; raises as the workspace does."""
    caller = caller_of(workspace)
    names = {launched.name for _, launched in dead}
    found = []
    for run in job.active_runs(workspace):
        name = str(run.get("run_name", ""))
        tags = (job.task_of(run).get("new_cluster") or {}).get("custom_tags") or {}
        if not name.startswith(NAME_PREFIX) or not are_ours(tags):
            continue
        own = run.get("creator_user_name") == caller
        if why := reason(scope, tags, own=own, left=name in names):
            found.append(Found("job run", str(run.get("run_id", "")), name, why))
    return found


def caller_of(workspace: Workspace) -> str:
    """Return under which name the workspace knows us; raises as the workspace does."""
    return str(workspace.get(ME).get("userName", ""))


def reason(scope: Scope, tags: dict[str, str], *, own: bool, left: bool) -> str:
    """Return why something of ours is to be removed, empty if it is not."""
    run_id = tags.get(RUN, "")
    if scope.run_id:
        return f"of run {run_id}" if run_id.startswith(scope.run_id) else ""
    if left:
        return f"left by run {run_id}, which has ended"
    if expired(tags) and (own or scope.all_expired):
        return f"of run {run_id}, to be removed after {tags.get(REMOVE_AFTER)} UTC"
    return ""


def remove_one(workspace: Workspace, found: Found) -> str:
    """Remove one thing and see it gone; return why it may still be there."""
    if found.kind == "cluster":
        return removal.remove(workspace, found.id, purge=False)
    end = workspace.clock.time() + CANCELLING
    problem = ""
    for pause in pauses():
        try:
            workspace.post(f"{job.JOBS}/cancel", {"run_id": int(found.id)})
            run = workspace.get(f"{job.JOBS}/get", {"run_id": found.id})
            state = (run.get("state") or {}).get("life_cycle_state")
            if state in job.ENDED:
                return ""
            problem = f"it is {state}"
        except Refused as refused:
            if refused.gone:
                return ""
            problem = str(refused)
        except Unanswered as silent:
            problem = str(silent)
        if workspace.clock.time() >= end:
            break
        workspace.clock.sleep(pause)
    return problem


def dead_ends(workspace: Workspace, directory: Path) -> list[tuple[Path, Launched]]:
    """Return what runs on this machine, which have ended, launched here and did not see removed."""
    return [
        (path, launched)
        for path in sorted(directory.glob("*.jsonl"))
        if not journal.is_alive(path)
        for launched in journal.unfinished_in(path)
        if launched.host == workspace.host
    ]


def mention_earlier(workspace: Workspace, own: Journal, say: Say) -> None:
    """Say once what earlier runs may have left; what has gone since then is forgotten."""
    for path, launched in own.earlier():
        there = "it is in another workspace"
        if launched.host == workspace.host:
            try:
                if not still_there(workspace, launched):
                    journal.finish(path, launched.name)
                    continue
                there = "it is still there"
            except (Refused, Unanswered) as silent:
                there = f"the workspace does not say: {silent}"
        say(
            f"an earlier run did not see {launched.name} {launched.cluster_id} on {launched.host} "
            f"removed ({there}): `python -m pytest_dcs sweep --remote --run={launched.run_id}`"
        )


def still_there(workspace: Workspace, launched: Launched) -> bool:
    """Tell whether something launched may still cost money; raises as the workspace does."""
    return any(costs(cluster) for cluster in of_launch(workspace, launched)) or any(
        run.get("run_name") == launched.name for run in job.active_runs(workspace)
    )


def costs(cluster: dict[str, Any]) -> bool:
    """Tell whether a cluster has not ended yet."""
    return cluster.get("state") != removal.GONE


def of_launch(workspace: Workspace, launched: Launched) -> Iterator[dict[str, Any]]:
    """Return the clusters of a launch, by its id where that is known."""
    if launched.cluster_id:
        cluster = removal.look(workspace, launched.cluster_id)
        if cluster is not None:
            yield cluster
        return
    for cluster in removal.listed(workspace, removal.MAY_RUN):
        tags = cluster.get("custom_tags") or {}
        if cluster.get("cluster_name") == launched.name or (
            launched.mode == "jobs" and are_ours(tags, launched.run_id)
        ):
            yield cluster
