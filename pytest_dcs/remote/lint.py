"""What is wrong with a cluster's specification, said before it costs anything."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import errors
from pytest_dcs.remote.evidence import SCRIPT_KINDS
from pytest_dcs.remote.hiding import REFERENCE
from pytest_dcs.rules import Item
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.runtimes import Runtime

DATA = Path(__file__).with_name("nodes.toml")
SHARED = frozenset({"USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD", "LEGACY_TABLE_ACL"})
"""Access modes in which several users share a cluster."""
AUTOMATIC = "DATA_SECURITY_MODE_AUTO"
MACHINE_LEARNING = re.compile(r"-ml-|-ml$|-gpu-ml")
ARM_RUNTIME = "-aarch64-"
VOLUMES = "/Volumes/"
VOLUMES_CONF = "spark.databricks.unityCatalog.volumes.enabled"
PROFILE_PLACES = ("cluster_log_conf", "spark_conf", "spark_env_vars")
JNAME = "JNAME"


def refuse(spec: Mapping[str, Any], runtime: Runtime) -> None:
    """Raise `SpecAmiss` for a specification with which nothing can be launched."""
    for problem, next_step in obstacles(spec, runtime):
        raise errors.SpecAmiss(problem, next_step)


def obstacles(spec: Mapping[str, Any], runtime: Runtime) -> Iterator[tuple[str, str]]:
    """Yield what keeps a specification from being launched with an image, and what to do."""
    version = str(spec.get("spark_version", ""))
    if MACHINE_LEARNING.search(version) or spec.get("use_ml_runtime"):
        yield (
            "it asks for Databricks Runtime ML, which does not support Container Services",
            f"Take the standard runtime: {', '.join(runtime.spark_version_keys)}.",
        )
    elif ARM_RUNTIME in version:
        yield (
            f"its spark_version is {version}, and Container Services runs on amd64 only",
            f"Take {', '.join(runtime.spark_version_keys)}.",
        )
    elif not is_of(version, runtime):
        yield (
            f"its spark_version is {version}, and the image is tested for {runtime.version}",
            "Name the same runtime with --dcs-runtime, or leave spark_version out.",
        )
    mode = spec.get("data_security_mode")
    if mode in SHARED:
        yield (
            f"its data_security_mode is {mode}: shared access does not support Container Services",
            "Set it to SINGLE_USER.",
        )
    for field in ("node_type_id", "driver_node_type_id"):
        name = str(spec.get(field) or "")
        processor = arm_processor(name)
        if processor:
            yield (
                f"its {field} is {name} ({processor}), and Container Services runs on amd64 only",
                "Take a node type with Intel or AMD processors.",
            )
    yield from obstacles_of_scripts(spec)


def obstacles_of_scripts(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the init scripts that the API would not take."""
    form = '`{"workspace": {"destination": "/Shared/setup.sh"}}`, each of one kind.'
    scripts = spec.get("init_scripts") or []
    if not isinstance(scripts, list):
        yield "its init_scripts are no list", f"Write a list of {form}"
        return
    for number, script in enumerate(scripts, 1):
        kinds = list(script) if isinstance(script, dict) else []
        if len(kinds) != 1 or kinds[0] not in SCRIPT_KINDS:
            found = " and ".join(map(str, kinds)) or "none"
            known = ", ".join(SCRIPT_KINDS)
            yield (
                f"init script {number} has to have one kind ({known}), and has {found}",
                f"Write it as {form}",
            )
        elif not destination_of(script):
            yield f"init script {number} has no destination", f"Write it as {form}"


def is_of(version: str, runtime: Runtime) -> bool:
    """Tell whether a key of the clusters API is of a runtime; Photon's and others' are as well."""
    beginnings = {key.partition("-")[0] for key in runtime.spark_version_keys}
    beginnings |= {f"{name}.x" for name in (runtime.version, *runtime.aliases)}
    return version.partition("-")[0] in beginnings or version in runtime.spark_version_keys


@cache
def arm_patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return the processors that are not amd64, and the node types that have them."""
    return tuple((each["name"], re.compile(each["pattern"])) for each in read_toml(DATA)["arm"])


def arm_processor(node_type: str) -> str:
    """Return what processor a node type has that no image runs on, empty for all others."""
    return next((name for name, pattern in arm_patterns() if pattern.fullmatch(node_type)), "")


def destination_of(script: Mapping[str, Any]) -> str:
    """Return where an init script lies."""
    place = next(iter(script.values()), None)
    return str(place.get("destination") or "") if isinstance(place, dict) else ""


def unset_volumes(spec: Mapping[str, Any]) -> Iterator[Item]:
    """Yield what names a volume although volumes are not enabled."""
    conf = spec.get("spark_conf") or {}
    if str(conf.get(VOLUMES_CONF, "")).lower() == "true":
        return
    users = [
        f"init script {destination_of(script)}"
        for script in spec.get("init_scripts") or ()
        if destination_of(script).startswith(VOLUMES)
    ]
    users += [place for place in PROFILE_PLACES if names_volume(spec.get(place))]
    for user in users:
        found = conf.get(VOLUMES_CONF, "no such setting")
        yield Item(user, f"{VOLUMES_CONF}: {found}", "true, for what lies in a volume")


def names_volume(value: Any) -> bool:
    """Tell whether a JSON value has a path below /Volumes in it."""
    if isinstance(value, dict):
        return any(map(names_volume, value.values()))
    return isinstance(value, str) and VOLUMES in value


def literal_passwords(spec: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the registry's password where it stands there itself, without showing it."""
    login = (spec.get("docker_image") or {}).get("basic_auth") or {}
    password = login.get("password")
    if password and not str(password).startswith(REFERENCE):
        yield Item(
            "docker_image.basic_auth.password",
            "the password itself",
            "a secret of the workspace, {{secrets/SCOPE/KEY}}",
        )


def automatic_access(spec: Mapping[str, Any]) -> Iterator[Item]:
    """Yield an access mode that may turn out to be the shared one."""
    if spec.get("data_security_mode") == AUTOMATIC:
        yield Item("data_security_mode", AUTOMATIC, "SINGLE_USER")


def legacy_scripts(spec: Mapping[str, Any]) -> Iterator[Item]:
    """Yield the init scripts that lie on DBFS."""
    for script in spec.get("init_scripts") or ():
        if "dbfs" in script:
            yield Item(
                f"init script {destination_of(script)}",
                "on DBFS, whose init scripts are at the end of their life",
                "a workspace file, a volume or a file of the image",
            )


def foreign_jname(spec: Mapping[str, Any], runtime: Runtime) -> Iterator[Item]:
    """Yield a value of JNAME that selects no JDK of the runtime's."""
    name = (spec.get("spark_env_vars") or {}).get(JNAME)
    if name and runtime.jname and name not in runtime.jname:
        yield Item(f"{JNAME} in spark_env_vars", str(name), f"one of {', '.join(runtime.jname)}")
