"""Runs of jobs: each makes its cluster, runs a Python file on it, and ends the cluster."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from tests.remote.standin.refusals import BAD_REQUEST, Refusal, invalid
from tests.remote.standin.run import Run
from tests.remote.standin.specifications import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.remote.standin.clusters import Clusters

TOKEN_LIMIT = 64
PAGE = 20
OFFERED = frozenset({"task_key", "new_cluster", "existing_cluster_id", "spark_python_task",
                     "timeout_seconds", "max_retries", "description"})  # fmt: skip
"""What of a task is really done here."""
SEVERAL_TASKS = (
    "Retrieving the output of runs with multiple tasks is not supported. Please retrieve the "
    "output of each individual task run instead."
)


class Runs:
    """All runs by their id; a run has one task, with an id of its own."""

    def __init__(self, clusters: Clusters, check_spec: Callable[[Any, str], None]) -> None:
        self.clusters = clusters
        self.all: dict[int, Run] = {}
        self._check_spec = check_spec
        self._by_token: dict[str, int] = {}
        self._numbers = count(1000)

    def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run with its cluster; the same token gives the same run."""
        token = body.get("idempotency_token")
        if token and len(token) > TOKEN_LIMIT:
            raise invalid(f"idempotency_token has more than {TOKEN_LIMIT} characters")
        tasks = body.get("tasks") or []
        if len(tasks) != 1:
            raise invalid(f"this workspace runs one task at a time, not {len(tasks)}")
        task: dict[str, Any] = tasks[0]
        if set(task) - OFFERED or "spark_python_task" not in task:
            raise invalid("this workspace runs spark_python_task with a cluster, nothing else")
        if ("new_cluster" in task) == ("existing_cluster_id" in task):
            raise invalid("a task has exactly one of new_cluster and existing_cluster_id")
        if "new_cluster" in task:
            self._check_spec(task["new_cluster"], "tasks[0].new_cluster")
        if token and token in self._by_token:
            return {"run_id": self._by_token[token]}
        identifier, name = next(self._numbers), str(body.get("run_name") or "Untitled")
        task_key = task["task_key"]
        if "new_cluster" in task:
            own_name = f"job-0-run-{identifier}-{task_key}"
            cluster = self.clusters.create(
                task["new_cluster"], source="JOB", names=(name, own_name)
            )
        else:
            cluster = self.clusters.find(task["existing_cluster_id"])
        run = Run(
            identifier,
            next(self._numbers),
            name,
            without_secrets(task),
            cluster,
            clusters=self.clusters,
            timeout=min(
                filter(None, (body.get("timeout_seconds"), task.get("timeout_seconds"))), default=0
            ),
        )
        self.all[identifier] = run
        if token:
            self._by_token[token] = identifier
        return {"run_id": identifier}

    def settle(self) -> None:
        """Let all happen that should have happened by now."""
        for run in self.all.values():
            run.settle()

    def find(self, identifier: int) -> Run:
        """Return a run by its own id or its task's."""
        for run in self.all.values():
            if identifier in {run.id, run.task_id} and not run.deleted:
                return run
        raise invalid(f"Run {identifier} does not exist.")

    def output(self, identifier: int) -> dict[str, Any]:
        """Return what jobs/runs/get-output answers for a task's run."""
        run = self.find(identifier)
        if identifier != run.task_id:
            raise Refusal(BAD_REQUEST, "INVALID_PARAMETER_VALUE", SEVERAL_TASKS)
        return run.output()

    def delete(self, identifier: int) -> None:
        """Forget a run that has ended."""
        run = self.find(identifier)
        if not run.ended:
            raise Refusal(BAD_REQUEST, "INVALID_STATE", f"Run {identifier} is still active")
        run.deleted = True

    def page(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return what jobs/runs/list answers."""
        active = query.get("active_only", [""])[0] == "true"
        completed = query.get("completed_only", [""])[0] == "true"
        found = [
            run
            for run in reversed(self.all.values())
            if not run.deleted and not (active and run.ended) and not (completed and not run.ended)
        ]
        size = int(query.get("limit", [str(PAGE)])[0])
        start = int(query.get("page_token", query.get("offset", ["0"]))[0] or 0)
        with_tasks = query.get("expand_tasks", [""])[0] == "true"
        answer: dict[str, Any] = {
            "runs": [run.describe(with_tasks=with_tasks) for run in found[start : start + size]],
            "has_more": start + size < len(found),
        }
        if answer["has_more"]:
            answer["next_page_token"] = str(start + size)
        return answer
