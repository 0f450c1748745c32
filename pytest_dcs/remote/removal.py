"""Removing clusters, and not believing that they are gone before the workspace says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import evidence
from pytest_dcs.remote.clock import pauses
from pytest_dcs.remote.tags import are_ours
from pytest_dcs.remote.workspace import Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.life import Life
    from pytest_dcs.remote.outcome import Say
    from pytest_dcs.remote.signals import Guard
    from pytest_dcs.remote.workspace import Workspace

GET, LIST = "/api/2.1/clusters/get", "/api/2.1/clusters/list"
TERMINATE, PURGE = "/api/2.1/clusters/delete", "/api/2.1/clusters/permanent-delete"
UNPIN = "/api/2.1/clusters/unpin"
GONE = "TERMINATED"
PATIENCE = 180.0
"""Seconds in which a removal is tried and its effect awaited."""
APPEARING = 15.0
"""Seconds in which a request whose answer was lost may still show its effect."""
PAGE, PAGES = 100, 100
MAY_RUN = ("PENDING", "RUNNING", "RESTARTING", "RESIZING", "TERMINATING", "ERROR", "UNKNOWN")


def look(workspace: Workspace, cluster_id: str) -> dict[str, Any] | None:
    """Return what the workspace says of a cluster, None if it has none of that id.

    Raises `Refused` and `Unanswered`.
    """
    try:
        return workspace.get(GET, {"cluster_id": cluster_id})
    except Refused as refused:
        if refused.gone:
            return None
        raise


def listed(workspace: Workspace, states: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Return the workspace's clusters, all or those in some states; raises as `look` does."""
    query: dict[str, Any] = {"page_size": PAGE}
    if states:
        query["filter_by"] = {"cluster_states": list(states)}
    for _ in range(PAGES):
        answer = workspace.get(LIST, query)
        for cluster in answer.get("clusters") or ():
            # An older server ignores the filter.
            if not states or cluster.get("state") in states:
                yield cluster
        token = answer.get("next_page_token")
        if not token or token == query.get("page_token"):
            return
        query["page_token"] = token


def named(workspace: Workspace, name: str, run_id: str) -> list[str]:
    """Return the ids of this run's clusters of one name; raises as `look` does."""
    return [
        str(cluster["cluster_id"])
        for cluster in listed(workspace)
        if cluster.get("cluster_name") == name
        and are_ours(cluster.get("custom_tags") or {}, run_id)
    ]


def appearing(workspace: Workspace, life: Life) -> list[str]:
    """Return the clusters that a request has made whose answer was lost, waiting for them a bit.

    Raises `Unanswered` where the workspace cannot be asked.
    """
    end = workspace.clock.time() + APPEARING
    for pause in pauses():
        problem = ""
        try:
            if found := named(workspace, life.name, life.run_id):
                return found
        except (Refused, Unanswered) as silent:
            problem = str(silent)
        if workspace.clock.time() >= end:
            if problem:
                raise Unanswered(problem)
            break
        workspace.clock.sleep(pause)
    return []


def leave(workspace: Workspace, life: Life, journal: Journal, say: Say, guard: Guard) -> None:
    """Read what explains the launch unless the user wants to go, then remove all of it."""
    started = workspace.clock.time()
    try:
        gather_unless_hurried(workspace, life, say, guard)
    finally:
        left = remove_all(workspace, life, lambda: guard.in_a_hurry)
        life.seconds["removal"] = workspace.clock.time() - started
        settle(life, journal, left, say)


def gather_unless_hurried(workspace: Workspace, life: Life, say: Say, guard: Guard) -> None:
    """Read what explains the launch; no answer, of whatever shape, keeps from what comes next."""
    if guard.interrupted:
        return
    try:
        evidence.gather(workspace, life)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        say(f"the cluster's events and logs could not be read ({error!r})")


def settle(life: Life, journal: Journal, left: str, say: Say) -> None:
    """Note whether all is gone, and say it loudly where it may not be."""
    life.removed = not left
    if life.removed:
        journal.note("removed" if life.settled else "unseen", life.name)
        return
    life.left = f"{life.how_to_remove()} ({left})"
    journal.note("left", life.name, reason=left)
    say(f"NOT REMOVED: {life.left}")


def remove_all(workspace: Workspace, life: Life, hurry: Callable[[], bool]) -> str:
    """Remove every cluster of a launch; return why one may still be there, empty if none is."""
    found = [life.cluster_id] if life.cluster_id else []
    if life.ordered and not life.settled:
        try:
            found += [each for each in appearing(workspace, life) if each not in found]
        except Unanswered as silent:
            return f"the workspace cannot be asked: {silent}"
        life.cluster_id = life.cluster_id or "".join(found[:1])
        life.settled = bool(found)
    problems = [remove(workspace, cluster_id, hurry) for cluster_id in found]
    return "; ".join(filter(None, problems))


def remove(
    workspace: Workspace,
    cluster_id: str,
    hurry: Callable[[], bool] = lambda: False,
    *,
    purge: bool = True,
) -> str:
    """End a cluster and, with `purge`, remove its record; return why it may still be there.

    Each request is repeated whatever its error was, within `PATIENCE` seconds.
    """
    clock = workspace.clock
    end = clock.time() + PATIENCE
    waiting = [TERMINATE, PURGE] if purge else [TERMINATE]
    problem = ""
    for pause in pauses():
        for path in list(waiting):
            problem = ask(workspace, path, cluster_id)
            if not problem:
                waiting.remove(path)
        try:
            cluster = look(workspace, cluster_id)
        except (Refused, Unanswered) as silent:
            problem = str(silent)
        else:
            if cluster is None or (cluster.get("state") == GONE and not waiting):
                return ""
            problem = problem or f"it is {cluster.get('state')}"
        if clock.time() >= end or (hurry() and TERMINATE not in waiting):
            # Its record alone costs nothing.
            ended = cluster_has_ended(workspace, cluster_id) if waiting == [PURGE] else False
            return "" if ended else problem
        clock.sleep(pause)
    return problem


def ask(workspace: Workspace, path: str, cluster_id: str) -> str:
    """Send one request about a cluster; return why it has no effect, empty if it has."""
    try:
        workspace.post(path, {"cluster_id": cluster_id})
    except Refused as refused:
        if refused.gone:
            return ""
        if path == PURGE and "unpin" in refused.message.lower():
            ask(workspace, UNPIN, cluster_id)
        return str(refused)
    except Unanswered as silent:
        return str(silent)
    return ""


def cluster_has_ended(workspace: Workspace, cluster_id: str) -> bool:
    """Tell whether the workspace says that a cluster has ended."""
    try:
        cluster = look(workspace, cluster_id)
    except (Refused, Unanswered):
        return False
    return cluster is None or cluster.get("state") == GONE
