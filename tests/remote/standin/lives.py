"""What happens to a cluster, and when: the lives that a test can give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any

Reason = Mapping[str, Any]
"""A `termination_reason` as it goes over the wire, so that it may have codes unknown to the SDK."""

NEVER = 10.0**9
DELETION = 20.0
"""Seconds between a cluster's TERMINATING and its TERMINATED."""
NODES_WANTED = "Finding instances for new nodes, acquiring more instances if necessary"


@dataclass(frozen=True)
class Step:
    """A state that a cluster comes to."""

    after: float
    """Seconds after the step before."""
    state: str
    message: str = ""
    events: tuple[str, ...] = ()
    reason: Reason | None = None
    scripts: tuple[str, ...] = ()
    """How the init scripts ended, in their order; for the events of this step."""
    starts_image: bool = False
    """The node is launched really, where nodes are real."""


@dataclass(frozen=True)
class Life:
    """The steps of a cluster that nobody deletes."""

    steps: tuple[Step, ...]
    hangs: bool = False
    """What runs on the cluster comes to no end by itself."""

    def then(self, *steps: Step) -> Life:
        """Return a life that goes on."""
        return replace(self, steps=(*self.steps, *steps))


def good(pending: float = 60.0, scripts: tuple[str, ...] = ()) -> Life:
    """Return the life of a cluster that starts and stays; its init scripts end as said."""
    return Life(
        (
            Step(0, "PENDING", NODES_WANTED, ("CREATING",)),
            Step(
                pending,
                "RUNNING",
                events=("RUNNING", "DRIVER_HEALTHY"),
                scripts=scripts,
                starts_image=True,
            ),
        )
    )


def slow(minutes: float = 15.0) -> Life:
    """Return the life of a cluster that starts after long."""
    return good(minutes * 60)


def never_up() -> Life:
    """Return the life of a cluster that stays PENDING for ever."""
    return Life((Step(0, "PENDING", NODES_WANTED, ("CREATING",)),))


def hanging(pending: float = 60.0) -> Life:
    """Return the life of a cluster that starts, and on which no command or task ends."""
    return replace(good(pending), hangs=True)


def sick_driver(pending: float = 60.0) -> Life:
    """Return the life of a cluster that is RUNNING with a driver that does not answer."""
    return Life(
        (
            Step(0, "PENDING", NODES_WANTED, ("CREATING",)),
            Step(pending, "RUNNING", events=("RUNNING", "DRIVER_NOT_RESPONDING")),
        ),
        hangs=True,
    )


def failing(
    code: str,
    kind: str = "CLIENT_ERROR",
    message: str = "",
    *,
    parameters: Mapping[str, str] | None = None,
    scripts: tuple[str, ...] = (),
    events: tuple[str, ...] = (),
    pending: float = 60.0,
) -> Life:
    """Return the life of a cluster that never runs, with any code and type, known or not."""
    return Life(
        (
            Step(0, "PENDING", NODES_WANTED, ("CREATING",)),
            *ending(
                code,
                kind,
                message,
                parameters=parameters,
                scripts=scripts,
                events=events,
                after=pending,
            ),
        )
    )


def ending(
    code: str,
    kind: str = "CLIENT_ERROR",
    message: str = "",
    *,
    parameters: Mapping[str, str] | None = None,
    scripts: tuple[str, ...] = (),
    events: tuple[str, ...] = (),
    after: float = 0.0,
) -> tuple[Step, Step]:
    """Return the two last steps of a cluster that ends for this reason."""
    details = dict(parameters or {})
    if message and not details:
        details = {"databricks_error_message": message}
    reason = {"code": code, "type": kind, "parameters": details}
    return (
        Step(after, "TERMINATING", message, (*events, "TERMINATING"), reason, scripts),
        Step(DELETION, "TERMINATED", message, (), reason),
    )


def pull_failure(image: str = "acme.example.com/ml:1.4") -> Life:
    """Return the life of a cluster whose image cannot be pulled."""
    return failing("DOCKER_IMAGE_PULL_FAILURE", message=pull_message(image))


def pull_message(image: str) -> str:
    """Return what a workspace says of an image that is not there or not for it.

    https://github.com/MicrosoftDocs/azure-docs/issues/71575
    """
    return (
        "Container setup failed because of an invalid request: Image doesn't exist or invalid "
        f"credential to pull image from {image}"
    )


def creation_failure() -> Life:
    """Return the life of a cluster whose container cannot be made."""
    return failing(
        "DOCKER_CONTAINER_CREATION_EXCEPTION",
        message="Container setup failed: could not create the docker container",
    )


def init_script_failure(*scripts: str) -> Life:
    """Return the life of a cluster that an init script has ended; the last one by default."""
    return failing(
        "INIT_SCRIPT_FAILURE",
        message="Cluster scoped init script failed: Script exit status is non-zero",
        scripts=scripts or ("FAILED_EXECUTION",),
    )


def driver_death(after: float = 60.0, code: str = "DRIVER_UNREACHABLE") -> Life:
    """Return the life of a cluster that runs for a while and then loses its driver."""
    return good().then(
        *ending(
            code,
            "SERVICE_FAULT",
            "Driver is unreachable, possibly due to GC",
            events=("DRIVER_NOT_RESPONDING", "DRIVER_UNAVAILABLE"),
            after=after,
        )
    )


def stock_out(
    code: str = "AWS_INSUFFICIENT_INSTANCE_CAPACITY_FAILURE", kind: str = "CLOUD_FAILURE"
) -> Life:
    """Return the life of a cluster for which the cloud has no machine.

    `stock_out("GCP_INSUFFICIENT_CAPACITY", "CLIENT_ERROR")` has been seen too.
    """
    return failing(code, kind, "The cloud has no machines of this kind at the moment")


def unknown_code() -> Life:
    """Return the life of a cluster that ends for a reason that the SDK does not know."""
    return failing("SECURITY_AGENTS_FAILED_INITIAL_VERIFICATION", "SERVICE_TROUBLE")


def unknown_state(state: str = "WARMING_UP", lasts: float = 120.0) -> Life:
    """Return the life of a cluster that is for a while in a state that the SDK does not know."""
    first, second = good().steps
    return Life((first, Step(30, state, "warming up"), replace(second, after=lasts)))


LIVES = {
    "good": good(),
    "slow": slow(),
    "never-up": never_up(),
    "hanging": hanging(),
    "sick-driver": sick_driver(),
    "pull-failure": pull_failure(),
    "creation-failure": creation_failure(),
    "init-script-failure": init_script_failure(),
    "driver-death": driver_death(),
    "stock-out": stock_out(),
    "unknown-code": unknown_code(),
    "unknown-state": unknown_state(),
}
"""The lives by the names that the command line takes."""


@dataclass
class Casting:
    """Which clusters get a life."""

    life: Life
    name: str = "*"
    """A pattern for the cluster's name, or for that of the run it was made for."""
    with_image: bool | None = None
    """Only clusters with an image of their own, or only those without; None for all."""
    times: int | None = None
    """How many clusters get it, None for any number."""
    taken: int = field(default=0)

    def fits(self, names: tuple[str, ...], *, with_image: bool) -> bool:
        """Whether the life is for a cluster of these names."""
        return (
            (self.times is None or self.taken < self.times)
            and self.with_image in {None, with_image}
            and any(fnmatch(name, self.name) for name in names)
        )
