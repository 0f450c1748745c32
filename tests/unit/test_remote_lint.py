from __future__ import annotations

from typing import Any

import pytest

from pytest_dcs.remote import errors, lint
from pytest_dcs.runtimes import load

RUNTIME = load().find("15.4")
GOOD: dict[str, Any] = {"spark_version": "15.4.x-scala2.12", "node_type_id": "i3.xlarge"}
ON_DBFS = {"dbfs": {"destination": "dbfs:/setup.sh"}}
IN_VOLUME = {"volumes": {"destination": "/Volumes/main/default/scripts/setup.sh"}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spark_version": "15.4.x-photon-scala2.12"},
        {"data_security_mode": "SINGLE_USER"},
        {"data_security_mode": "DATA_SECURITY_MODE_DEDICATED"},
        {"data_security_mode": "NONE"},
        {"data_security_mode": "DATA_SECURITY_MODE_AUTO"},
        {"init_scripts": [{"file": {"destination": "file:/opt/setup.sh"}}, ON_DBFS, IN_VOLUME]},
    ],
)
def test_a_good_specification_is_launched(changes: dict[str, Any]) -> None:
    lint.refuse({**GOOD, **changes}, RUNTIME)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spark_version": "15.4.x-cpu-ml-scala2.12"}, "Runtime ML"),
        ({"use_ml_runtime": True}, "Runtime ML"),
        ({"spark_version": "15.4.x-aarch64-scala2.12"}, "amd64 only"),
        ({"spark_version": "16.4.x-scala2.12"}, "tested for 15.4"),
        ({"spark_version": "5.4.x-scala2.11"}, "tested for 15.4"),
        ({"data_security_mode": "USER_ISOLATION"}, "shared access"),
        ({"data_security_mode": "DATA_SECURITY_MODE_STANDARD"}, "shared access"),
        ({"node_type_id": "m6gd.large"}, "AWS Graviton"),
        ({"driver_node_type_id": "Standard_D4ps_v6"}, "Azure Cobalt"),
        ({"init_scripts": [{}]}, "has none"),
        ({"init_scripts": [{**ON_DBFS, **IN_VOLUME}]}, "has dbfs and volumes"),
        ({"init_scripts": [{"ftp": {"destination": "x"}}]}, "has ftp"),
        ({"init_scripts": [{"workspace": {}}]}, "no destination"),
        ({"init_scripts": "setup.sh"}, "no list"),
    ],
)
def test_what_no_workspace_would_launch_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.SpecAmiss, match=said):
        lint.refuse({**GOOD, **changes}, RUNTIME)


@pytest.mark.parametrize(
    "node_type",
    [
        "m6g.large", "r6gd.xlarge", "c7gn.2xlarge", "c6gn.large", "x2gd.large", "t4g.medium",
        "im4gn.large", "is4gen.large", "a1.large", "g5g.xlarge", "m8g.large", "rgd-fleet.xlarge",
        "Standard_D4ps_v5", "Standard_E8pds_v6", "Standard_D2plds_v5", "Standard_E4-2pds_v6",
        "c4a-standard-4", "t2a-standard-4", "n4a-highmem-8", "a4x-highgpu-4g",
    ],
)  # fmt: skip
def test_arm_nodes_are_known_by_their_names(node_type: str) -> None:
    assert lint.arm_processor(node_type)


@pytest.mark.parametrize(
    "node_type",
    [
        "i3.xlarge", "m5.large", "m6id.large", "r6i.large", "g4dn.xlarge", "g5.xlarge",
        "p4d.24xlarge", "m5zn.large", "c5.large", "m-fleet.xlarge", "rd-fleet.xlarge", "i4i.large",
        "Standard_DS3_v2", "Standard_D4ds_v5", "Standard_E8as_v4", "Standard_NC24ads_A100_v4",
        "Standard_NP10s", "Standard_L8s_v3", "Standard_F4", "Standard_NC4as_T4_v3",
        "n2-highmem-4", "c3-standard-4", "a2-highgpu-1g", "e2-standard-8", "n2d-standard-4", "",
    ],
)  # fmt: skip
def test_amd64_nodes_are_not_taken_for_arm(node_type: str) -> None:
    assert not lint.arm_processor(node_type)


ENABLED = {"spark.databricks.unityCatalog.volumes.enabled": "true"}


@pytest.mark.parametrize(
    ("spec", "subjects"),
    [
        ({}, []),
        ({"init_scripts": [IN_VOLUME]}, [f"init script {IN_VOLUME['volumes']['destination']}"]),
        ({"init_scripts": [IN_VOLUME], "spark_conf": ENABLED}, []),
        ({"cluster_log_conf": {"volumes": {"destination": "/Volumes/a"}}}, ["cluster_log_conf"]),
        ({"spark_env_vars": {"MODELS": "/Volumes/main/models"}}, ["spark_env_vars"]),
        ({"spark_conf": {"x": "/Volumes/y"}}, ["spark_conf"]),
    ],
)
def test_volumes_need_a_setting(spec: dict[str, Any], subjects: list[str]) -> None:
    assert [item.subject for item in lint.unset_volumes(spec)] == subjects


def test_a_password_is_found_and_not_shown() -> None:
    login = {"username": "robot", "password": "hunter2"}
    (item,) = lint.literal_passwords({"docker_image": {"basic_auth": login}})
    assert "hunter2" not in str(item)
    secret = {**login, "password": "{{secrets/dcs/registry}}"}
    assert not list(lint.literal_passwords({"docker_image": {"basic_auth": secret}}))
    assert not list(lint.literal_passwords({}))


def test_an_automatic_access_mode_is_found() -> None:
    assert list(lint.automatic_access({"data_security_mode": "DATA_SECURITY_MODE_AUTO"}))
    assert not list(lint.automatic_access({"data_security_mode": "SINGLE_USER"}))


def test_init_scripts_on_dbfs_are_found() -> None:
    (item,) = lint.legacy_scripts({"init_scripts": [IN_VOLUME, ON_DBFS]})
    assert item.subject == "init script dbfs:/setup.sh"


def test_jname_is_compared_with_the_runtime() -> None:
    assert RUNTIME.jname
    (item,) = lint.foreign_jname({"spark_env_vars": {"JNAME": "zulu7-ca-amd64"}}, RUNTIME)
    assert RUNTIME.jname[0] in item.needed
    assert not list(lint.foreign_jname({"spark_env_vars": {"JNAME": RUNTIME.jname[0]}}, RUNTIME))
    assert not list(lint.foreign_jname({}, RUNTIME))
