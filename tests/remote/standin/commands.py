"""Command execution 1.2: contexts on a cluster, and commands that run in them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from databricks.sdk.service import compute

from tests.remote.standin.nodes import CodeFailed
from tests.remote.standin.refusals import BAD_REQUEST, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.remote.standin.cluster import Cluster
    from tests.remote.standin.clusters import Clusters
    from tests.remote.standin.nodes import Context

LIMIT = 20 << 20
"""Characters of a result that are given back."""


@dataclass
class _Opened:
    cluster: Cluster
    context: Context | None


@dataclass
class _Command:
    id: str
    opened: _Opened
    status: str = "Running"
    results: dict[str, Any] = field(default_factory=dict)


class Commands:
    """All contexts and commands by their ids."""

    def __init__(self, clusters: Clusters) -> None:
        self.clusters = clusters
        self._contexts: dict[str, _Opened] = {}
        self._commands: dict[str, _Command] = {}

    def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Open a context on a cluster that runs and is no job's."""
        cluster = self._cluster(body["clusterId"])
        if body.get("language") != "python":
            raise _refused("this workspace has contexts for python alone")
        identifier = uuid.uuid4().hex
        hangs = cluster.life.hangs or cluster.node is None
        context = None if hangs or cluster.node is None else cluster.node.open_context()
        self._contexts[identifier] = _Opened(cluster, context)
        cluster.used = self.clusters.clock.now()
        return {"id": identifier}

    def context_status(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Say whether a context can be used."""
        self._cluster(query["clusterId"])
        opened = self._opened(query["contextId"])
        status = compute.ContextStatus.PENDING if opened.cluster.life.hangs else (
            compute.ContextStatus.RUNNING
        )  # fmt: skip
        return compute.ContextStatusResponse(id=query["contextId"], status=status).as_dict()

    def execute(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start a command."""
        self._cluster(body["clusterId"])
        opened = self._opened(body["contextId"])
        command = _Command(uuid.uuid4().hex, opened)
        self._commands[command.id] = command
        if not opened.cluster.life.hangs:
            opened.cluster.busy += 1
            self.clusters.clock.run_beside(lambda: self._run(command, str(body["command"])))
        return {"id": command.id}

    def command_status(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Say how far a command is, and what it gave when it has ended."""
        self._cluster(query["clusterId"])
        command = self._command(query["commandId"])
        answer = {"id": command.id, "status": command.status, "results": command.results or None}
        return compute.CommandStatusResponse.from_dict(answer).as_dict()

    def cancel(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """End a command, and with it what its context has."""
        command = self._command(body["commandId"])
        if command.status == "Running":
            command.status = "Cancelled"
            if command.opened.context is not None:
                command.opened.context.end()
        return {"id": command.id}

    def destroy(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """End a context."""
        opened = self._opened(body["contextId"])
        if opened.context is not None:
            opened.context.end()
        del self._contexts[body["contextId"]]
        return {"id": body["contextId"]}

    def _run(self, command: _Command, code: str) -> None:
        context = command.opened.context
        try:
            text = context.run(code) if context is not None else ""
            results: dict[str, Any] = {
                "resultType": "text",
                "data": text[:LIMIT],
                "truncated": len(text) > LIMIT,
            }
        except CodeFailed as error:
            results = {"resultType": "error", "summary": error.summary, "cause": error.cause}
        cluster = command.opened.cluster
        cluster.used = self.clusters.clock.now()
        cluster.busy -= 1
        if command.status == "Running":
            command.results = results
            command.status = "Finished"

    def _cluster(self, identifier: str) -> Cluster:
        cluster = self.clusters.find(identifier)
        cluster.settle()
        if cluster.source == "JOB":
            raise _refused("commands run on all-purpose clusters alone, not on a job's")
        if not cluster.runs:
            raise _refused(f"ClusterNotReadyException: Cluster {identifier} is {cluster.state}")
        return cluster

    def _opened(self, identifier: str) -> _Opened:
        if identifier not in self._contexts:
            raise _refused(f"ContextNotFound: {identifier}")
        return self._contexts[identifier]

    def _command(self, identifier: str) -> _Command:
        if identifier not in self._commands:
            raise _refused(f"CommandNotFound: {identifier}")
        return self._commands[identifier]


def _refused(message: str) -> Refusal:
    return Refusal(BAD_REQUEST, "", message)
