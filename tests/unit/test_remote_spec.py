from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.remote import errors
from pytest_dcs.remote.spec import Wanted, complete
from pytest_dcs.remote.spec_files import load
from pytest_dcs.runtimes import load as load_runtimes

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = frozenset({"jvm", "python", "virtualenv"})
DIGEST = "sha256:" + "1f3c" * 16
CLUSTER = {"node_type_id": "i3.xlarge", "num_workers": 2}
OTHER = {"node_type_id": "m5.large", "num_workers": 1}
JOB = {
    "name": "nightly",
    "job_clusters": [{"job_cluster_key": "main", "new_cluster": CLUSTER}],
    "tasks": [{"task_key": "load", "job_cluster_key": "main"}],
}
BUNDLE = """
bundle: {name: shop}
resources:
  jobs:
    nightly:
      job_clusters:
        - job_cluster_key: main
          new_cluster: {node_type_id: i3.xlarge, num_workers: 2}
      tasks:
        - task_key: load
          new_cluster: {node_type_id: m5.large, num_workers: 1}
  clusters:
    shared: {node_type_id: r5.large, num_workers: 3}
"""


def wanted(**changes: Any) -> Wanted:
    values: dict[str, Any] = {
        "reference": "acme/ml:1.4",
        "digest": DIGEST,
        "runtime": load_runtimes().find("15.4"),
        "features": PYTHON,
        "node_type": "i3.xlarge",
    }
    return Wanted(**{**values, **changes})


def write(folder: Path, document: Any, name: str = "cluster.json") -> str:
    path = folder / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    "document",
    [
        CLUSTER,
        {"new_cluster": CLUSTER},
        JOB,
        {"job_id": 1, "settings": JOB},
        {"tasks": [{"task_key": "load", "new_cluster": CLUSTER}]},
        {"resources": {"clusters": {"shared": CLUSTER}}},
        {"cluster_id": "1123-1", "state": "RUNNING", "spec": CLUSTER, **OTHER},
    ],
)
def test_a_cluster_is_found_wherever_it_stands(tmp_path: Path, document: Any) -> None:
    assert load(write(tmp_path, document)) == CLUSTER


@pytest.mark.parametrize(
    ("key", "node_type"),
    [("main", "i3.xlarge"), ("nightly/load", "m5.large"), ("shared", "r5.large")],
)
def test_a_bundle_has_clusters_by_name(tmp_path: Path, key: str, node_type: str) -> None:
    file = write(tmp_path, BUNDLE, "databricks.yml")
    assert load(f"{file}#{key}")["node_type_id"] == node_type


@pytest.mark.parametrize("key", ["", "#nobody"])
def test_several_clusters_are_named_in_the_message(tmp_path: Path, key: str) -> None:
    with pytest.raises(errors.SpecUnusable, match="shared, nightly/main, nightly/load"):
        load(write(tmp_path, BUNDLE, "databricks.yml") + key)


def test_a_file_may_have_a_hash_mark_in_its_name(tmp_path: Path) -> None:
    assert load(write(tmp_path, CLUSTER, "cluster#1.json")) == CLUSTER


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("c.json", "{", "it is not JSON"),
        ("c.json", "[" * 100_000, "it is not JSON"),
        ("c.yaml", "a: [", "it is not YAML"),
        ("c.yaml", "!!python/object/apply:os.getcwd []", "it is not YAML"),
        ("c.json", "[]", "it has no cluster"),
        ("c.json", "{}", "it has no cluster"),
        ("c.json", '{"resources": {"jobs": []}}', "it has no cluster"),
        ("c.json", '{"node_type_id": "${var.node}"}', r"\$\{var.node\} is a variable"),
    ],
)
def test_a_file_without_a_cluster_says_why(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(errors.SpecUnusable, match=said):
        load(write(tmp_path, text, name))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(errors.SpecUnusable, match="No such file"):
        load(str(tmp_path / "none.json"))


def test_a_node_type_is_all_that_is_needed() -> None:
    completed = complete(None, wanted())
    assert completed.spec == {
        "data_security_mode": "SINGLE_USER",
        "docker_image": {"url": "acme/ml:1.4"},
        "spark_version": "15.4.x-scala2.12",
        "node_type_id": "i3.xlarge",
        "num_workers": 0,
        "spark_conf": {
            "spark.databricks.cluster.profile": "singleNode",
            "spark.master": "local[*]",
        },
        "custom_tags": {"ResourceClass": "SingleNode", "pytest-dcs-image": "1f3c1f3c1f3c"},
        "autotermination_minutes": 10,
    }


def test_a_specification_is_kept_as_it_is() -> None:
    given = {**CLUSTER, "spark_version": "15.4.x-photon-scala2.12", "autotermination_minutes": 30}
    completed = complete(given, wanted(digest=None))
    assert completed.spec == {**given, "docker_image": {"url": "acme/ml:1.4"}}
    assert completed.said == ()


@pytest.mark.parametrize("place", [{"instance_pool_id": "p-1"}, {"policy_id": "ABC"}])
def test_a_pool_or_a_policy_needs_no_node_type(place: dict[str, str]) -> None:
    assert "node_type_id" not in complete(place, wanted(node_type="")).spec


def test_without_any_machine_nothing_is_launched() -> None:
    with pytest.raises(errors.NodeTypeNeeded):
        complete({"num_workers": 0}, wanted(node_type=""))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"num_workers": 0}, "one node without workers"),
        ({"autotermination_minutes": 0}, "autotermination_minutes is 10, not 0"),
        ({"docker_image": {"url": "acme/ml:old"}}, "not acme/ml:old"),
        ({"spark_conf": {"spark.speculation": True}}, "spark.speculation are written as text"),
    ],
)
def test_what_is_changed_is_said(given: dict[str, Any], said: str) -> None:
    assert said in "\n".join(complete({**CLUSTER, **given}, wanted()).said)


def test_settings_are_written_as_spark_reads_them() -> None:
    given = {**CLUSTER, "spark_conf": {"a": True, "b": 4, "c": "x"}, "spark_env_vars": {"D": 1}}
    spec = complete(given, wanted()).spec
    assert spec["spark_conf"] == {"a": "true", "b": "4", "c": "x"}
    assert spec["spark_env_vars"] == {"D": "1"}


def test_an_image_can_be_pulled_by_its_digest() -> None:
    spec = complete(None, wanted(by_digest=True)).spec
    assert spec["docker_image"]["url"] == f"acme/ml:1.4@{DIGEST}"
    with pytest.raises(errors.DigestUnknown):
        complete(None, wanted(by_digest=True, digest=None))


def test_a_login_comes_from_the_variables_where_the_file_has_none() -> None:
    spec = complete(None, wanted(login=("robot", "hunter2"))).spec
    assert spec["docker_image"]["basic_auth"] == {"username": "robot", "password": "hunter2"}
    assert "hunter2" not in repr(spec)


def test_a_login_of_the_file_goes_to_no_other_registry() -> None:
    login = {"username": "robot", "password": "{{secrets/dcs/registry}}"}
    image = {"url": "old.azurecr.io/acme/ml:1", "basic_auth": login}
    with pytest.raises(errors.LoginElsewhere, match=r"old\.azurecr\.io"):
        complete({**CLUSTER, "docker_image": image}, wanted(login=("me", "mine")))
    same = {**CLUSTER, "docker_image": {**image, "url": "acme/ml:1.3"}}
    spec = complete(same, wanted(login=("me", "mine"))).spec
    assert spec["docker_image"] == {"url": "acme/ml:1.4", "basic_auth": login}


def test_an_image_without_virtualenv_gets_what_it_needs() -> None:
    spec = complete(None, wanted(features=frozenset({"jvm"}))).spec
    assert spec["spark_conf"]["spark.databricks.driverNfs.enabled"] == "false"


def test_a_runtime_with_several_scalas_is_taken_with_the_newest() -> None:
    spec = complete(None, wanted(runtime=load_runtimes().find("16.4"))).spec
    assert spec["spark_version"] == "16.4.x-scala2.13"
