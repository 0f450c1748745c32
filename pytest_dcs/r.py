"""An R session as the platform starts one: R itself, the packages of notebooks, Rserve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs import steps
from pytest_dcs.node import time_factor
from pytest_dcs.probe import Probe
from pytest_dcs.stages import Smoke, Stage, StagedProbe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.engines import Container

SESSION = "r_session.R"
START = 'exec R --slave --no-restore -f "$0" --args 1100 None'
"""How the platform's bash script starts R with a script of its own, which is `$0` here."""

LIBRARIES = "/databricks/spark/R/lib:/local_disk0/.ephemeral_nfs/cluster_libraries/r"
"""The R_LIBS of the script that starts a worker.

https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh
"""

STAGES = ("r-session", "r-packages", "rserve", "r-install")
SWITCH, SERVER_SWITCH, LIBRARIES_SWITCH = "r-session", "stock-rserve", "r-libraries"
SECONDS = 30.0
"""Seconds that Rserve may take for its start, and for each answer; all take less than one."""


def start(container: Container, *, without: frozenset[str]) -> StagedProbe:
    """Start R in the background, which goes through all stages by itself.

    `without` is what `--dcs-without` leaves out. Raises `ProbeFailed`, `ContainerEnded` and
    `EngineLost`.
    """
    probe = Probe.start(
        container,
        ["bash", "-c", START],
        environment=environment(without, SECONDS * time_factor(container)),
        source=SESSION,
    )
    return StagedProbe(probe)


def environment(without: frozenset[str], seconds: float) -> Mapping[str, str]:
    """Return the variables of the session."""
    skipped = f"rserve\t{steps.left_out(SERVER_SWITCH)}" if SERVER_SWITCH in without else ""
    variables = {"PYTEST_DCS_R_LEFT_OUT": skipped, "PYTEST_DCS_R_SECONDS": str(seconds)}
    if LIBRARIES_SWITCH not in without:
        variables["R_LIBS"] = LIBRARIES
    return variables


def nothing() -> Smoke:
    """Return what is found where R is not started at all."""
    stages = tuple(Stage(name, "not-run", steps.left_out(SWITCH)) for name in STAGES)
    return Smoke(stages, log="", facts={"left_out": STAGES})
