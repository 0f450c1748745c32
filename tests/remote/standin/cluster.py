"""One cluster: its states by time, its events, and the node that it really has."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from databricks.sdk.service.compute import ClusterEvent, GetEvents

from tests.remote.standin.lives import DELETION, Step, ending
from tests.remote.standin.nodes import NodeFailed
from tests.remote.standin.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.remote.standin.clock import Clock
    from tests.remote.standin.files import Files
    from tests.remote.standin.lives import Life, Reason
    from tests.remote.standin.nodes import Node, Nodes

logger = logging.getLogger(__name__)

OVER = frozenset({"TERMINATING", "TERMINATED"})
REMOVAL = 10.0
"""Seconds from TERMINATED until a cluster that is deleted for good is not there any more."""
PAGE, LARGEST_PAGE = 50, 500
ADDRESS = "10.0.0.2"
GLOBAL_SCRIPTS = [{"workspace": {"destination": "/Shared/global-init.sh"}}]
SCRIPT_ERROR = "Script exit status is non-zero"
FAILED_SCRIPTS = frozenset({"FAILED_EXECUTION", "FAILED_FETCH", "FUSE_MOUNT_FAILED"})


class Cluster:
    """One cluster, which moves on when it is looked at."""

    def __init__(
        self,
        identifier: str,
        spec: dict[str, Any],
        life: Life,
        *,
        clock: Clock,
        files: Files,
        nodes: Nodes,
    ) -> None:
        self.id = identifier
        self.spec = spec
        """What was asked for, without passwords."""
        self.life = life
        self.source = "API"
        self.created = self.state_since = self.used = clock.now()
        self.state = ""
        self.message = ""
        self.reason: Reason | None = None
        self.node: Node | None = None
        self.busy = 0
        """How many commands and tasks run on it, so that it is not idle."""
        self._events: list[dict[str, Any]] = []
        self._clock = clock
        self._files = files
        self._nodes = nodes
        self._removed_at: float | None = None
        self._to_come = _dated(self.created, life.steps)

    @property
    def alive(self) -> bool:
        """Whether it costs money."""
        return self.state not in OVER

    @property
    def runs(self) -> bool:
        """Whether something can run on it."""
        return self.state == "RUNNING"

    @property
    def gone(self) -> bool:
        """Whether it was deleted for good and is not there any more."""
        return self._removed_at is not None and self._clock.now() >= self._removed_at

    def settle(self) -> None:
        """Take all steps that are due, and end it where nobody has used it for long."""
        self._advance()
        minutes = self.spec.get("autotermination_minutes")
        idle = self._clock.now() - self.used
        if self.runs and minutes and not self.busy and idle >= minutes * 60:
            self._finish("INACTIVITY", parameters={"inactivity_duration_min": str(minutes)})

    def _advance(self) -> None:
        while self._to_come and self._to_come[0][0] <= self._clock.now():
            due, step = self._to_come.popleft()
            self._take(due, step)

    def _finish(self, code: str, kind: str = "SUCCESS", *, parameters: Mapping[str, str]) -> None:
        self._to_come = _dated(self._clock.now(), ending(code, kind, parameters=parameters))
        self._advance()

    def end(
        self,
        code: str = "USER_REQUEST",
        kind: str = "SUCCESS",
        *,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """End it from outside; one that has ended stays as it is."""
        self.settle()
        if not self.alive:
            return
        self._finish(code, kind, parameters=parameters or {"username": "someone@example.com"})

    def remove(self) -> None:
        """End it and let it be gone some time after."""
        self.end()
        ended = self.state == "TERMINATED"
        self._removed_at = self._clock.now() + REMOVAL + (0.0 if ended else DELETION)

    def events(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what clusters/events answers: one page, and what to ask for the next one."""
        size = body.get("page_size") or body.get("limit") or PAGE
        if not 0 <= size <= LARGEST_PAGE:
            raise invalid(f"page_size must be between 0 and {LARGEST_PAGE}")
        start = int(body.get("page_token") or body.get("offset") or 0)
        kinds = body.get("event_types")
        found = [each for each in self._events if not kinds or each["type"] in kinds]
        first, last = body.get("start_time"), body.get("end_time")
        found = [
            each
            for each in found
            if (first is None or each["timestamp"] >= first)
            and (last is None or each["timestamp"] <= last)
        ]
        if body.get("order", "DESC") == "DESC":
            found.reverse()
        answer: dict[str, Any] = {"total_count": len(found)}
        if found[start : start + size]:
            answer["events"] = found[start : start + size]
        if start + size < len(found):
            kept = {key: value for key, value in body.items() if key not in {"page_token"}}
            following = {**kept, "cluster_id": self.id, "offset": start + size, "limit": size}
            following.pop("page_size", None)
            answer["next_page"] = GetEvents.from_dict(following).as_dict()
            answer["next_page_token"] = str(start + size)
        return answer

    def _take(self, due: float, step: Step) -> None:
        if step.starts_image and self.spec.get("docker_image"):
            try:
                self.node = self._nodes.launch(self.spec, self._files)
            except NodeFailed as failure:
                logger.info("%s: %s", self.id, failure)
                steps = ending(failure.code, message=failure.message, scripts=failure.scripts)
                self._to_come = _dated(due, steps)
                return
        self._tell_of_scripts(due, step)
        self.state, self.message, self.reason = step.state, step.message, step.reason
        self.state_since = self.used = due
        for kind in step.events:
            self._tell(due, kind)
        if not self.alive and self.node is not None:
            self.node.end()
            self.node = None

    def _tell(self, due: float, kind: str) -> None:
        details: dict[str, Any] = {}
        if kind == "CREATING":
            details = {"cluster_size": {"num_workers": self.spec.get("num_workers", 0)}}
        elif kind == "RUNNING":
            details = {"current_num_workers": self.spec.get("num_workers", 0)}
        elif kind == "TERMINATING":
            details = {"reason": dict(self.reason or {})}
        self._add(due, kind, details)

    def _tell_of_scripts(self, due: float, step: Step) -> None:
        scripts = self.spec.get("init_scripts") or []
        ended = self.node.scripts if self.node and step.starts_image else step.scripts
        if not ended and not (scripts and step.starts_image):
            return
        where, places = ("cluster", scripts) if scripts else ("global", GLOBAL_SCRIPTS)
        self._add(due, "INIT_SCRIPTS_STARTED", {"init_scripts": {where: places}})
        # What a life does not tell of are the first ones, which have passed.
        statuses = (*("SUCCEEDED",) * (len(places) - len(ended)), *ended)
        told = [
            {
                **place,
                "status": status,
                "execution_duration_seconds": 1,
                **({"error_message": SCRIPT_ERROR} if status in FAILED_SCRIPTS else {}),
            }
            for place, status in zip(places, statuses, strict=False)
        ]
        details = {where: told, "reported_for_node": ADDRESS}
        self._add(due, "INIT_SCRIPTS_FINISHED", {"init_scripts": details})

    def _add(self, due: float, kind: str, details: dict[str, Any]) -> None:
        event = {
            "cluster_id": self.id,
            "timestamp": int(due * 1000),
            "type": kind,
            "details": details,
        }
        answer = ClusterEvent.from_dict(event).as_dict()
        if "reason" in details:
            answer["details"]["reason"] = details["reason"]
        self._events.append(answer)


def _dated(start: float, steps: tuple[Step, ...]) -> deque[tuple[float, Step]]:
    dated: deque[tuple[float, Step]] = deque()
    for step in steps:
        start += step.after
        dated.append((start, step))
    return dated
