"""Pulling from a registry that wants a login, with the user's own Docker configuration."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.engines.docker import DockerEngine

from .archives import archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_dcs.image import Image

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

USER, PASSWORD = "reader", "right-password"
PASSWORD_HASH = "$2y$05$abcdefghijklmnopqrstuuBO.kmgTJhdt40M5ZyHgFmcpBdUb9aS."
START_TIMEOUT = 10.0

SETTINGS = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/storage}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a registry on 127.0.0.1, which engines trust without TLS; return its address."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("needs the program of Debian's package docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "htpasswd").write_text(f"{USER}:{PASSWORD_HASH}\n")
    (folder / "settings.yml").write_text(SETTINGS.format(folder=folder, port=port))
    with subprocess.Popen(
        [program, "serve", str(folder / "settings.yml")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            with suppress(OSError):
                connection.request("GET", "/v2/")
                assert connection.getresponse().status == 401
                break
            time.sleep(0.1)
        connection.close()
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[dict[str, object]], DockerEngine]]:
    """Make an engine for a user with this Docker configuration."""
    engines: list[DockerEngine] = []

    def make(configuration: dict[str, object]) -> DockerEngine:
        (tmp_path / "config.json").write_text(json.dumps(configuration))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        engines.append(DockerEngine())
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def login(registry: str, password: str = PASSWORD) -> dict[str, object]:
    secret = base64.b64encode(f"{USER}:{password}".encode()).decode()
    return {"auths": {registry: {"auth": secret}}}


def small_image(docker_command: DockerCommand, name: str, *, architecture: str = "amd64") -> str:
    """Make an image of one file and return its id; the content differs each time."""
    layer = archive({"file": os.urandom(16)})
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {"config.json": json.dumps(config).encode(), "layer.tar": layer}
    content = archive({**files, "manifest.json": json.dumps(manifest).encode()})
    docker_command("load", stdin=content)
    return docker_command("image", "inspect", "--format", "{{.Id}}", name)


@pytest.fixture
def pushed(
    registry: str, docker_command: DockerCommand, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., str]]:
    """Push a new image under a name and remove it from the engine; return its id."""
    folder = tmp_path_factory.mktemp("pusher")
    (folder / "config.json").write_text(json.dumps(login(registry)))
    removable: set[str] = set()

    def push(name: str, *, architecture: str = "amd64") -> str:
        identifier = small_image(docker_command, name, architecture=architecture)
        docker_command("--config", str(folder), "push", name)
        docker_command("rmi", "--force", identifier)
        removable.update((name, identifier))
        return identifier

    yield push
    for image in removable:
        subprocess.run(["docker", "rmi", "--force", image], capture_output=True, check=False)


def test_missing_pulls_once_always_each_time_never_not_at_all(
    registry: str,
    docker_command: DockerCommand,
    pushed: Callable[..., str],
    configured: Callable[[dict[str, object]], DockerEngine],
) -> None:
    name = f"{registry}/acme/policies:1"
    engine = configured(login(registry))
    first = pushed(name)
    with pytest.raises(errors.ImageNotFound):
        engine.resolve(name, "never")
    image = engine.resolve(name, "missing")
    assert image.id == first
    assert image.digest is not None
    assert image.digest.startswith("sha256:")
    assert engine.resolve(name, "never") == image

    second = push_beside(pushed, engine, name)
    assert engine.resolve(name, "missing") == image
    assert engine.resolve(name, "always").id == second
    by_digest = engine.resolve(f"{registry}/acme/policies@{image.digest}", "missing")
    assert (by_digest.id, by_digest.digest) == (first, image.digest)
    for identifier in (first, second):
        docker_command("rmi", "--force", identifier)
    assert engine.resolve(f"{name}@{image.digest}", "missing").id == first


def push_beside(pushed: Callable[..., str], engine: DockerEngine, name: str) -> str:
    """Push another image under a name while the engine keeps the one that it has."""
    identifier = pushed(name)
    repository, _, tag = name.rpartition(":")
    (digest,) = engine._api.images(repository, filters={"dangling": True})[0]["RepoDigests"]
    engine._api.tag(digest, repository, tag)
    return identifier


def test_a_tag_that_the_registry_does_not_have(
    registry: str, configured: Callable[[dict[str, object]], DockerEngine]
) -> None:
    with pytest.raises(errors.ImageNotFound, match=r"manifest unknown|not found"):
        configured(login(registry)).resolve(f"{registry}/acme/none:1", "missing")


@pytest.mark.parametrize("configuration", [{}, login("127.0.0.1:1")], ids=["none", "other"])
def test_without_a_login(
    registry: str,
    pushed: Callable[..., str],
    configured: Callable[[dict[str, object]], DockerEngine],
    configuration: dict[str, object],
) -> None:
    pushed(f"{registry}/acme/private:1")
    with pytest.raises(errors.PullFailed, match="no basic auth credentials"):
        configured(configuration).resolve(f"{registry}/acme/private:1", "missing")


def test_a_wrong_password(
    registry: str,
    pushed: Callable[..., str],
    configured: Callable[[dict[str, object]], DockerEngine],
) -> None:
    pushed(f"{registry}/acme/private:1")
    with pytest.raises(errors.PullFailed, match="unauthorized") as raised:
        configured(login(registry, "wrong")).resolve(f"{registry}/acme/private:1", "missing")
    assert "wrong" not in str(raised.value)


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a credential helper named `test` on the PATH and return its file."""
    program = tmp_path / "bin" / "docker-credential-test"
    program.parent.mkdir()
    answer = json.dumps({"Username": USER, "Secret": PASSWORD})
    program.write_text(f"#!/bin/sh\ncat >{tmp_path}/asked; echo '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_credential_helper(
    registry: str,
    pushed: Callable[..., str],
    configured: Callable[[dict[str, object]], DockerEngine],
    helper: Path,
    tmp_path: Path,
    key: str,
) -> None:
    identifier = pushed(f"{registry}/acme/private:1")
    value: object = "test" if key == "credsStore" else {registry: "test"}
    image = configured({key: value}).resolve(f"{registry}/acme/private:1", "missing")
    assert image.id == identifier
    assert (tmp_path / "asked").read_text() == registry


def test_a_credential_helper_that_fails(
    registry: str,
    configured: Callable[[dict[str, object]], DockerEngine],
    helper: Path,
) -> None:
    helper.write_text("#!/bin/sh\necho the keyring is locked; exit 1\n")
    with pytest.raises(errors.PullFailed, match="the keyring is locked"):
        configured({"credsStore": "test"}).resolve(f"{registry}/acme/private:1", "missing")


def test_a_credential_helper_that_is_not_installed(
    registry: str, configured: Callable[[dict[str, object]], DockerEngine]
) -> None:
    with pytest.raises(errors.PullFailed, match="docker-credential-gone not installed"):
        configured({"credsStore": "gone"}).resolve(f"{registry}/acme/private:1", "missing")


def test_an_image_of_another_platform(
    registry: str,
    pushed: Callable[..., str],
    configured: Callable[[dict[str, object]], DockerEngine],
) -> None:
    pushed(f"{registry}/acme/arm:1", architecture="arm64")
    # Docker 20.10 pulls an image that has one platform only, whatever it was asked for.
    with suppress(errors.WrongArchitecture):
        image = configured(login(registry)).resolve(f"{registry}/acme/arm:1", "missing")
        assert image.config.platform == "linux/arm64"


def test_a_local_image_needs_no_registry(
    configured: Callable[[dict[str, object]], DockerEngine], docker_command: DockerCommand
) -> None:
    name = f"pytest-dcs-test/local:{os.urandom(8).hex()}"
    identifier = small_image(docker_command, name)
    image: Image = configured({"credsStore": "gone"}).resolve(name, "missing")
    assert (image.id, image.digest) == (identifier, None)
    docker_command("rmi", "--force", identifier)
