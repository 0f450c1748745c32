"""What a launch answers to the rules about it: holds, is broken, or nobody can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dcs import symptoms
from pytest_dcs.remote.classify import EXECUTED_AND_FAILED, Kind, is_failed_work
from pytest_dcs.remote.errors import LaunchRefused
from pytest_dcs.rules import Item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.remote.classify import Cause
    from pytest_dcs.remote.control import RemoteLaunch

UNFIT: frozenset[Kind] = frozenset({"configuration", "credentials"})
"""Kinds of causes that somebody has to mend before any image can be launched."""
ASIDE: dict[Kind, str] = {
    "pull": "the nodes could not pull the image; where the registry lets this machine in, look at "
    "the way from the nodes to the registry, and at its limits",
    "capacity": "no capacity or quota, try again later",
    "infrastructure": "not the image, as far as anybody can say",
    "ended": "somebody or something else has ended it",
    "unknown": "nobody can say whether it was the image",
}
"""What is added to a cause that says nothing of the image."""
NEXT_STEP = (
    "Mend the cluster's file or the workspace's settings; `pytest --dcs-explain=CODE` tells more."
)


@dataclass(frozen=True)
class Answer:
    """An answer to one rule: broken by these items, or unknown, or never asked; else it holds."""

    items: tuple[Item, ...] = ()
    unknown: str = ""
    unasked: str = ""


def refuse_unfit(launch: RemoteLaunch) -> None:
    """Raise `LaunchRefused` where this cluster cannot be launched with any image."""
    cause = launch.cause
    if cause is not None and cause.kind in UNFIT:
        known = symptoms.of_code(cause.code)
        raise LaunchRefused(str(cause), cause.meaning, known.next_step if known else NEXT_STEP)


def start(launch: RemoteLaunch) -> Answer:
    """Return whether the cluster has started with the image and lived to the end."""
    cause = launch.cause
    # An init script runs in the container: that has started.
    if cause is None or cause.kind == "init":
        return Answer()
    if cause.kind == "image":
        return Answer((broken(launch, str(cause)),))
    if cause.kind != "suspect":
        return Answer(unknown=f"no verdict: {cause} ({ASIDE[cause.kind]})")
    if launch.control is None:
        told = f"nothing was launched to compare with: {launch.uncontrolled}"
        return Answer(unknown=f"no verdict: {cause} (it may be the image; {told})")
    if launch.control_cause is None and launch.control.ready:
        found = f"{cause}; the same cluster without the image runs"
        return Answer((broken(launch, found),))
    other = launch.control_cause or launch.control.trouble
    told = f"the same cluster without the image does not run either: {other}"
    return Answer(unknown=f"no verdict: {cause} ({told})")


def broken(launch: RemoteLaunch, found: str) -> Item:
    """Return the item about a cluster that the image has kept from running."""
    outcome = launch.outcome
    subject = f"cluster {launch.request.name} ({outcome.cluster_id or 'no id'})"
    return Item(subject, found, "a cluster that runs with this image")


def scripts(launch: RemoteLaunch) -> Answer:
    """Return whether all init scripts of the cluster have ended well."""
    items = tuple(failed_scripts(launch))
    if items:
        return Answer(items)
    if launch.cause is not None:
        return Answer(unknown=f"no verdict: {launch.cause}")
    if not (launch.outcome.init_scripts or launch.request.spec.get("init_scripts")):
        return Answer(unasked="the cluster has no init scripts")
    return Answer()


def failed_scripts(launch: RemoteLaunch) -> Iterator[Item]:
    """Yield the cluster's own init scripts that have run and failed."""
    for script in launch.outcome.init_scripts:
        if script.get("status") == EXECUTED_AND_FAILED and not script.get("global"):
            said = "; ".join(filter(None, (script.get("error_message"), script.get("stderr"))))
            found = f"{EXECUTED_AND_FAILED}: {said}" if said else EXECUTED_AND_FAILED
            yield Item(f"init script {script.get('script')}", found, "exit status 0")


def checks(launch: RemoteLaunch) -> Answer:
    """Return whether the checks have run on the cluster and told what they found."""
    outcome, request = launch.outcome, launch.request
    if request.unchecked:
        return Answer(unasked=request.unchecked)
    if outcome.document is not None and not launch.unusable:
        return Answer()
    trouble = launch.unusable or outcome.trouble or "the checks left no document"
    if is_failed_work(outcome):
        needed = "a driver on which a small Python file runs"
        return Answer((Item(f"the run on {request.name}", trouble, needed),))
    return Answer(unknown=f"no verdict: {told(launch.cause, trouble)}")


def told(cause: Cause | None, trouble: str) -> str:
    """Return why something is not known."""
    return str(cause) if cause is not None else trouble
