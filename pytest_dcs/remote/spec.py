"""The specification of a cluster, completed for one image."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_dcs.image.reference import Reference
from pytest_dcs.remote import errors
from pytest_dcs.remote.hiding import Unshown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.runtimes import Runtime

SINGLE_NODE_CONF = {
    "spark.databricks.cluster.profile": "singleNode",
    "spark.master": "local[*]",
}
SINGLE_NODE_TAG = {"ResourceClass": "SingleNode"}
"""Without these settings and this tag a cluster without workers runs no Spark job.

https://docs.databricks.com/api/workspace/clusters/create
"""
WITHOUT_PYTHON = {"spark.databricks.driverNfs.enabled": "false"}
"""What images without a Python environment need: https://github.com/databricks/containers"""
DEDICATED = "SINGLE_USER"
SHORTEST_AUTOTERMINATION = 10
"""Minutes."""
IMAGE_TAG = "pytest-dcs-image"
"""The tag with the beginning of the image's digest; some clouds take neither more nor a colon."""
DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Wanted:
    """What a cluster is to be completed for."""

    reference: str
    digest: str | None
    runtime: Runtime
    features: frozenset[str]
    node_type: str = ""
    by_digest: bool = False
    login: tuple[str, str] | None = field(default=None, repr=False)
    """User and password at the registry, for a specification that has none."""

    @property
    def url(self) -> str:
        """What the nodes are to pull; raises `DigestUnknown`."""
        if not self.by_digest:
            return self.reference
        if self.digest is None:
            raise errors.DigestUnknown(self.reference)
        return f"{self.reference.partition('@')[0]}@{self.digest}"


@dataclass(frozen=True)
class Completed:
    """A specification with which a cluster can be made, and what was changed for that."""

    spec: Mapping[str, Any] = field(repr=False)
    said: tuple[str, ...] = ()


def complete(given: Mapping[str, Any] | None, wanted: Wanted) -> Completed:
    """Return the specification for an image, with what is missing; None starts from nothing.

    Raises `DigestUnknown`, `NodeTypeNeeded`, `LoginElsewhere` and `SpecAmiss`.
    """
    said: list[str] = []
    spec: dict[str, Any] = Unshown(given or {})
    if given is None:
        spec["data_security_mode"] = DEDICATED
        if "virtualenv" not in wanted.features:
            spec["spark_conf"] = dict(WITHOUT_PYTHON)
            said.append("spark.databricks.driverNfs.enabled is false: the image has no virtualenv")
    spec["docker_image"] = docker_image(spec.get("docker_image"), wanted, said)
    if not spec.get("spark_version"):
        spec["spark_version"] = spark_version(wanted.runtime)
    if not (spec.get("node_type_id") or spec.get("instance_pool_id")) and (
        wanted.node_type or not spec.get("policy_id")
    ):
        if not wanted.node_type:
            raise errors.NodeTypeNeeded
        spec["node_type_id"] = wanted.node_type
    texts_only(spec, said)
    size(spec, said)
    minutes = spec.get("autotermination_minutes")
    if not isinstance(minutes, int) or minutes < SHORTEST_AUTOTERMINATION:
        if minutes is not None:
            said.append(f"autotermination_minutes is {SHORTEST_AUTOTERMINATION}, not {minutes}")
        spec["autotermination_minutes"] = SHORTEST_AUTOTERMINATION
    if wanted.digest:
        shown = wanted.digest.removeprefix("sha256:")[:DIGEST_SHOWN]
        spec["custom_tags"] = {**(spec.get("custom_tags") or {}), IMAGE_TAG: shown}
    return Completed(spec, tuple(said))


def docker_image(given: Any, wanted: Wanted, said: list[str]) -> dict[str, Any]:
    """Return what the nodes pull, and as whom; raises `DigestUnknown` and `LoginElsewhere`."""
    given = given if isinstance(given, dict) else {}
    named = str(given.get("url") or "")
    image = Unshown({**given, "url": wanted.url})
    if named and named != wanted.url:
        said.append(f"docker_image.url is {wanted.url}, the tested image, not {named}")
    if image.get("basic_auth") and named:
        theirs, ours = registry_of(named), registry_of(wanted.reference)
        if theirs != ours:
            raise errors.LoginElsewhere(theirs, ours)
    if not image.get("basic_auth") and wanted.login is not None:
        user, password = wanted.login
        image["basic_auth"] = Unshown({"username": user, "password": password})
    return image


def registry_of(text: str) -> str:
    """Return the registry that an image's name begins with."""
    return Reference.parse(text).registry


def spark_version(runtime: Runtime) -> str:
    """Return the key of a runtime, the one for the newer Scala; raises `SpecAmiss`."""
    if not runtime.spark_version_keys:
        problem = f"what the clusters API calls runtime {runtime.version} is not known"
        raise errors.SpecAmiss(problem, "Give the cluster's file a spark_version.")
    return runtime.spark_version_keys[-1]


def texts_only(spec: dict[str, Any], said: list[str]) -> None:
    """Make all values of Spark's settings and of variables texts: the API takes nothing else."""
    for name in ("spark_conf", "spark_env_vars", "custom_tags"):
        values = spec.get(name)
        if not isinstance(values, dict):
            continue
        changed = [key for key, value in values.items() if not isinstance(value, str)]
        if changed:
            said.append(f"{name}: the values of {', '.join(map(str, changed))} are written as text")
        spec[name] = {str(key): as_text(value) for key, value in values.items()}


def as_text(value: Any) -> str:
    """Return a value as Spark reads it."""
    return value if isinstance(value, str) else json.dumps(value)


def size(spec: dict[str, Any], said: list[str]) -> None:
    """Make a cluster that names no workers one of a single node, in the form that all take."""
    if spec.get("is_single_node") or spec.get("autoscale") or spec.get("num_workers"):
        return
    spec["num_workers"] = 0
    conf, tags = spec.get("spark_conf") or {}, spec.get("custom_tags") or {}
    missing = [name for name in SINGLE_NODE_CONF if name not in conf]
    missing += [name for name in SINGLE_NODE_TAG if name not in tags]
    if missing:
        spec["spark_conf"] = {**SINGLE_NODE_CONF, **conf}
        spec["custom_tags"] = {**SINGLE_NODE_TAG, **tags}
        said.append(f"one node without workers: {', '.join(missing)} added")
