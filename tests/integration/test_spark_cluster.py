"""Spark on a cluster of containers: every node does its part, and one that is lost is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import spark_cluster
from pytest_dcs.checks.spark_cluster import idle_or_lost
from pytest_dcs.launch_request import SPARK

from .launching import launched

if TYPE_CHECKING:
    from pytest_dcs.engines.docker import DockerEngine

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker


def test_every_stage_passes_with_tasks_on_both_workers(
    engine: DockerEngine, docker_command: DockerCommand, python_image: str
) -> None:
    volumes = docker_command("volume", "ls", "--quiet")
    with launched(engine, python_image, "python", SPARK, spark_mode="cluster") as launch:
        smoke = launch.spark_smoke()
        assert {stage.outcome for stage in smoke.stages} == {"passed"}
        assert smoke.facts["executors"] == [*spark_cluster.WORKER_HOSTS]
        assert launch.cluster is not None
        assert launch.cluster.is_whole
        assert not list(idle_or_lost(smoke, launch.cluster))
        assert "Registered app pytest-dcs" in launch.cluster.log()
    assert docker_command("volume", "ls", "--quiet") == volumes


def test_a_worker_whose_container_is_removed_is_named(
    engine: DockerEngine, docker_command: DockerCommand, python_image: str
) -> None:
    with launched(engine, python_image, "python", SPARK, spark_mode="cluster") as launch:
        assert launch.cluster is not None
        victim = launch.cluster.daemons[-1]
        docker_command("rm", "--force", victim.container.name)
        smoke = launch.spark_smoke()
        found = list(idle_or_lost(smoke, launch.cluster))
        assert [item.subject for item in found] == [f"node {victim.host}"]
        assert "signal 9" in found[0].found
        assert f"--- {victim.host}" in smoke.log


def test_workers_whose_jvm_does_not_start_are_named_with_what_they_wrote(
    engine: DockerEngine, python_image: str
) -> None:
    environment = {"SPARK_WORKER_OPTS": "-XX:+NoSuchOption"}
    with launched(
        engine, python_image, "python", SPARK, spark_mode="cluster", environment=environment
    ) as launch:
        assert launch.cluster is not None
        smoke = launch.spark_smoke()
        found = list(idle_or_lost(smoke, launch.cluster))
        assert [item.subject for item in found] == [
            f"node {host}" for host in spark_cluster.WORKER_HOSTS
        ]
        assert all("NoSuchOption" in item.found for item in found)
        assert smoke.stage("start").outcome == "failed"
