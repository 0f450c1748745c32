"""What the service itself demands of a cluster's specification, beyond its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from databricks.sdk.service.compute import ClusterSpec

from tests.remote.standin.refusals import BAD_REQUEST, Refusal, invalid, malformed
from tests.remote.standin.schema import problems_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CONTAINERS_OFF = (
    "Custom containers is turned off for your deployment. Please contact your workspace "
    "administrator to use this feature."
)
SHARED_MODES = frozenset({"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD", "LEGACY_TABLE_ACL"})
AUTOTERMINATION = range(10, 10_001)
MOST_TAGS = 45
MOST_KEYS = 10
HIDDEN = "(hidden)"


def check(
    spec: Any,
    *,
    containers: bool,
    spark_versions: Collection[str],
    node_types: Collection[str],
    where: str = "",
) -> None:
    """Refuse a specification with which no cluster can be made."""
    problems = problems_of(ClusterSpec, spec, where)
    if problems:
        raise malformed("; ".join(problems))
    if spec.get("docker_image") and not containers:
        raise Refusal(BAD_REQUEST, "INVALID_PARAMETER_VALUE", CONTAINERS_OFF)
    faults = [
        *_faults_of_machines(spec, spark_versions, node_types),
        *_faults_of_sizes(spec),
        *_faults_of_places(spec),
        *(_faults_of_image(spec) if spec.get("docker_image") else ()),
    ]
    if faults:
        raise invalid("; ".join(faults))


def _faults_of_machines(
    spec: Mapping[str, Any], spark_versions: Collection[str], node_types: Collection[str]
) -> Iterator[str]:
    version = spec.get("spark_version")
    if not version:
        yield "Missing required field: spark_version"
    elif version not in spark_versions:
        yield f"Invalid spark version {version}"
    node_type, pool = spec.get("node_type_id"), spec.get("instance_pool_id")
    if node_type and pool:
        yield "node_type_id cannot be specified when an instance pool ID is specified"
    elif not (node_type or pool or spec.get("policy_id")):
        yield "Either node_type_id or instance_pool_id must be specified"
    for key in ("node_type_id", "driver_node_type_id"):
        if spec.get(key) and spec[key] not in node_types:
            yield f"Node type {spec[key]} is not supported"


def _faults_of_sizes(spec: Mapping[str, Any]) -> Iterator[str]:
    if not spec.get("kind"):
        for key in ("is_single_node", "use_ml_runtime"):
            if spec.get(key) is not None:
                yield f"{key} can only be used when kind is set"
    sizes = [key for key in ("num_workers", "autoscale") if spec.get(key) is not None]
    if len(sizes) != 1 and not (not sizes and spec.get("is_single_node")):
        yield "Exactly one of num_workers and autoscale must be specified"
    minutes = spec.get("autotermination_minutes")
    if minutes and minutes not in AUTOTERMINATION:
        yield f"autotermination_minutes must be 0 or between 10 and 10000, not {minutes}"
    if len(spec.get("custom_tags") or {}) > MOST_TAGS:
        yield f"at most {MOST_TAGS} custom_tags"
    if len(spec.get("ssh_public_keys") or []) > MOST_KEYS:
        yield f"at most {MOST_KEYS} ssh_public_keys"


def _faults_of_places(spec: Mapping[str, Any]) -> Iterator[str]:
    for script in spec.get("init_scripts") or []:
        if len(script) != 1:
            yield f"an init script has exactly one place, not {', '.join(script) or 'none'}"
        for place in script.values():
            if not place.get("destination"):
                yield "an init script's place has a destination"
    log = spec.get("cluster_log_conf")
    if log is not None and len(log) != 1:
        yield "cluster_log_conf has exactly one place"


def _faults_of_image(spec: Mapping[str, Any]) -> Iterator[str]:
    image = spec["docker_image"]
    if not image.get("url"):
        yield "docker_image.url is required"
    access = image.get("basic_auth")
    if access is not None and not (access.get("username") and access.get("password")):
        yield "docker_image.basic_auth needs a username and a password"
    if spec.get("data_security_mode") in SHARED_MODES:
        yield (
            "Custom containers are not supported with data_security_mode "
            f"{spec['data_security_mode']}"
        )
    if "-ml-" in str(spec.get("spark_version")) or spec.get("use_ml_runtime"):
        yield "Custom containers are not supported with Databricks Runtime for Machine Learning"


def without_secrets(body: Any) -> Any:
    """Return JSON in which no password stands; a reference to a secret is none."""
    if isinstance(body, dict):
        return {
            key: HIDDEN
            if key == "password" and not str(value).startswith("{{secrets/")
            else without_secrets(value)
            for key, value in body.items()
        }
    if isinstance(body, list):
        return [without_secrets(each) for each in body]
    return body
