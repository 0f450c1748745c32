"""One launch, and where its end does not say whose fault it is, one more without the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dcs.remote.classify import Cause, cause_of
from pytest_dcs.remote.orders import carry_out

if TYPE_CHECKING:
    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.outcome import Outcome, Say
    from pytest_dcs.remote.request import Request
    from pytest_dcs.remote.workspace import Workspace


@dataclass(frozen=True)
class RemoteLaunch:
    """What came of launching an image on a real cluster."""

    request: Request
    outcome: Outcome
    cause: Cause | None
    """What kept the cluster from serving to the end; None: nothing did."""
    control: Outcome | None = None
    """What came of the same cluster without the image, where that was launched."""
    control_cause: Cause | None = None
    uncontrolled: str = ""
    """Why it was not launched although it would have decided; else empty."""
    unusable: str = ""
    """Why the document of the checks cannot be used although there is one; else empty."""

    @property
    def log(self) -> str:
        """The end of what the cluster has logged."""
        return self.outcome.log_tail

    @property
    def left(self) -> tuple[str, ...]:
        """What is left in the workspace, each with the command that removes it."""
        outcomes = filter(None, (self.outcome, self.control))
        return tuple(each.left or each.cluster_id for each in outcomes if not each.removed)


def launch(
    workspace: Workspace,
    request: Request,
    bundle: bytes | None,
    journal: Journal,
    say: Say,
    *,
    with_control: bool,
) -> RemoteLaunch:
    """Launch an image, and remove all that was launched; raises as `carry_out` does."""
    outcome = carry_out(workspace, request.order(bundle), journal, say)
    cause = cause_of(outcome)
    if cause is None or cause.kind != "suspect":
        return RemoteLaunch(request, outcome, cause)
    if not with_control:
        return RemoteLaunch(request, outcome, cause, uncontrolled="dcs_remote_control is false")
    if not outcome.removed:
        why = "the first cluster could not be removed"
        return RemoteLaunch(request, outcome, cause, uncontrolled=why)
    say(f"{cause}: launching the same cluster without the image, to compare")
    control = carry_out(workspace, request.control(), journal, say)
    return RemoteLaunch(request, outcome, cause, control, cause_of(control))
