"""The files that users have clusters in: specifications, jobs, asset bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs.remote import errors
from pytest_dcs.remote.hiding import Unshown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MARKS = frozenset(
    {
        "autoscale",
        "docker_image",
        "driver_node_type_id",
        "instance_pool_id",
        "node_type_id",
        "num_workers",
        "policy_id",
        "spark_version",
    }
)
"""Fields by any of which an object is a cluster's specification."""

VARIABLE = "${"


def load(source: str) -> dict[str, Any]:
    """Return the specification in `FILE` or `FILE#KEY`; raises `SpecUnusable`."""
    path, key = split(source)
    document = parse(path)
    found = list(specifications_in(document))
    if not found:
        raise errors.SpecUnusable(
            path,
            "it has no cluster",
            "A cluster is an object with node_type_id, spark_version or num_workers, or stands "
            "below job_clusters, tasks or resources.",
        )
    chosen = [each for each in found if key in {each[0], each[0].rpartition("/")[2]}]
    if not key and len(found) == 1:
        chosen = found
    if len(chosen) != 1:
        names = ", ".join(name for name, _ in found)
        problem = f"it has {len(found)} clusters" if not key else f"{key!r} names {len(chosen)}"
        raise errors.SpecUnusable(path, problem, f"Name one behind the file, as #KEY: {names}.")
    spec = chosen[0][1]
    unresolved = next(unresolved_in(spec), "")
    if unresolved:
        raise errors.SpecUnusable(
            path,
            f"{unresolved} is a variable that nobody has replaced",
            "`databricks bundle validate -o json > bundle.json` writes the values; name that file.",
        )
    return Unshown(spec)


def split(source: str) -> tuple[Path, str]:
    """Return the file and the key of `FILE#KEY`; a file may have a `#` in its name."""
    whole = Path(source)
    name, hash_mark, key = source.rpartition("#")
    return (whole, "") if whole.is_file() or not hash_mark else (Path(name), key)


def parse(path: Path) -> Any:
    """Return a file's JSON or YAML; raises `SpecUnusable`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.SpecUnusable(path, reason, "Check the path.") from None
    if path.suffix.lower() not in {".yaml", ".yml"}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise errors.SpecUnusable(path, f"it is not JSON: {error}", "Correct it.") from None
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise errors.SpecUnusable(path, f"it is not YAML: {problem}", "Correct it.") from None


def specifications_in(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the clusters of a specification, a job, or an asset bundle, each with its name."""
    if not isinstance(document, dict):
        return
    resources = document.get("resources")
    if isinstance(resources, dict):
        for name, cluster in objects_in(resources.get("clusters")):
            yield name, cluster
        for job_name, job in objects_in(resources.get("jobs")):
            for name, cluster in clusters_of_job(job):
                yield f"{job_name}/{name}", cluster
        return
    # What clusters/get and jobs/get answer has the request in a field of its own.
    inner = document.get("spec") if "cluster_id" in document else None
    settings = document.get("settings")
    if isinstance(inner, dict):
        yield "spec", inner
    elif isinstance(settings, dict):
        yield from clusters_of_job(settings)
    elif isinstance(document.get("new_cluster"), dict):
        yield "new_cluster", document["new_cluster"]
    elif MARKS & document.keys():
        yield "cluster", document
    else:
        yield from clusters_of_job(document)


def clusters_of_job(job: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the clusters that a job makes."""
    for list_name, key in (("job_clusters", "job_cluster_key"), ("tasks", "task_key")):
        for each in job.get(list_name) or ():
            if isinstance(each, dict) and isinstance(each.get("new_cluster"), dict):
                yield str(each.get(key, list_name)), each["new_cluster"]


def objects_in(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of an object, by their names."""
    if isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, dict):
                yield str(name), each


def unresolved_in(value: Any) -> Iterator[str]:
    """Yield the variables of an asset bundle that stand in a JSON value."""
    if isinstance(value, str) and VARIABLE in value:
        yield value[value.index(VARIABLE) :].partition("}")[0] + "}"
    if isinstance(value, dict):
        for each in value.values():
            yield from unresolved_in(each)
    if isinstance(value, list):
        for each in value:
            yield from unresolved_in(each)
