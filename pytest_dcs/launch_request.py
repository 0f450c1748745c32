"""What is to be launched, in which way, and which slow probes will be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dcs.gpu_request import GpuRequest
    from pytest_dcs.image import Image
    from pytest_dcs.init_scripts import InitScript
    from pytest_dcs.runtimes import Runtime

SPARK = "dcs_spark_smoke"
DEEP = "dcs_spark_deep_smoke"
RUNNER = "dcs_spark"
NOTEBOOK = "dcs_notebook_smoke"
LANGUAGE_SERVER = "dcs_language_server_smoke"
R_SESSION = "dcs_r_smoke"
GPU = "dcs_gpu_smoke"
GPU_SPARK = "dcs_gpu_spark_smoke"
"""The fixtures by whose names a request says which probes will be read."""

SPARK_JOBS = frozenset({SPARK, DEEP, RUNNER})
"""Those that run in the driver or on further nodes."""


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be launched, and which slow probes the selected checks will read."""

    image: Image
    runtime: Runtime
    features: frozenset[str]
    needs: frozenset[str]
    """The entries of `features.toml` that the runtime has."""
    run_id: str
    timeout: float
    cache_directory: Path
    tuned: bool = True
    """Start Spark's JVM with what makes it quick, see `class_data`."""
    java_options: str = ""
    """Further options for Spark's JVM."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the cluster's `spark_env_vars` would add."""
    init_scripts: tuple[InitScript, ...] = ()
    probes: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    """Steps and assumptions that are left out, by their names in `steps.toml`."""
    jars: tuple[Path, ...] = ()
    spark_conf: tuple[str, ...] = ()
    """Settings of Spark, KEY=VALUE, for code of the user's."""
    spark_mode: Literal["local", "cluster"] = "local"
    gpus: GpuRequest | None = None
    asks_architectures: bool = False
    """Import PyTorch to learn which GPUs it has code for."""
    open_network: bool = False
    keep: bool = False

    @property
    def on_node(self) -> bool:
        """Whether the platform has taken the steps of a launch here before."""
        return self.image.seen_from == "node"

    @property
    def with_cluster(self) -> bool:
        """Whether Spark runs on a cluster of further containers."""
        left_out = self.without & {"cluster", "standalone-cluster"}
        runs_jobs = bool(self.probes & SPARK_JOBS)
        return runs_jobs and self.spark_mode == "cluster" and not left_out

    @property
    def with_spark(self) -> bool:
        """Whether any probe needs the runtime's Spark."""
        return needs_spark(self.probes, gives_gpus=self.gpus is not None)


def needs_spark(probes: frozenset[str], *, gives_gpus: bool) -> bool:
    """Tell whether any of the probes needs the runtime's Spark, where GPUs are given or not."""
    return bool(probes & SPARK_JOBS) or (gives_gpus and GPU_SPARK in probes)
