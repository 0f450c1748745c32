"""What tests of the preflight share: questions to a server of the test, and its replies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.image.reference import Reference
from pytest_dcs.remote.registry import manifests, preflight
from pytest_dcs.remote.registry.client import digest_of
from pytest_dcs.remote.registry.pull import Credentials, Pull
from tests.remote.answering import Reply, Request, answering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_dcs.remote.registry.preflight import Preflight

DIGEST = f"sha256:{'1' * 64}"
TESTED = Image("acme/ml:1.4", id=f"sha256:{'2' * 64}", config=ImageConfig(), digest=DIGEST)
LOGIN = Credentials("robot", "p4ssword-of-robots")
FOUND = Reply(200, {"Docker-Content-Digest": DIGEST, "Content-Type": manifests.MANIFESTS[0]})
LIMITS = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}
CONFIG = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [DIGEST]}}


def ask(
    host: str, credentials: Credentials | None = LOGIN, *, image: Image = TESTED, nodes: int = 1
) -> Preflight:
    reference = Reference.parse(f"{host}/acme/ml:1.4")
    found = preflight.ask(Pull(reference, credentials, nodes), image)
    assert LOGIN.password not in f"{found!r}{found.detail}{found.unread}"
    return found


def asked(reply: Callable[[Request], Reply], *arguments: Any, **more: Any) -> Preflight:
    with answering(reply) as server:
        return ask(server.host, *arguments, **more)


def always(reply: Reply) -> Callable[[Request], Reply]:
    """Return what gives this reply to all requests."""
    return lambda _: reply


def kept(request: Request, config: Mapping[str, Any]) -> Reply:
    """Reply as a registry that keeps one image, packed otherwise than the tested one."""
    content = json.dumps(config).encode()
    if "/blobs/" in request.path:
        return Reply(200, {}, content)
    manifest = json.dumps({"config": {"digest": digest_of(content)}}).encode()
    kind = {"Docker-Content-Digest": digest_of(manifest), "Content-Type": manifests.MANIFESTS[1]}
    return Reply(200, kind, manifest)
