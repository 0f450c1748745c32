"""SPK: what only shows when Spark's tasks run on other nodes than the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.checks.spark import NEEDS_OF_SPARK
from pytest_dcs.rules import Item, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.spark_cluster import SparkCluster
    from pytest_dcs.stages import Smoke


@rule(
    "SPK018",
    "workers-do-their-part",
    level="fail",
    effect="disables-feature",
    feature="jvm",
    where="container",
    requires=NEEDS_OF_SPARK,
    step="cluster",
    sources=(
        "https://spark.apache.org/docs/latest/spark-standalone.html",
        "https://github.com/dmlc/xgboost/issues/2974",
    ),
)
def test_workers_do_their_part(dcs_spark_smoke: Smoke, dcs_spark_cluster: SparkCluster) -> None:
    """Every node is a container of the image of its own: a worker has to find the master and the
    driver by name, register, start an executor with the image's JDK, and live as long as the job.
    A cluster whose workers do not come is green and answers no query: "Initial job has not accepted
    any resources; check your cluster UI to ensure that workers are registered".

    Fix: the log of the node that is named tells the cause; most often names do not resolve: keep
    `hosts: files dns` in /etc/nsswitch.conf. Where a node was killed, see the machine's memory.
    """
    require_none(idle_or_lost(dcs_spark_smoke, dcs_spark_cluster))


def idle_or_lost(smoke: Smoke, cluster: SparkCluster) -> Iterator[Item]:
    """Yield the nodes that have ended, and the workers that have sent no executor."""
    seen = smoke.facts.get("executors", cluster.workers)
    for daemon in cluster.daemons:
        if daemon.ended:
            found = "\n".join([daemon.ended, *daemon.told])
            yield Item(f"node {daemon.host}", found, "it runs to the end")
        elif daemon.host in cluster.workers and daemon.host not in seen:
            found = "\n".join(["no executor; it wrote last:", *daemon.told])
            yield Item(f"worker {daemon.host}", found, "an executor that the driver sees")
