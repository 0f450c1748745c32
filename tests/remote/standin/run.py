"""One run of a job: what state it is in, and what its task wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks.sdk.service import jobs

from tests.remote.standin.files import USER
from tests.remote.standin.nodes import Task

if TYPE_CHECKING:
    from tests.remote.standin.cluster import Cluster
    from tests.remote.standin.clusters import Clusters
    from tests.remote.standin.nodes import Running

LOG_LIMIT = 5 << 20
"""Bytes of a task's output that are kept, the last ones.

https://docs.databricks.com/api/workspace/jobs/getrunoutput
"""
NEW_STATES = {"INTERNAL_ERROR": "TERMINATED"}
"""States by their newer names, where these differ."""
TERMINATION = {
    "SUCCESS": ("SUCCESS", "SUCCESS"),
    "FAILED": ("RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    "CANCELED": ("USER_CANCELED", "SUCCESS"),
    "TIMEDOUT": ("CANCELED", "CLIENT_ERROR"),
}
"""The newer code and type by the older result."""


class Run:
    """One run with its one task, which moves on when it is looked at."""

    def __init__(
        self,
        identifier: int,
        task_id: int,
        name: str,
        task: dict[str, Any],
        cluster: Cluster,
        *,
        clusters: Clusters,
        timeout: float,
    ) -> None:
        self.id = identifier
        self.task_id = task_id
        self.name = name
        self.task = task
        """What was asked for, without passwords."""
        self.cluster = cluster
        self.deleted = False
        self.state = "PENDING"
        self.result = ""
        self.message = ""
        self.log = ""
        self._code: tuple[str, str] | None = None
        self._clock = clusters.clock
        self._files = clusters.files
        self._timeout = timeout
        self._started = clusters.clock.now()
        self._ended = 0.0
        self._running: Running | None = None
        self._status: tuple[int, str] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return bool(self.result)

    def settle(self) -> None:
        """Take what has happened on the cluster, and what time has brought."""
        if self.ended:
            return
        self.cluster.settle()
        if self._status is not None:
            self._take(*self._status)
        elif not self.cluster.alive:
            self._lose_cluster()
        elif self._timeout and self._clock.now() - self._started >= self._timeout:
            self._end("TERMINATED", "TIMEDOUT", f"Run timed out after {self._timeout:g} seconds")
        elif self.cluster.runs and self.state == "PENDING":
            self._start()

    def cancel(self) -> None:
        """End it because somebody said so."""
        self.settle()
        if not self.ended:
            self._end("TERMINATED", "CANCELED", "Run cancelled by user")

    def describe(self, *, with_tasks: bool = True) -> dict[str, Any]:
        """Return what jobs/runs/get answers."""
        run = jobs.Run.from_dict(
            {
                **self._common(self.id),
                "job_id": self.id,
                "run_name": self.name,
                "run_type": "SUBMIT_RUN",
                "creator_user_name": USER,
                "tasks": [self._described_task()] if with_tasks else [],
            }
        )
        return run.as_dict()

    def output(self) -> dict[str, Any]:
        """Return what jobs/runs/get-output answers."""
        metadata = {**self.describe(), "run_id": self.task_id, "tasks": []}
        output: dict[str, Any] = {"metadata": metadata}
        if self._status is not None:
            output["logs"] = self.log[-LOG_LIMIT:]
            output["logs_truncated"] = len(self.log) > LOG_LIMIT
        if self.result not in {"", "SUCCESS"}:
            trace = self.log.rpartition("Traceback (most recent call last):")
            output["error"] = (self.log.strip().splitlines() or [self.message])[-1]
            if trace[1]:
                output["error_trace"] = trace[1] + trace[2]
        return jobs.RunOutput.from_dict(output).as_dict()

    def _common(self, identifier: int) -> dict[str, Any]:
        state = {"life_cycle_state": self.state, "state_message": self.message}
        status: dict[str, Any] = {"state": NEW_STATES.get(self.state, self.state)}
        if self.ended:
            state["result_state"] = self.result
            code, kind = self._code or TERMINATION[self.result]
            status["termination_details"] = {"code": code, "type": kind, "message": self.message}
        return {
            "run_id": identifier,
            "state": state,
            "status": status,
            "start_time": int(self._started * 1000),
            "end_time": int(self._ended * 1000),
            "run_page_url": f"https://workspace.example.com/#job/{self.id}/run/{identifier}",
        }

    def _described_task(self) -> dict[str, Any]:
        return {
            **self.task,
            **self._common(self.task_id),
            "cluster_instance": {"cluster_id": self.cluster.id},
            "attempt_number": 0,
        }

    def _start(self) -> None:
        self.state = "RUNNING"
        self.message = "In run"
        work = self.task["spark_python_task"]
        try:
            content = self._files.read(work["python_file"])
        except FileNotFoundError:
            self.message = (
                f"Cannot read the python file {work['python_file']}. Please check driver logs for "
                "more details."
            )
            self._end("INTERNAL_ERROR", "FAILED", self.message)
            return
        if self.cluster.life.hangs:
            return
        if self.cluster.node is None:
            self._status = (0, "")
        else:
            self._running = self.cluster.node.start_task(
                Task(
                    name=work["python_file"].rpartition("/")[2],
                    content=content,
                    parameters=tuple(work.get("parameters") or ()),
                    environment=self.cluster.spec.get("spark_env_vars") or {},
                )
            )
            self.cluster.busy += 1
            self._clock.run_beside(self._wait)

    def _wait(self) -> None:
        assert self._running is not None
        try:
            status = self._running.wait()
        except Exception as error:
            # The node has gone from under it, which the cluster's own state tells better.
            status = (1, f"{type(error).__name__}: {error}")
        self.cluster.busy -= 1
        if self.cluster.alive:
            self._status = status

    def _take(self, status: int, log: str) -> None:
        self.log = log
        if status == 0:
            self._end("TERMINATED", "SUCCESS", "")
        else:
            message = "Workload failed, see run output for details"
            self._end("TERMINATED", "FAILED", message)

    def _lose_cluster(self) -> None:
        reason = self.cluster.reason or {}
        parameters = ",".join(
            f"{key}:{value}" for key, value in reason.get("parameters", {}).items()
        )
        message = (
            f"Cluster '{self.cluster.id}' was terminated. Reason: {reason.get('code')} "
            f"({reason.get('type')}). Parameters: {parameters}"
        )
        self._code = ("CLUSTER_ERROR", "CLIENT_ERROR")
        self._end("INTERNAL_ERROR", "FAILED", message)

    def _end(self, state: str, result: str, message: str) -> None:
        self.state, self.result, self.message = state, result, message
        self._ended = self._clock.now()
        if self._running is not None and self._status is None:
            self._running.kill()
        if "new_cluster" in self.task:
            self.cluster.end("JOB_FINISHED", parameters={})
