"""The clusters of the workspace: made, asked for, listed, deleted."""

from __future__ import annotations

import uuid
from itertools import count
from typing import TYPE_CHECKING, Any

from databricks.sdk.service.compute import ClusterDetails

from tests.remote.standin.cluster import Cluster
from tests.remote.standin.files import USER
from tests.remote.standin.lives import Casting, good
from tests.remote.standin.refusals import Refusal, invalid
from tests.remote.standin.specifications import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.remote.standin.clock import Clock
    from tests.remote.standin.files import Files
    from tests.remote.standin.lives import Life
    from tests.remote.standin.nodes import Nodes

PAGE = 100
"""Clusters on a page where nobody says how many."""
TOKEN_LIMIT = 64
"""Characters of an idempotency token."""


class Clusters:
    """All clusters by their id, the removed ones among them."""

    def __init__(self, clock: Clock, files: Files, nodes: Nodes) -> None:
        self.clock = clock
        self.files = files
        self.nodes = nodes
        self.castings: list[Casting] = []
        self.all: dict[str, Cluster] = {}
        self.honours_tokens = False
        """Whether clusters/create knows an `idempotency_token`; nobody has said that it does."""
        self.missing_status = 400
        """With which status a cluster that is not there is refused; 404 has been seen too."""
        self._by_token: dict[str, str] = {}
        self._numbers = count(1)

    def create(
        self, spec: Mapping[str, Any], *, source: str = "API", names: tuple[str, ...] = ()
    ) -> Cluster:
        """Make a cluster of a checked specification; further names are those of its job."""
        token = spec.get("idempotency_token")
        if token and len(token) > TOKEN_LIMIT:
            raise invalid(f"idempotency_token has more than {TOKEN_LIMIT} characters")
        if token and self.honours_tokens and token in self._by_token:
            return self.all[self._by_token[token]]
        identifier = f"1123-{next(self._numbers):06}-{uuid.uuid4().hex[:8]}"
        kept: dict[str, Any] = without_secrets(dict(spec))
        kept.pop("idempotency_token", None)
        life = self._life((str(spec.get("cluster_name", "")), *names), spec)
        if source == "JOB":
            kept["cluster_name"] = names[-1]
        cluster = Cluster(
            identifier, kept, life, clock=self.clock, files=self.files, nodes=self.nodes
        )
        cluster.source = source
        self.all[identifier] = cluster
        if token:
            self._by_token[token] = identifier
        cluster.settle()
        return cluster

    def find(self, identifier: str) -> Cluster:
        """Return a cluster; refuses one that is not there or has been removed."""
        cluster = self.all.get(identifier)
        if cluster is None or cluster.gone:
            codes = {400: "INVALID_PARAMETER_VALUE", 404: "RESOURCE_DOES_NOT_EXIST"}
            message = f"Cluster {identifier} does not exist"
            raise Refusal(self.missing_status, codes[self.missing_status], message)
        return cluster

    def settle(self) -> None:
        """Let all happen that should have happened by now."""
        for cluster in [*self.all.values()]:
            cluster.settle()

    def alive(self) -> list[Cluster]:
        """Return the clusters that cost money at this moment."""
        self.settle()
        return [cluster for cluster in self.all.values() if cluster.alive]

    def describe(self, cluster: Cluster) -> dict[str, Any]:
        """Return what clusters/get answers, with states and codes as they are."""
        spec = cluster.spec
        known = {
            "driver_node_type_id": spec.get("node_type_id"),
            "enable_elastic_disk": False,
            "aws_attributes": {"availability": "SPOT_WITH_FALLBACK", "zone_id": "us-west-2a"},
            **spec,
            "cluster_id": cluster.id,
            "cluster_source": cluster.source,
            "creator_user_name": USER,
            "default_tags": {"Vendor": "Databricks", "ClusterId": cluster.id},
            "spec": spec,
            "start_time": int(cluster.created * 1000),
            "state_message": cluster.message,
        }
        mode = known.get("data_security_mode")
        if mode is None and cluster.source == "JOB":
            mode = known["data_security_mode"] = "SINGLE_USER"
        if mode == "SINGLE_USER":
            known.setdefault("single_user_name", USER)
        if cluster.state == "TERMINATED":
            known["terminated_time"] = int(cluster.state_since * 1000)
        answer = ClusterDetails.from_dict(known).as_dict()
        answer["state"] = cluster.state
        if cluster.reason is not None:
            answer["termination_reason"] = dict(cluster.reason)
        return answer

    def page(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return what clusters/list answers."""
        states = query.get("filter_by.cluster_states")
        sources = query.get("filter_by.cluster_sources")
        found = [
            cluster
            for cluster in reversed(self.all.values())
            if not cluster.gone
            and (states is None or cluster.state in states)
            and (sources is None or cluster.source in sources)
        ]
        size = int(query.get("page_size", [str(PAGE)])[0]) or PAGE
        start = int(query.get("page_token", ["0"])[0] or 0)
        answer: dict[str, Any] = {
            "clusters": [self.describe(each) for each in found[start : start + size]]
        }
        if start + size < len(found):
            answer["next_page_token"] = str(start + size)
        return answer

    def _life(self, names: tuple[str, ...], spec: Mapping[str, Any]) -> Life:
        with_image = bool(spec.get("docker_image"))
        for casting in self.castings:
            if casting.fits(names, with_image=with_image):
                casting.taken += 1
                return casting.life
        return good()
