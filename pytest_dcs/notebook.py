"""A notebook as the platform starts it: environments, user, kernel and language server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_dcs import steps
from pytest_dcs.node import DEFAULT_PYTHON, time_factor
from pytest_dcs.probe import Probe
from pytest_dcs.stages import StagedProbe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.engines import Container

GATEWAY_FILE = "/opt/pytest-dcs/gateway.json"
"""Where a Spark job writes how its driver can be reached."""

ARGV = [DEFAULT_PYTHON, "-I"]
"""The probes themselves are kept apart from what the image's variables do to Python."""
NOTEBOOK, LANGUAGE_SERVER = "notebook.py", "language_server.py"
NOTEBOOK_OPTIONS = "PYTEST_DCS_NOTEBOOK"
SERVER_OPTIONS = "PYTEST_DCS_LANGUAGE_SERVER"

VIRTUALENV_OPTIONS = ("--system-site-packages", "--no-download")
SECONDS = 30.0
"""Seconds that a command or an answer of the kernel may take; all take less than one."""
GATEWAY_SECONDS = 120.0
"""Seconds from the start that the Spark job may take until it lets the notebook in."""


@dataclass(frozen=True)
class Asked:
    """Of which images and runtimes a stage is asked, and which switches leave it out."""

    feature: str
    need: str
    switches: tuple[str, ...]


CELL = Asked("python", "ipykernel", ("kernel", "stock-kernel"))
STAGES = {
    "cluster-libraries": Asked("virtualenv", "virtualenv", ("cluster-libraries",)),
    "library-install": Asked("virtualenv", "virtualenv", ("cluster-libraries",)),
    "notebook-environment": Asked(
        "python", "virtualenv", ("notebook-environment", "layered-environment")
    ),
    "notebook-user": Asked("python", "ipykernel", ("notebook-user", "user-isolation")),
    **dict.fromkeys(
        (
            "kernel",
            "cell",
            "display",
            "picture",
            "completion",
            "inspection",
            "exception",
            "interrupt",
        ),
        CELL,
    ),
    "pip-magic": Asked(
        "python", "ipykernel", (*CELL.switches, "notebook-environment", "layered-environment")
    ),
    "notebook-spark": Asked("python", "ipykernel", (*CELL.switches, "shared-driver")),
}
SERVER_STAGES = ("language-server", "lsp-completion", "lsp-hover")
SERVER_SWITCHES = ("language-server", "stock-language-server")


def start(
    container: Container,
    *,
    features: frozenset[str],
    needs: frozenset[str],
    without: frozenset[str],
    gateway: bool,
) -> StagedProbe:
    """Start the steps from the cluster's libraries to the kernel's cells in the background.

    `needs` are those of the runtime, `without` what `--dcs-without` leaves out; with `gateway` a
    Spark job will write `GATEWAY_FILE`. Raises `ProbeFailed`, `ContainerEnded` and `EngineLost`.
    """
    factor = time_factor(container)
    options = {
        "left_out": left_out(features, needs, without),
        "virtualenv_options": [] if "virtualenv-options" in without else VIRTUALENV_OPTIONS,
        "libraries_user": "libraries_user" in needs and "libraries-user" not in without,
        "all_variables": "handed-variables" not in without,
        "gateway": GATEWAY_FILE if gateway else "",
        "gateway_seconds": GATEWAY_SECONDS * factor,
        "seconds": SECONDS * factor,
    }
    environment = {NOTEBOOK_OPTIONS: json.dumps(options)}
    return StagedProbe(Probe.start(container, ARGV, environment=environment, source=NOTEBOOK))


def start_language_server(
    container: Container, *, without: frozenset[str] = frozenset()
) -> StagedProbe:
    """Start the language server in the background.

    `without` is what `--dcs-without` leaves out. Raises `ProbeFailed`, `ContainerEnded` and
    `EngineLost`.
    """
    switched_off = [switch for switch in SERVER_SWITCHES if switch in without]
    options = {
        "left_out": {
            stage: steps.left_out(switched_off[0]) for stage in SERVER_STAGES if switched_off
        },
        "seconds": SECONDS * time_factor(container),
    }
    environment = {SERVER_OPTIONS: json.dumps(options)}
    probe = Probe.start(container, ARGV, environment=environment, source=LANGUAGE_SERVER)
    return StagedProbe(probe)


def left_out(
    features: frozenset[str], needs: frozenset[str], without: frozenset[str]
) -> Mapping[str, str]:
    """Return the stages of the notebook that are not asked for, and why."""
    reasons = {}
    for stage, asked in STAGES.items():
        switched_off = [switch for switch in asked.switches if switch in without]
        if asked.feature not in features:
            reasons[stage] = f"the profile does not declare {asked.feature}"
        elif asked.need not in needs:
            reasons[stage] = f"the runtime is not known to need {asked.need}"
        elif switched_off:
            reasons[stage] = steps.left_out(switched_off[0])
    return reasons
