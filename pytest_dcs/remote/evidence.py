"""What a workspace can say about a cluster before it is removed: events, init scripts, logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dcs.remote.workspace import Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_dcs.remote.life import Life
    from pytest_dcs.remote.workspace import Workspace

EVENTS = "/api/2.1/clusters/events"
PAGE = 200
PAGES = 25
"""Pages after which a listing ends; a server that repeats a page would never end it."""
LOG_FILES = ("driver/log4j-active.log", "driver/stderr", "driver/stdout")
LOG_TAIL = 32 * 1024
"""Bytes of each log."""
SCRIPT_KINDS = ("workspace", "volumes", "abfss", "s3", "gcs", "file", "dbfs")


def gather(workspace: Workspace, life: Life) -> None:
    """Read all that explains a launch; what cannot be read is left out."""
    if not life.cluster_id:
        return
    try:
        life.events = list(events_of(workspace, life.cluster_id))
    except (Refused, Unanswered):
        life.events = life.events or []
    life.init_scripts = list(init_scripts_in(life.events))
    logs = "\n".join(delivered_logs(workspace, life.cluster, life.cluster_id))
    life.log_tail = "\n".join(filter(None, [life.log_tail, logs]))


def events_of(workspace: Workspace, cluster_id: str) -> Iterator[dict[str, Any]]:
    """Return a cluster's events from the first on; raises `Refused` and `Unanswered`."""
    first: dict[str, Any] = {"cluster_id": cluster_id, "order": "ASC"}
    body = {**first, "page_size": PAGE}
    for _ in range(PAGES):
        answer = workspace.post(EVENTS, body)
        yield from answer.get("events") or ()
        if isinstance(following := answer.get("next_page"), dict) and following:
            following = {"cluster_id": cluster_id, **following}
        elif token := answer.get("next_page_token"):
            following = {**first, "page_size": PAGE, "page_token": token}
        if not following or following == body:
            return
        body = following


def init_scripts_in(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return what became of each init script, as the last event about them says it."""
    told = [
        (event.get("details") or {}).get("init_scripts")
        for event in events
        if event.get("type") == "INIT_SCRIPTS_FINISHED"
    ]
    last: dict[str, Any] = next((details for details in reversed(told) if details), {})
    for scope in ("global", "cluster"):
        for script in last.get(scope) or ():
            kind = next((kind for kind in SCRIPT_KINDS if script.get(kind)), "")
            yield {
                "script": (script.get(kind) or {}).get("destination", ""),
                "kind": kind,
                "global": scope == "global",
                "status": script.get("status", ""),
                "error_message": script.get("error_message", ""),
                "seconds": script.get("execution_duration_seconds"),
                "stderr": script.get("stderr", ""),
                "node": last.get("reported_for_node", ""),
            }


def delivered_logs(
    workspace: Workspace, cluster: Mapping[str, Any], cluster_id: str
) -> Iterator[str]:
    """Return the ends of the driver's logs that the cluster delivers to DBFS or a volume."""
    settings = cluster.get("cluster_log_conf") or {}
    places = (settings.get(kind) or {} for kind in ("dbfs", "volumes"))
    for folder in filter(None, (str(place.get("destination", "")) for place in places)):
        for name in LOG_FILES:
            try:
                content = workspace.tail(f"{folder.rstrip('/')}/{cluster_id}/{name}", LOG_TAIL)
            except (Refused, Unanswered):
                continue
            if content.strip():
                yield f"--- {name}\n{content.decode('utf-8', 'replace')}"


def conclude(life: Life) -> None:
    """Decide, when all is known, whether the driver answered to the end."""
    result = (life.run_state.get("state") or {}).get("result_state")
    if life.document is not None or result == "SUCCESS":
        life.ready = True
    elif any(is_of_driver(event) for event in life.events):
        life.ready = driver_answers(life.events)
        if not life.ready:
            life.trouble = life.trouble or "the driver no longer answers"


def is_of_driver(event: Mapping[str, Any]) -> bool:
    """Tell whether an event says how the driver is."""
    return str(event.get("type", "")).startswith("DRIVER_")


def driver_answers(events: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether the last thing said of the driver is that it is healthy."""
    told = [event.get("type") for event in events if is_of_driver(event)]
    return bool(told) and told[-1] == "DRIVER_HEALTHY"
