"""All that the workspace knows."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from databricks.sdk.service.compute import NodeType
from databricks.sdk.service.iam import User

from pytest_dcs import runtimes
from tests.remote.standin import specifications
from tests.remote.standin.clusters import Clusters
from tests.remote.standin.commands import Commands
from tests.remote.standin.files import USER, Files
from tests.remote.standin.runs import Runs

if TYPE_CHECKING:
    from tests.remote.standin.clock import Clock
    from tests.remote.standin.nodes import Nodes

ARM = "is_graviton"
NODE_TYPES: dict[str, dict[str, Any]] = {
    "i3.xlarge": {"memory_mb": 31232, "num_cores": 4.0, "category": "Storage Optimized"},
    "m5.large": {"memory_mb": 8192, "num_cores": 2.0, "category": "General Purpose"},
    "m6gd.large": {"memory_mb": 8192, "num_cores": 2.0, "category": "General Purpose", ARM: True},
    "g4dn.xlarge": {"memory_mb": 16384, "num_cores": 4.0, "category": "GPU", "num_gpus": 1},
    "Standard_DS3_v2": {"memory_mb": 14336, "num_cores": 4.0, "category": "General Purpose"},
    "n2-highmem-4": {"memory_mb": 32768, "num_cores": 4.0, "category": "Memory Optimized"},
}


class State:
    """The workspace: its settings, clusters, runs, contexts and files, behind one lock."""

    def __init__(self, clock: Clock, nodes: Nodes) -> None:
        self.url = ""
        self.token = f"dapi{secrets.token_hex(16)}"
        self.client_secret = secrets.token_hex(16)
        """The secret of the service principal `pytest-dcs`."""
        self.lock = threading.RLock()
        self.clock = clock
        self.conf = {"enableDcs": "true"}
        """Strings, as in the real one; anything but "true" is off."""
        self.is_admin = True
        self.me = User(user_name=USER, id="1", active=True)
        self.node_types = {
            name: NodeType.from_dict(
                {"node_type_id": name, "instance_type_id": name, "description": name, **more}
            )
            for name, more in NODE_TYPES.items()
        }
        self.spark_versions = _spark_versions()
        self.files = Files()
        self.clusters = Clusters(clock, self.files, nodes)
        self.runs = Runs(self.clusters, self.check_spec)
        self.commands = Commands(self.clusters)

    def check_spec(self, spec: Any, where: str = "") -> None:
        """Refuse a specification with which no cluster can be made here."""
        specifications.check(
            spec,
            containers=self.conf["enableDcs"] == "true",
            spark_versions=self.spark_versions,
            node_types=self.node_types,
            where=where,
        )

    def settle(self) -> None:
        """Let all happen that should have happened by now."""
        self.clusters.settle()
        self.runs.settle()


def _spark_versions() -> dict[str, str]:
    """Return the keys of all runtimes and their names, those for machine learning too."""
    found = {}
    for runtime in runtimes.load().runtimes.values():
        for key in runtime.spark_version_keys:
            found[key] = runtime.name
            version, _, scala = key.rpartition("-")
            found[f"{version}-cpu-ml-{scala}"] = f"{runtime.name} ML"
    return found
