"""What is ordered of a workspace, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Say = Callable[[str], None]
"""Tells the user one line at once."""


@dataclass(frozen=True)
class Order:
    """One cluster to launch, and what is to run on it; `timeout` in seconds is for the whole.

    Its repr shows neither the spec nor the arguments, which may hold passwords.
    """

    name: str
    spec: Mapping[str, Any] = field(repr=False)
    """Plain JSON of a cluster's specification; name and own tags are put in by `carry_out`."""
    mode: Literal["jobs", "interactive"]
    timeout: float
    bundle: bytes | None = field(repr=False)
    """The checks as a file that Python runs; None where it is only asked whether it starts."""
    arguments: tuple[str, ...] = field(repr=False)
    run_id: str
    with_image: bool
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values to hide in all that leaves, besides those that the spec itself shows to be secret."""


@dataclass(frozen=True)
class Outcome:
    """What the workspace said of one order; no secret is in it. All times are in seconds."""

    cluster_id: str
    job_run_id: int | None
    ready: bool
    """Whether the driver answered to the end; RUNNING alone does not mean that."""
    cluster: Mapping[str, Any]
    """The last answer of clusters/get, as it came: unknown states and codes are still there."""
    termination: Mapping[str, Any] | None
    """Why the cluster ended before it was told to: code, type and parameters, as they came."""
    events: tuple[Mapping[str, Any], ...]
    init_scripts: tuple[Mapping[str, Any], ...]
    """Of each its script, kind, global, status, error_message, seconds, stderr and node."""
    log_tail: str
    document: Mapping[str, Any] | None
    trouble: str
    """Why there is no document, empty where there is one or none was ordered."""
    removed: bool
    """Whether the workspace itself has said that the cluster is gone."""
    seconds: Mapping[str, float]
    refusal: Mapping[str, Any] | None = None
    """Where the workspace refused the order itself: status, error_code and message."""
    run_state: Mapping[str, Any] = field(default_factory=dict)
    """The job run's last `state` and `status`, as they came; empty without a job."""
    left: str = ""
    """Where `removed` is false: what is left, and the command that removes it."""
