"""The checks on an all-purpose cluster, by command execution 1.2."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import evidence, removal
from pytest_dcs.remote.clock import pauses
from pytest_dcs.remote.cluster import SILENCE, Progress, running_cluster
from pytest_dcs.remote.delivery import Parcel
from pytest_dcs.remote.life import ENDED
from pytest_dcs.remote.workspace import Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.life import Life
    from pytest_dcs.remote.outcome import Order, Say
    from pytest_dcs.remote.workspace import Workspace

CONTEXTS, COMMANDS = "/api/1.2/contexts", "/api/1.2/commands"
DRIVER_PATIENCE = 120.0
"""Seconds that a driver gets to answer after its cluster is RUNNING."""
LOOK_EVERY = 20.0
"""Seconds after which it is looked whether the cluster of a command still lives."""
COMPILES = 4
"""Times that a context may be asked for; a driver that is young refuses the first."""


class CommandFailed(Exception):
    """Something that was to run on the cluster did not, or ended in an error."""


def carry(workspace: Workspace, order: Order, journal: Journal, say: Say, life: Life) -> None:
    """Launch a cluster and run what was ordered on it; raises as `running_cluster` does."""
    end = workspace.clock.time() + order.timeout
    with running_cluster(workspace, order, life, journal, say):
        if not life.ready:
            return
        started = workspace.clock.time()
        session = Session(workspace, life, end, Progress(workspace, order.name, say))
        if order.bundle is None:
            life.ready = session.driver_answers()
        else:
            seconds = max(1.0, end - workspace.clock.time())
            run(session, Parcel(order.bundle, order.arguments, seconds))
        life.seconds["run"] = workspace.clock.time() - started


class Session:
    """One cluster that is RUNNING, and the time until which it may be used."""

    def __init__(self, workspace: Workspace, life: Life, end: float, progress: Progress) -> None:
        self.workspace = workspace
        self.life = life
        self.end = end
        self.progress = progress
        self._looked = workspace.clock.time()

    def driver_answers(self) -> bool:
        """Tell whether the driver is healthy, which RUNNING alone does not mean."""
        clock = self.workspace.clock
        end = min(self.end, clock.time() + DRIVER_PATIENCE)
        for pause in pauses():
            with suppress(Refused, Unanswered):
                self.life.events = list(evidence.events_of(self.workspace, self.life.cluster_id))
            if evidence.driver_answers(self.life.events):
                return True
            try:
                self.still_alive()
            except CommandFailed as failed:
                self.life.trouble = str(failed)
                return False
            if clock.time() >= end:
                self.life.trouble = "the cluster is RUNNING, but its driver never was healthy"
                return False
            clock.sleep(pause)
        return False

    def still_alive(self) -> None:
        """Look now and then whether the cluster lives; raises `CommandFailed` if not."""
        now = self.workspace.clock.time()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        with suppress(Refused, Unanswered):
            cluster = removal.look(self.workspace, self.life.cluster_id)
            if cluster is None:
                message = "the cluster has vanished: somebody else has removed it"
                raise CommandFailed(message)
            self.life.seen(cluster)
            if self.life.state in (*ENDED, "TERMINATING"):
                message = "the cluster ended while the checks ran"
                raise CommandFailed(message)

    def poll(self, path: str, query: dict[str, Any], busy: tuple[str, ...]) -> dict[str, Any]:
        """Ask until something is no longer busy; raises `CommandFailed`."""
        clock = self.workspace.clock
        answered = clock.time()
        for pause in pauses():
            try:
                answer = self.workspace.get(path, query)
            except Refused as refused:
                self.still_alive()
                if not refused.passing:
                    raise CommandFailed(str(refused)) from None
            except Unanswered:
                pass
            else:
                answered = clock.time()
                if answer.get("status") not in busy:
                    return answer
            self.still_alive()
            self.progress.tell("RUNNING", "the checks run on it")
            if clock.time() >= self.end or clock.time() - answered > SILENCE:
                break
            clock.sleep(pause)
        message = "the time for the launch was over before the checks had ended"
        raise CommandFailed(message)

    @contextmanager
    def context(self) -> Iterator[str]:
        """Hold a Python session of the driver; raises `CommandFailed`."""
        body = {"clusterId": self.life.cluster_id, "language": "python"}
        context = self._ask(f"{CONTEXTS}/create", body)
        query = {"clusterId": self.life.cluster_id, "contextId": context}
        try:
            status = self.poll(f"{CONTEXTS}/status", query, ("Pending",)).get("status")
            if status != "Running":
                message = f"the driver's Python session did not start: its status is {status}"
                raise CommandFailed(message)
            yield context
        finally:
            # It ends with the cluster anyway.
            with suppress(Refused, Unanswered):
                self.workspace.post(f"{CONTEXTS}/destroy", query)

    def execute(self, context: str, command: str) -> str:
        """Return the text that a command prints; raises `CommandFailed`."""
        place = {"clusterId": self.life.cluster_id, "contextId": context}
        body = {**place, "language": "python", "command": command}
        number = self._ask(f"{COMMANDS}/execute", body, once=True)
        query = {**place, "commandId": number}
        answer = self.poll(f"{COMMANDS}/status", query, ("Queued", "Running", "Cancelling"))
        result = answer.get("results") or {}
        # A command that failed is Finished too.
        if answer.get("status") != "Finished" or result.get("resultType") == "error":
            told = [answer.get("status"), result.get("summary"), result.get("cause")]
            raise CommandFailed("\n".join(str(part) for part in told if part))
        return str(result.get("data") or "")

    def _ask(self, path: str, body: dict[str, Any], *, once: bool = False) -> str:
        clock = self.workspace.clock
        problem = ""
        for attempt in range(1, COMPILES + 1):
            try:
                return str(self.workspace.post(path, body, once=once)["id"])
            except Refused as refused:
                problem = str(refused)
                if not refused.passing:
                    break
            except (Unanswered, KeyError) as lost:
                problem = str(lost)
            self.still_alive()
            if once:
                # It may run already, and must not run twice.
                break
            clock.sleep(5.0 * attempt)
        raise CommandFailed(problem)


def run(session: Session, parcel: Parcel) -> None:
    """Run the checks and keep their document, or why there is none."""
    life = session.life
    life.ready = False
    try:
        with session.context() as context:
            printed = ""
            for command in parcel.commands():
                printed = session.execute(context, command)
                life.ready = True
    except CommandFailed as failed:
        life.trouble = str(failed)
        return
    life.log_tail = parcel.without_output(printed)[-evidence.LOG_TAIL :]
    life.document, life.trouble = parcel.read(printed)
