"""What the nodes of a cluster are going to pull, how many of them, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pytest_dcs.image.reference import Reference
from pytest_dcs.remote.errors import LoginIncomplete
from pytest_dcs.remote.hiding import REFERENCE
from pytest_dcs.remote.registry import habits

USER_VARIABLE = "DCS_REMOTE_REGISTRY_USER"
PASSWORD_VARIABLE = "DCS_REMOTE_REGISTRY_PASSWORD"  # noqa: S105 - the variable's name
SECRET = (
    f"only the workspace can read the login, a secret of its own: set {USER_VARIABLE} and "
    f"{PASSWORD_VARIABLE} to the same login, and the registry is asked before a launch"
)
NODES_LOG_IN = (
    "the nodes log in by themselves, with the rights of their instance profile, which nothing "
    "outside the cluster has"
)
ECR = "*.dkr.ecr.*.amazonaws.com*"


@dataclass(frozen=True)
class Credentials:
    """A login at a registry; its repr does not show the password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Pull:
    """What a cluster is going to ask of a registry."""

    reference: Reference
    credentials: Credentials | None = None
    """None: it asks without a login."""
    nodes: int = 1
    """How many nodes pull, the driver among them, at most."""
    unknowable: str = ""
    """Why nobody outside the workspace can ask the same; else empty."""

    @property
    def hours(self) -> int | None:
        """After how many hours the password ends by itself; None where that is not known."""
        if self.credentials is None:
            return None
        return habits.lifetime(self.reference.registry, self.credentials.user)


def of_spec(spec: Mapping[str, Any], environment: Mapping[str, str]) -> Pull:
    """Return what a cluster with this specification pulls.

    A login in the specification counts first. Where that names a secret of the workspace, the
    environment may have the same login. Raises `InvalidReference` and `LoginIncomplete`.
    """
    image = mapping(spec.get("docker_image"))
    reference = Reference.parse(str(image.get("url", "")))
    nodes = nodes_of(spec)
    login = mapping(image.get("basic_auth"))
    user, password = str(login.get("username") or ""), str(login.get("password") or "")
    if login and not (user.startswith(REFERENCE) or password.startswith(REFERENCE)):
        return Pull(reference, Credentials(user, password), nodes)
    own = of_environment(environment)
    if own is not None:
        return Pull(reference, own, nodes)
    if login:
        return Pull(reference, None, nodes, unknowable=SECRET)
    profile = mapping(spec.get("aws_attributes")).get("instance_profile_arn")
    if profile and fnmatchcase(reference.registry, ECR):
        return Pull(reference, None, nodes, unknowable=NODES_LOG_IN)
    return Pull(reference, None, nodes)


def of_environment(environment: Mapping[str, str]) -> Credentials | None:
    """Return the login that the variables hold; raises `LoginIncomplete` for half of one."""
    user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if not (user or password):
        return None
    if not (user and password):
        missing, found = USER_VARIABLE, PASSWORD_VARIABLE
        if user:
            missing, found = found, missing
        raise LoginIncomplete(missing, found)
    return Credentials(user, password)


def nodes_of(spec: Mapping[str, Any]) -> int:
    """Return how many nodes a cluster can have, the driver among them."""
    workers = mapping(spec.get("autoscale")).get("max_workers", spec.get("num_workers"))
    return 1 + (workers if isinstance(workers, int) and workers > 0 else 0)


def mapping(value: object) -> Mapping[str, Any]:
    """Return a JSON object as it is, and an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else {}
