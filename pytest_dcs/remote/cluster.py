"""One cluster, from the request that makes it until the workspace says that it is gone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import errors, removal, signals
from pytest_dcs.remote.clock import elapsed, pauses
from pytest_dcs.remote.life import ENDED, Life
from pytest_dcs.remote.tags import tagged
from pytest_dcs.remote.workspace import TOO_MANY, Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.outcome import Order, Say
    from pytest_dcs.remote.workspace import Workspace

CREATE = "/api/2.1/clusters/create"
SHORTEST_AUTOTERMINATION = 10
"""Minutes of idleness after which a cluster ends by itself; the least that clusters take."""
DCS_OFF = "Custom containers is turned off"
ATTEMPTS = 4
REPEAT_AFTER = 5.0
SILENCE = 180.0
"""Seconds without any usable answer after which a cluster's fate counts as unknown."""
ENDING = 60.0
"""Seconds in which a cluster that is TERMINATING may come to its end, which tells more."""
EVERY = 30.0
"""Seconds after which the progress is told although nothing has changed."""


class Progress:
    """Tells what a cluster does whenever that changes, and now and then."""

    def __init__(self, workspace: Workspace, name: str, say: Say) -> None:
        self._clock = workspace.clock
        self._name = name
        self._say = say
        self._started = self._told_at = self._clock.time()
        self._told = ""

    def tell(self, state: str, message: str = "") -> None:
        """Say one line with the time since the start, if it is worth one."""
        now, text = self._clock.time(), f"{state} {message}".strip()
        if text == self._told and now - self._told_at < EVERY:
            return
        self._told, self._told_at = text, now
        self._say(f"cluster {self._name} {state} {elapsed(now - self._started)} {message}".rstrip())


@contextmanager
def running_cluster(
    workspace: Workspace, order: Order, life: Life, journal: Journal, say: Say
) -> Iterator[signals.Guard]:
    """Hold a cluster; whatever happens in create, wait or use, it is removed on the way out.

    In the block `life.ready` tells whether the cluster is RUNNING. A context manager and no
    fixture's finalizer: pytest runs none for a fixture that was interrupted while being set up.
    Raises `ContainerServicesOff`, `JournalUnusable` and `TooManyLaunches`.
    """
    clock, started = workspace.clock, workspace.clock.time()
    spec = tagged(order.spec, order.run_id, order.timeout)
    spec["cluster_name"] = order.name
    spec["autotermination_minutes"] = spec.get("autotermination_minutes") or (
        SHORTEST_AUTOTERMINATION
    )
    progress = Progress(workspace, order.name, say)
    with signals.guarded(life.how_to_remove) as guard:
        journal.launching(order.name, workspace.host, order.mode, order.timeout)
        try:
            create(workspace, life, spec, progress)
            journal.note("created", order.name, cluster_id=life.cluster_id)
            life.ready = until_running(workspace, life, started + order.timeout, progress)
            life.seconds["start"] = clock.time() - started
            yield guard
        finally:
            try:
                guard.removing()
            finally:
                removal.leave(workspace, life, journal, say, guard)


def create(workspace: Workspace, life: Life, spec: dict[str, Any], progress: Progress) -> None:
    """Send the one request that makes a cluster; an answer that is lost is looked for by name."""
    for attempt in range(1, ATTEMPTS + 1):
        life.ordered, life.settled = True, False
        try:
            answer = workspace.post(CREATE, spec, once=True)
            life.cluster_id, life.settled = str(answer.get("cluster_id", "")), True
            return
        except Refused as refused:
            refuse_if_off(workspace, life, refused)
            life.settled = not refused.passing or refused.status == TOO_MANY
            if life.settled and (refused.status != TOO_MANY or attempt == ATTEMPTS):
                raise
            lost = str(refused)
        except Unanswered as unanswered:
            lost = str(unanswered)
        if not life.settled:
            # It may have taken effect: sending it again could make a second cluster.
            find_by_name(workspace, life, progress, lost)
            return
        progress.tell("REFUSED", lost)
        workspace.clock.sleep(REPEAT_AFTER * attempt)


def find_by_name(workspace: Workspace, life: Life, progress: Progress, lost: str) -> None:
    """Find the cluster of a request whose answer was lost; raises `Unanswered` if there is none."""
    progress.tell("UNKNOWN", f"the answer to its creation was lost ({lost}); looking for its name")
    found = removal.appearing(workspace, life)
    if not found:
        raise Unanswered(lost)
    life.cluster_id = found[0]


def refuse_if_off(workspace: Workspace, life: Life, refused: Refused) -> None:
    """Raise `ContainerServicesOff` where an error says so; its code is documented nowhere."""
    if DCS_OFF in refused.message:
        life.settled = True
        raise errors.ContainerServicesOff(workspace.host) from None


def until_running(workspace: Workspace, life: Life, deadline: float, progress: Progress) -> bool:
    """Wait until a cluster is RUNNING; false, with the reason in `life`, if it will never be."""
    clock = workspace.clock
    answered = clock.time()
    for pause in pauses():
        try:
            answer = removal.look(workspace, life.cluster_id)
        except (Refused, Unanswered) as silent:
            progress.tell("UNKNOWN", str(silent))
            if clock.time() - answered > SILENCE:
                life.trouble = f"the workspace says nothing of the cluster: {silent}"
                return False
        else:
            answered = clock.time()
            if answer is None:
                life.trouble = "the cluster has vanished: somebody else has removed it"
                return False
            life.seen(answer)
            progress.tell(life.state, str(answer.get("state_message", "")))
            if life.state == "RUNNING":
                return True
            if life.state in ENDED:
                life.trouble = "the cluster ended before it was RUNNING"
                return False
            if life.termination is not None:
                deadline = min(deadline, answered + ENDING)
        if clock.time() >= deadline:
            late = f"the cluster was {life.state or 'not seen'} at the end of the time for it"
            life.trouble = late if life.termination is None else "the cluster ended while starting"
            return False
        clock.sleep(pause)
    return False
