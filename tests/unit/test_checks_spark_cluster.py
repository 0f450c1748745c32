from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_dcs.checks import spark_cluster
from pytest_dcs.spark_cluster import MASTER_HOST, WORKER_HOSTS
from pytest_dcs.stages import Smoke, Stage

from .fake_host import finding_of

STARTED = (Stage("start", "passed"),)


def daemon(host: str, ended: str = "") -> Any:
    return SimpleNamespace(host=host, ended=ended, told=["Unrecognized VM option 'PrintGCDetails'"])


def cluster_with(*daemons: Any) -> Any:
    others = [daemon(host) for host in (MASTER_HOST, *WORKER_HOSTS)]
    named = {each.host: each for each in (*others, *daemons)}
    return SimpleNamespace(daemons=list(named.values()), workers=WORKER_HOSTS)


def smoke_with(**facts: Any) -> Smoke:
    return Smoke(STARTED, log="", facts=facts)


def test_a_whole_cluster_whose_workers_all_came_is_no_finding() -> None:
    whole = cluster_with()
    spark_cluster.test_workers_do_their_part(smoke_with(executors=[*WORKER_HOSTS]), whole)
    spark_cluster.test_workers_do_their_part(smoke_with(), whole)


def test_a_worker_without_an_executor_is_found_with_what_it_wrote() -> None:
    smoke = smoke_with(executors=[WORKER_HOSTS[0]])
    found = finding_of(spark_cluster.test_workers_do_their_part, smoke, cluster_with())
    assert found == f"worker {WORKER_HOSTS[1]}: found no executor; it wrote last:"


def test_a_node_that_has_ended_is_found_with_its_end() -> None:
    lost = cluster_with(daemon(MASTER_HOST, ended="died with status 1"))
    smoke = smoke_with(executors=[*WORKER_HOSTS])
    found = finding_of(spark_cluster.test_workers_do_their_part, smoke, lost)
    assert found == f"node {MASTER_HOST}: found died with status 1"
