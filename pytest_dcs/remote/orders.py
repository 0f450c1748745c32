"""Carrying out an order: one launch from its request to its removal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.remote import evidence, interactive, job, sweep
from pytest_dcs.remote.life import Life
from pytest_dcs.remote.workspace import Refused, Unanswered

if TYPE_CHECKING:
    from pytest_dcs.remote.journal import Journal
    from pytest_dcs.remote.outcome import Order, Outcome, Say
    from pytest_dcs.remote.workspace import Workspace


def carry_out(workspace: Workspace, order: Order, journal: Journal, say: Say) -> Outcome:
    """Launch what was ordered, run it, remove it, and return what the workspace said of it.

    A cluster's faults are no exceptions. Raises `ContainerServicesOff`, `JournalUnusable` and
    `TooManyLaunches`, and passes KeyboardInterrupt on once all is removed.
    """
    secrets = workspace.secrets
    secrets.learn(order.secrets)
    secrets.learn_from(dict(order.spec))

    def tell(line: str) -> None:
        say(secrets.hide(line))

    if not journal.told_of_earlier:
        journal.told_of_earlier = True
        sweep.mention_earlier(workspace, journal, tell)
    life = Life(order.name, order.run_id)
    carry = job.carry if order.mode == "jobs" else interactive.carry
    try:
        carry(workspace, order, journal, tell, life)
    except Refused as refused:
        if not refused.passing:
            life.refusal = {
                "status": refused.status,
                "error_code": refused.code,
                "message": refused.message,
            }
        life.trouble = f"the workspace refused the launch: {refused}"
    except Unanswered as lost:
        life.trouble = f"the workspace did not answer: {lost}"
    except job.TooLarge as large:
        life.trouble = str(large)
    evidence.conclude(life)
    return life.outcome(secrets)
