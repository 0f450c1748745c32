"""What tests hold of the workspace: where it is, what shall happen in it, and what did."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.remote.standin.clock import Clock
from tests.remote.standin.faults import Fault, Kind
from tests.remote.standin.lives import Casting, Life
from tests.remote.standin.nodes import AnsweredNodes, Nodes
from tests.remote.standin.server import CLIENT_ID, Server
from tests.remote.standin.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.remote.standin.cluster import Cluster
    from tests.remote.standin.files import Files
    from tests.remote.standin.requests import Recorded
    from tests.remote.standin.run import Run

ARRIVAL_TIMEOUT = 60.0


class Workspace:
    """A workspace that answers at `url` until it is closed.

    `nodes` are what clusters run on: by default a test's functions answer for them, `DockerNodes`
    are containers. The clock goes `speed` times as fast as the real one.
    """

    def __init__(self, nodes: Nodes | None = None, *, port: int = 0, speed: float = 1.0) -> None:
        self.nodes: Nodes = nodes if nodes is not None else AnsweredNodes()
        self.clock = Clock(speed)
        self.state = State(self.clock, self.nodes)
        self.server = Server(self.state, port)
        self.may_leave: set[str] = set()
        """Ids of clusters of which a test says itself that they stay alive."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.state.url

    @property
    def token(self) -> str:
        """The one token that it takes."""
        return self.state.token

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables by which the SDK finds it, and nothing else; also from behind a proxy."""
        return {
            "DATABRICKS_HOST": self.url,
            "DATABRICKS_TOKEN": self.token,
            "DATABRICKS_CONFIG_FILE": "/nonexistent/databrickscfg",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }

    @property
    def principal_environment(self) -> Mapping[str, str]:
        """The same for a service principal, who has no token but gets one."""
        others = {key: self.environment[key] for key in self.environment if "TOKEN" not in key}
        return {
            **others,
            "DATABRICKS_CLIENT_ID": CLIENT_ID,
            "DATABRICKS_CLIENT_SECRET": self.state.client_secret,
        }

    @property
    def clusters(self) -> list[Cluster]:
        """All clusters in the order in which they were made, moved on to this moment."""
        with self.state.lock:
            self.state.settle()
            return [*self.state.clusters.all.values()]

    @property
    def alive(self) -> list[Cluster]:
        """Those of them that cost money."""
        return [cluster for cluster in self.clusters if cluster.alive]

    @property
    def runs(self) -> list[Run]:
        """All runs of jobs in the order in which they were submitted."""
        with self.state.lock:
            self.state.settle()
            return [*self.state.runs.all.values()]

    @property
    def files(self) -> Files:
        """What was laid into the workspace; `files.left()` is what is still there."""
        return self.state.files

    def script(
        self,
        life: Life,
        *,
        name: str = "*",
        with_image: bool | None = None,
        times: int | None = None,
    ) -> None:
        """Give a life to the clusters to come: all, or so many of those that fit.

        What was scripted first is looked at first, so `times=1` twice is one after the other.
        `with_image=False` is a launch without the image, to compare with.
        """
        self.state.clusters.castings.append(Casting(life, name, with_image, times))

    def fault(self, method: str, path: str, kind: Kind, **more: Any) -> Fault:
        """Let requests meet a fault: `fault("POST", "*/clusters/create", "dropped")`.

        `on=2` is the second such request, `times` how many from that on; `status` and `retry_after`
        are for the kind "status". Requests are counted from now on.
        """
        fault = Fault(method, path, kind, **more)
        self.server.faults.append(fault)
        return fault

    def count(self, method: str, path_end: str) -> int:
        """Return how many such requests have come."""
        return sum(each.method == method and each.path.endswith(path_end) for each in self.requests)

    def wait_for(self, method: str, path_end: str, count: int = 1) -> None:
        """Wait until so many such requests have come; raises `TimeoutError`."""
        with self.server.arrived:
            came = self.server.arrived.wait_for(
                lambda: self.count(method, path_end) >= count, ARRIVAL_TIMEOUT
            )
        if not came:
            message = f"no {method} {path_end}; there came {[r.path for r in self.requests]}"
            raise TimeoutError(message)

    @property
    def requests(self) -> list[Recorded]:
        """All requests so far, in their order, without what is secret."""
        return [*self.server.requests]

    def set_containers(self, value: str) -> None:
        """Turn custom containers on with "true" and off with anything else."""
        self.state.conf["enableDcs"] = value

    def complaints(self) -> list[str]:
        """Return what no test may do: ask the unknown, leave a cluster alive."""
        left = [cluster for cluster in self.alive if cluster.id not in self.may_leave]
        return [
            *(f"unknown request: {each}" for each in self.server.unknown),
            *(f"the stand-in has failed: {each!r}" for each in self.server.crashes),
            *(f"left alive: cluster {each.id}, {each.state}" for each in left),
        ]

    def close(self) -> None:
        """Answer nothing any more, and remove all containers."""
        self.server.close()
        with self.state.lock:
            for cluster in self.state.clusters.all.values():
                if cluster.node is not None:
                    cluster.node.end()
        self.nodes.close()


@contextmanager
def checked(nodes: Nodes | None = None, **more: Any) -> Iterator[Workspace]:
    """Serve a workspace and fail at the end if anything is to be complained about."""
    workspace = Workspace(nodes, **more)
    try:
        yield workspace
        complaints = workspace.complaints()
    finally:
        workspace.close()
    assert not complaints, "\n".join(complaints)
