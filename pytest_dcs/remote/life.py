"""What becomes known about one launch, while it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote.hiding import Unshown
from pytest_dcs.remote.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.remote.hiding import Secrets

ENDED = ("TERMINATED", "ERROR")


@dataclass
class Life:
    """The life of one cluster, from the order to its removal; times in seconds."""

    name: str
    run_id: str
    cluster_id: str = ""
    job_run_id: int | None = None
    folder: str = ""
    """Folder of the workspace that only this launch uses."""
    ordered: bool = False
    """Whether a request was sent that may have made a cluster."""
    settled: bool = True
    """Whether it is known what became of that request."""
    ready: bool = False
    cluster: dict[str, Any] = field(default_factory=dict)
    termination: dict[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    init_scripts: list[dict[str, Any]] = field(default_factory=list)
    log_tail: str = ""
    document: dict[str, Any] | None = None
    trouble: str = ""
    refusal: dict[str, Any] | None = None
    run_state: dict[str, Any] = field(default_factory=dict)
    removed: bool = False
    left: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The cluster's state as the workspace has last said it."""
        return str(self.cluster.get("state", ""))

    def seen(self, cluster: Mapping[str, Any]) -> None:
        """Take over what the workspace says of the cluster."""
        self.cluster = Unshown(cluster)
        reason = cluster.get("termination_reason")
        if isinstance(reason, dict):
            self.termination = reason

    def how_to_remove(self) -> str:
        """Return what is left and the commands that remove it."""
        commands = [f"python -m pytest_dcs sweep --remote --run={self.run_id} --yes"]
        if self.job_run_id is not None:
            commands.append(f"databricks jobs cancel-run {self.job_run_id}")
        if self.cluster_id:
            commands.append(f"databricks clusters permanent-delete {self.cluster_id}")
        what = f"cluster {self.name} ({self.cluster_id or 'its id is not known'})"
        return f"{what} may still run and cost money: `{'` or `'.join(commands)}`"

    def outcome(self, secrets: Secrets) -> Outcome:
        """Return what can be shown of it: no secret is left."""
        hide = secrets.hide_in
        return Outcome(
            cluster_id=self.cluster_id,
            job_run_id=self.job_run_id,
            ready=self.ready,
            cluster=hide(self.cluster),
            termination=hide(self.termination),
            events=tuple(hide(self.events)),
            init_scripts=tuple(hide(self.init_scripts)),
            log_tail=secrets.hide(self.log_tail),
            document=hide(self.document),
            trouble=secrets.hide(self.trouble),
            refusal=hide(self.refusal),
            run_state=hide(self.run_state),
            removed=self.removed,
            left=self.left,
            seconds={name: round(taken, 3) for name, taken in self.seconds.items()},
        )
