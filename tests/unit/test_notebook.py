"""What the notebook's probe is asked for, by profile, runtime and switches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import notebook, runtimes, steps
from pytest_dcs.probe import Probe

if TYPE_CHECKING:
    from collections.abc import Mapping

CATALOGUE = runtimes.load()
NONE: frozenset[str] = frozenset()


class FakeContainer:
    emulated = False


def asked(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Mapping[str, Any]:
    """Return the options with which the notebook's probe is started."""
    started: dict[str, Any] = {}

    def start(container: object, argv: list[str], **more: Any) -> None:
        started.update(argv=argv, **more)

    monkeypatch.setattr(Probe, "start", start)
    notebook.start(
        arguments.pop("container", FakeContainer()),
        features=CATALOGUE.features(arguments.pop("profile", "python")),
        needs=CATALOGUE.needs_of(CATALOGUE.find(arguments.pop("runtime", "15.4"))),
        without=frozenset(arguments.pop("without", ())),
        gateway=arguments.pop("gateway", False),
    )
    assert started["argv"] == ["/databricks/python3/bin/python3", "-I"]
    options: Mapping[str, Any] = json.loads(started["environment"]["PYTEST_DCS_NOTEBOOK"])
    return options


def test_all_stages_are_asked_of_a_python_image(monkeypatch: pytest.MonkeyPatch) -> None:
    options = asked(monkeypatch)
    assert options["left_out"] == {}
    assert options["libraries_user"]
    assert options["virtualenv_options"] == ["--system-site-packages", "--no-download"]


def test_an_r_image_is_asked_for_the_clusters_libraries_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left_out = asked(monkeypatch, profile="rbase")["left_out"]
    assert notebook.STAGES.keys() - left_out.keys() == {"cluster-libraries", "library-install"}
    assert set(left_out.values()) == {"the profile does not declare python"}


def test_nothing_is_asked_of_a_runtime_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = asked(monkeypatch, runtime="10.4")["left_out"]
    assert left_out.keys() == notebook.STAGES.keys()
    assert left_out["kernel"] == "the runtime is not known to need ipykernel"


def test_libraries_are_installed_by_root_before_the_user_was_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = asked(monkeypatch, runtime="12.2")
    assert options["left_out"] == {}
    assert not options["libraries_user"]


@pytest.mark.parametrize(
    ("switch", "stages"),
    [
        ("cluster-libraries", {"cluster-libraries", "library-install"}),
        ("notebook-environment", {"notebook-environment", "pip-magic"}),
        ("layered-environment", {"notebook-environment", "pip-magic"}),
        ("notebook-user", {"notebook-user"}),
        ("user-isolation", {"notebook-user"}),
        ("kernel", {*notebook.STAGES} - {*list(notebook.STAGES)[:4]}),
        ("stock-kernel", {*notebook.STAGES} - {*list(notebook.STAGES)[:4]}),
        ("shared-driver", {"notebook-spark"}),
    ],
)
def test_a_switch_leaves_its_stages_out(
    monkeypatch: pytest.MonkeyPatch, switch: str, stages: set[str]
) -> None:
    left_out = asked(monkeypatch, without={switch})["left_out"]
    assert left_out == dict.fromkeys(stages, f"{switch} is left out by --dcs-without")


@pytest.mark.parametrize(
    ("switch", "option", "value"),
    [
        ("virtualenv-options", "virtualenv_options", []),
        ("libraries-user", "libraries_user", False),
        ("handed-variables", "all_variables", False),
    ],
)
def test_a_switch_changes_what_is_done(
    monkeypatch: pytest.MonkeyPatch, switch: str, option: str, value: object
) -> None:
    assert asked(monkeypatch)[option] != value
    options = asked(monkeypatch, without={switch})
    assert options[option] == value
    assert options["left_out"] == {}


def test_the_gateway_is_waited_for_where_a_job_will_open_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert asked(monkeypatch)["gateway"] == ""
    assert asked(monkeypatch, gateway=True)["gateway"] == notebook.GATEWAY_FILE


def test_emulation_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Emulated:
        emulated = True

    slow, usual = asked(monkeypatch, container=Emulated()), asked(monkeypatch)
    for limit in ("seconds", "gateway_seconds"):
        assert slow[limit] > usual[limit]


def test_every_switch_of_a_notebook_is_a_step_or_an_assumption() -> None:
    switches = {switch for each in notebook.STAGES.values() for switch in each.switches}
    assert switches | {*notebook.SERVER_SWITCHES} <= {*steps.switches()}


@pytest.mark.parametrize("switch", notebook.SERVER_SWITCHES)
def test_the_language_server_can_be_left_out(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    started: dict[str, Any] = {}
    monkeypatch.setattr(Probe, "start", lambda *_, **more: started.update(more))
    notebook.start_language_server(FakeContainer(), without=frozenset({switch}))  # type: ignore[arg-type]
    options = json.loads(started["environment"]["PYTEST_DCS_LANGUAGE_SERVER"])
    assert options["left_out"].keys() == {*notebook.SERVER_STAGES}
