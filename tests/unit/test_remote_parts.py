"""Small parts of a remote launch: tags, the log of requests, what is imported when."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from pytest_dcs.remote import errors, evidence, tags, wire_log, workspace
from pytest_dcs.remote.hiding import Secrets

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.datetime(2026, 11, 24, 10, 30, tzinfo=datetime.timezone.utc)
HOST = "https://adb-1234567890123456.7.azuredatabricks.net"


@pytest.fixture(autouse=True)
def at_half_past_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "now", lambda: NOW)


def test_a_cluster_is_needed_until_its_launch_may_have_ended() -> None:
    assert tags.own("aaaa", 1800.0)["RemoveAfter"] == "2026112412"


@pytest.mark.parametrize(
    ("hour", "expired"),
    [
        ("2026112409", True),
        ("2026112410", False),
        ("2026112411", False),
        ("soon", False),
        ("", False),
    ],
)
def test_only_what_names_an_hour_that_is_over_is_expired(hour: str, expired: bool) -> None:
    assert tags.expired({"RemoveAfter": hour}) is expired


def test_tags_of_the_user_stay_and_ours_win() -> None:
    spec = {"custom_tags": {"team": "images", "pytest-dcs-run": "forged"}, "num_workers": 0}
    tagged = tags.tagged(spec, "aaaa", 60.0)
    assert tagged["custom_tags"]["team"] == "images"
    assert tagged["custom_tags"]["pytest-dcs-run"] == "aaaa"
    assert spec["custom_tags"] == {"team": "images", "pytest-dcs-run": "forged"}


def logged(path: Path, body: Any, answer: Any) -> dict[str, Any]:
    log = wire_log.WireLog(path, Secrets(["swordfish"]), HOST)
    exchange = wire_log.Exchange("POST", "/api/2.1/clusters/create", None, body)
    response = requests.Response()
    response._content = json.dumps(answer).encode()
    exchange.sent()
    exchange.sent()
    exchange.answered(200, response)
    log.write(exchange)
    first, second = path.read_text().splitlines()
    assert json.loads(first)["status"] is None
    found: dict[str, Any] = json.loads(second)
    return found


def test_the_log_of_requests_keeps_kinds_of_registries_and_no_names(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    line = logged(
        path,
        {"docker_image": {"url": "acmecorp.azurecr.io/ml:1"}, "single_user_name": "4f-0a"},
        {
            "driver": {"public_dns": "10.1.2.3", "host": HOST},
            "by": "jane.doe@acmecorp.com",
            "message": "not swordfish: 111122223333.dkr.ecr.eu-west-1.amazonaws.com/ml",
        },
    )
    assert line["body"]["docker_image"]["url"] == "registry.azurecr.io/ml:1"
    assert line["answer"]["driver"] == {
        "public_dns": "192.0.2.1",
        "host": "https://workspace.example.com",
    }
    assert line["answer"]["message"] == (
        "not (hidden): 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ml"
    )
    for private in ("acmecorp", "jane", "4f-0a", "azuredatabricks", "swordfish", "111122223333"):
        assert private not in path.read_text()


def test_a_log_of_requests_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(errors.RecordUnwritable):
        wire_log.WireLog(tmp_path / "none" / "wire.jsonl", Secrets(), HOST)


def test_without_the_sdk_a_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "databricks.sdk", None)
    with pytest.raises(errors.RemoteExtraMissing, match=r"pip install 'pytest-dcs\[remote\]'"):
        workspace.connect()


def test_other_runs_import_nothing_of_the_remote_part() -> None:
    code = (
        "import sys, pytest_dcs.plugin, pytest_dcs.collect, pytest_dcs.fixtures, "
        "pytest_dcs.__main__; "
        "print([m for m in sys.modules if m.startswith(('databricks', 'pytest_dcs.remote'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize(
    ("status", "code", "message", "gone"),
    [
        (404, "RESOURCE_DOES_NOT_EXIST", "", True),
        (400, "INVALID_PARAMETER_VALUE", "Cluster c-1 does not exist", True),
        (400, "INVALID_PARAMETER_VALUE", "Unpin the cluster first", False),
        (403, "PERMISSION_DENIED", "does not exist or no permission", False),
    ],
)
def test_only_what_says_so_is_gone(status: int, code: str, message: str, gone: bool) -> None:
    assert workspace.Refused(status, code, message).gone is gone


class Paged:
    """A workspace that answers every request with the same page."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.bodies: list[Any] = []

    def post(self, path: str, body: Any) -> dict[str, Any]:
        self.bodies.append(body)
        return self.answer


@pytest.mark.parametrize(
    "more", [{"next_page": {"offset": 50, "limit": 50}}, {"next_page_token": "abc"}]
)
def test_a_listing_of_events_that_never_ends_is_ended(more: dict[str, Any]) -> None:
    served: Any = Paged({"events": [{"type": "CREATING"}], **more})
    assert len(list(evidence.events_of(served, "c-1"))) == 2
    assert len(served.bodies) == 2


def test_logs_that_a_cluster_delivers_are_read() -> None:
    class Delivered:
        def tail(self, path: str, size: int) -> bytes:
            if not path.endswith("stderr"):
                raise workspace.Refused(404, "", "no such file")
            return b"Caused by: no space left"

    served: Any = Delivered()
    cluster = {"cluster_log_conf": {"dbfs": {"destination": "dbfs:/logs/"}}}
    (text,) = evidence.delivered_logs(served, cluster, "c-1")
    assert text == "--- driver/stderr\nCaused by: no space left"
