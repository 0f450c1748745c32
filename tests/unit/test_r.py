"""What an R session is asked for, by switches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import r, steps
from pytest_dcs.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeContainer:
    emulated = False


class Emulated:
    emulated = True


def asked(
    monkeypatch: pytest.MonkeyPatch, *without: str, container: Any = FakeContainer
) -> Mapping[str, Any]:
    """Return with what the session is started."""
    started: dict[str, Any] = {}

    def start(container: object, argv: list[str], **more: Any) -> None:
        started.update(argv=argv, **more)

    monkeypatch.setattr(Probe, "start", start)
    r.start(container, without=frozenset(without))
    return started


def test_bash_starts_r_with_the_platforms_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    started = asked(monkeypatch)
    shell, option, script = started["argv"]
    assert (shell, option, started["source"]) == ("bash", "-c", "r_session.R")
    assert script.endswith('R --slave --no-restore -f "$0" --args 1100 None')


def test_all_stages_are_asked_with_the_platforms_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = asked(monkeypatch)["environment"]
    assert environment["PYTEST_DCS_R_LEFT_OUT"] == ""
    assert environment["R_LIBS"].split(":")[0] == "/databricks/spark/R/lib"


def test_rserve_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = asked(monkeypatch, "stock-rserve")["environment"]
    told = "rserve\tstock-rserve is left out by --dcs-without"
    assert environment["PYTEST_DCS_R_LEFT_OUT"] == told


def test_the_images_own_libraries_can_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "R_LIBS" not in asked(monkeypatch, "r-libraries")["environment"]


def test_emulation_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, usual = (
        float(asked(monkeypatch, container=container)["environment"]["PYTEST_DCS_R_SECONDS"])
        for container in (Emulated, FakeContainer)
    )
    assert slow > usual


def test_without_the_step_every_stage_is_left_out() -> None:
    smoke = r.nothing()
    assert [stage.name for stage in smoke.stages] == list(r.STAGES)
    assert {stage.detail for stage in smoke.stages} == {"r-session is left out by --dcs-without"}
    assert set(smoke.facts["left_out"]) == set(r.STAGES)


@pytest.mark.parametrize("switch", [r.SWITCH, r.SERVER_SWITCH, r.LIBRARIES_SWITCH])
def test_every_switch_is_a_step_or_an_assumption(switch: str) -> None:
    assert switch in steps.switches()
