"""Registries that are hostile, slow, strict or none at all; each is a server of the test."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.checks import registry as checks
from pytest_dcs.image.reference import Reference
from pytest_dcs.remote.registry import manifests, preflight, transport
from pytest_dcs.remote.registry.client import Client, digest_of
from pytest_dcs.remote.registry.pull import Credentials, Pull
from pytest_dcs.remote.registry.status import Status
from pytest_dcs.rules import NotApplicable
from tests.remote.answering import Reply, Request, answering
from tests.remote.token_service import make_certificate

from .asking_registries import (
    CONFIG,
    DIGEST,
    FOUND,
    LOGIN,
    TESTED,
    always,
    ask,
    asked,
    kept,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dcs.remote.registry.preflight import Preflight


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "RETRIES", transport.RETRIES.new(backoff_factor=0))


def test_the_tested_digest_needs_one_request_that_counts_as_no_pull() -> None:
    with answering(always(FOUND)) as server:
        found = ask(server.host)
    assert (found.status, found.is_tested) == (Status.FOUND, True)
    (request,) = server.requests
    assert (request.method, request.path) == ("HEAD", "/v2/acme/ml/manifests/1.4")
    assert request.headers["accept"] == ", ".join(manifests.TYPES)
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("status", "credentials", "outcome"),
    [
        (403, None, Status.LOGIN_WANTED),
        (403, LOGIN, Status.DENIED),
        (404, LOGIN, Status.NOT_FOUND),
        (429, LOGIN, Status.RATE_LIMITED),
        (405, LOGIN, Status.UNREACHABLE),
        (500, LOGIN, Status.UNREACHABLE),
        (503, None, Status.UNREACHABLE),
    ],
)
def test_refusals(status: int, credentials: Credentials | None, outcome: Status) -> None:
    found = asked(always(Reply(status)), credentials)
    assert found.status is outcome
    assert str(status) in found.detail


def test_a_fault_that_passes_is_asked_about_again() -> None:
    replies = [Reply(503), FOUND]
    assert asked(lambda _: replies.pop(0)).status is Status.FOUND


def test_a_login_that_nobody_can_give() -> None:
    for header in ({}, {"WWW-Authenticate": "Negotiate"}):
        found = asked(always(Reply(401, header)))
        assert found.status is Status.DENIED
        assert "a login that no node can give" in found.detail


def bearer(request: Request, realm: str, **more: Reply) -> Reply:
    """Want a token; `more` replaces the replies to `token` and to what comes with one."""
    if request.path.startswith("/token"):
        return more.get("token", Reply(body=json.dumps({"access_token": "t0ken"}).encode()))
    if request.headers.get("authorization") == "Bearer t0ken":
        return more.get("answer", FOUND)
    return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'})


def with_tokens(
    credentials: Credentials | None = LOGIN, **more: Reply
) -> tuple[Preflight, list[Request]]:
    with answering(lambda request: bearer(request, realm[0], **more)) as server:
        realm = [f"http://{server.host}/token"]
        return ask(server.host, credentials), server.requests


def test_a_token_is_asked_for_with_the_login_and_without_one() -> None:
    for credentials in (LOGIN, None):
        found, requests = with_tokens(credentials)
        assert found.status is Status.FOUND
        head, token, again = requests
        assert token.path == "/token?scope=repository%3Aacme%2Fml%3Apull&service=s"
        assert ("authorization" in token.headers) is (credentials is not None)
        assert "authorization" not in head.headers
        assert again.headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("credentials", "replies", "outcome"),
    [
        (LOGIN, {"token": Reply(401)}, Status.BAD_CREDENTIALS),
        (LOGIN, {"token": Reply(403)}, Status.BAD_CREDENTIALS),
        (None, {"token": Reply(401)}, Status.LOGIN_WANTED),
        (None, {"answer": Reply(401)}, Status.LOGIN_WANTED),
        (LOGIN, {"answer": Reply(401)}, Status.DENIED),
        (LOGIN, {"answer": Reply(403)}, Status.DENIED),
        (LOGIN, {"token": Reply(429)}, Status.RATE_LIMITED),
        (LOGIN, {"token": Reply(500)}, Status.UNREACHABLE),
        (LOGIN, {"token": Reply(200, body=b"<html>")}, Status.UNREACHABLE),
        (LOGIN, {"token": Reply(200, body=b"[" * 100_000)}, Status.UNREACHABLE),
        (LOGIN, {"token": Reply(200, body=b'{"token": 1}')}, Status.UNREACHABLE),
    ],
)
def test_token_services_that_refuse(
    credentials: Credentials | None, replies: dict[str, Reply], outcome: Status
) -> None:
    assert with_tokens(credentials, **replies)[0].status is outcome


@pytest.mark.parametrize("realm", ["http://192.0.2.1/token", "ftp://x", "", "nonsense", "http://["])
def test_no_login_goes_to_a_token_service_without_tls(realm: str) -> None:
    with answering(lambda request: bearer(request, realm)) as server:
        found = ask(server.host)
    assert found.status is Status.UNREACHABLE
    assert not [each for each in server.requests if "authorization" in each.headers]


def test_a_redirect_takes_no_login_to_another_host() -> None:
    def basic(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
        return Reply(307, {"Location": f"http://{elsewhere.host}/there"})

    for last in (FOUND, Reply(401, {"WWW-Authenticate": 'Basic realm="y"'})):
        with answering(always(last)) as elsewhere, answering(basic) as server:
            ask(server.host)
        assert [each.path for each in elsewhere.requests] == ["/there"]
        assert "authorization" not in elsewhere.requests[0].headers


def test_a_host_that_asks_for_a_login_after_a_redirect_gets_none() -> None:
    stranger = Reply(401, {"WWW-Authenticate": 'Basic realm="y"'})
    with answering(always(stranger)) as elsewhere:
        found = asked(always(Reply(307, {"Location": f"http://{elsewhere.host}/there"})))
    assert found.status is Status.UNREACHABLE
    assert f"leads to {elsewhere.host}, which answers with 401" in found.detail
    assert len(elsewhere.requests) == 1


def test_a_redirect_within_the_registry_keeps_the_login() -> None:
    def reply(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
        return FOUND if request.path == "/moved" else Reply(307, {"Location": "/moved"})

    assert asked(reply).status is Status.FOUND


@pytest.mark.parametrize("location", ["/v2/acme/ml/manifests/1.4", "http://192.0.2.1/", "ftp://x"])
def test_redirects_end(location: str) -> None:
    found = asked(always(Reply(307, {"Location": location})))
    assert found.status is Status.UNREACHABLE
    assert "leads" in found.detail


def test_the_logins_of_netrc_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password of-netrc\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(always(FOUND)) as server:
        ask(server.host, None)
    assert "authorization" not in server.requests[0].headers


def test_what_is_no_registry() -> None:
    found = asked(always(Reply(200, {"Content-Type": "text/html; charset=utf-8"})))
    assert found.status is Status.UNREACHABLE
    assert "is no registry: it answers with text/html" in found.detail


def test_nobody_at_home() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    found = ask(host)
    assert found.status is Status.UNREACHABLE
    assert f"{host} cannot be reached" in found.detail
    assert "object at 0x" not in found.detail


def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = ask(f"127.0.0.1:{silent.getsockname()[1]}")
    assert found.status is Status.UNREACHABLE


def test_an_answer_that_comes_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LONGEST", 0.5)
    go_on = threading.Event()

    def drip(_: Request) -> Reply:
        go_on.wait(10)
        return FOUND

    with answering(drip) as server:
        found = ask(server.host)
        go_on.set()
    assert found.status is Status.UNREACHABLE
    assert "does not finish its answers" in found.detail


@pytest.mark.parametrize(
    "config", [{"config": "x"}, {"config": {"Env": [1]}}, {"rootfs": [1]}, {"history": [1]}]
)
def test_a_config_that_is_none(config: dict[str, Any]) -> None:
    found = asked(lambda request: kept(request, config))
    assert (found.status, found.is_tested) == (Status.FOUND, None)
    assert found.unread.endswith("is no config of an image")


def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 1000)
    reply = Reply(
        200, {**FOUND.headers, "Docker-Content-Digest": TESTED.id[:-1] + "3"}, b"x" * 2000
    )
    found = asked(always(reply))
    assert (found.status, found.is_tested, found.failed) == (Status.FOUND, None, True)
    assert "an answer of more than 1,000 bytes" in found.unread


def test_an_image_is_known_by_its_id_without_reading_its_config() -> None:
    own = digest_of(json.dumps(CONFIG).encode())
    with answering(lambda request: kept(request, CONFIG)) as server:
        found = ask(server.host, image=replace(TESTED, id=own))
    assert (found.is_tested, found.platforms) == (True, ("linux/amd64",))
    assert [each.method for each in server.requests] == ["HEAD", "GET"]


def test_an_image_of_other_builders_is_known_by_its_layers_and_config() -> None:
    same = replace(TESTED, config=replace(TESTED.config, layers=(DIGEST,)))
    assert asked(lambda request: kept(request, CONFIG), image=same).is_tested is True
    other = replace(TESTED, config=replace(same.config, user="app"))
    assert asked(lambda request: kept(request, CONFIG), image=other).is_tested is False


def test_without_known_layers_nobody_can_tell_whether_it_is_the_same_image() -> None:
    found = asked(lambda request: kept(request, CONFIG))
    assert (found.is_tested, found.platforms) == (None, ("linux/amd64",))
    checks.test_registry_has_linux_amd64(found)
    with pytest.raises(NotApplicable, match="layers of the tested image are not known"):
        checks.test_registry_has_the_tested_image(found, TESTED)


@pytest.mark.parametrize("manifest", [b"[]", b"{}", b'{"config": {"digest": "../x"}}'])
def test_a_manifest_that_names_no_config_tells_nothing(manifest: bytes) -> None:
    other = {**FOUND.headers, "Docker-Content-Digest": digest_of(manifest)}
    found = asked(always(Reply(200, other, manifest)))
    assert (found.status, found.is_tested, found.platforms) == (Status.FOUND, None, ())
    with pytest.raises(NotApplicable, match="names no config"):
        checks.test_registry_has_linux_amd64(found)


def test_other_bytes_than_the_digest_names_are_refused() -> None:
    other = {**FOUND.headers, "Docker-Content-Digest": f"sha256:{'3' * 64}"}
    manifest = json.dumps({"config": {"digest": f"sha256:{'4' * 64}"}}).encode()
    found = asked(
        lambda request: Reply(200, other, b"{}" if "/blobs/" in request.path else manifest)
    )
    assert found.is_tested is None
    assert "gives other bytes than" in found.unread


def test_a_server_that_repeats_the_password_is_not_quoted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    def reply(request: Request) -> Reply:
        if "authorization" not in request.headers:
            return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
        return Reply(307, {"Location": f"http://192.0.2.1/{LOGIN.password}"})

    found = asked(reply)
    assert found.status is Status.UNREACHABLE
    assert "(hidden)" in found.detail
    assert LOGIN.password not in caplog.text


def test_a_password_in_any_letters_is_sent_as_utf_8() -> None:
    with answering(
        lambda request: (
            FOUND
            if "authorization" in request.headers
            else Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})
        )
    ) as server:
        found = preflight.ask(
            Pull(Reference.parse(f"{server.host}/a/b:1"), Credentials("ü", "пароль")), TESTED
        )
    assert found.status is Status.FOUND
    assert server.requests[1].headers["authorization"] == "Basic w7w60L/QsNGA0L7Qu9GM"


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = make_certificate(tmp_path, "registry.example.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more)
    )
    with answering(always(FOUND), context) as server:
        host = f"registry.example.com:{server.port}"
        refused = ask(host)
        assert refused.status is Status.UNREACHABLE
        assert "has no certificate that is trusted here" in refused.detail
        assert server.requests == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert ask(host).status is Status.FOUND


def test_the_registry_of_hub_has_a_host_of_its_own() -> None:
    assert Client(Pull(Reference.parse("debian"))).host == "registry-1.docker.io"
