"""Small images in a registry on this machine: by Docker's own client, and manifest by manifest."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from pytest_dcs.engines.docker import DockerEngine
from tests.integration.archives import archive

from .registries import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.image import Image

    from .token_service import TokenService


class Registry(NamedTuple):
    """A registry that runs, and who gives its tokens."""

    host: str
    folder: Path
    service: TokenService | None

    def name(self, path: str) -> str:
        return f"{self.host}/{path}"

    def session(self, path: str) -> requests.Session:
        """Return a session that may push to a repository."""
        session = requests.Session()
        if self.service is None:
            session.auth = (USER, PASSWORD)
        else:
            token = self.service.token([f"repository:{path}:pull,push"])
            session.headers["Authorization"] = f"Bearer {token}"
        return session

    def put_manifest(self, path: str, tag: str, content: bytes, kind: str) -> str:
        """Put a manifest under a tag or digest, and return its digest."""
        with self.session(path) as session:
            answer = session.put(
                f"http://{self.host}/v2/{path}/manifests/{tag}",
                data=content,
                headers={"Content-Type": kind},
                timeout=10,
            )
        assert answer.status_code == 201, answer.text
        return answer.headers["Docker-Content-Digest"]

    def put_blob(self, path: str, content: bytes) -> str:
        """Put a blob and return its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self.session(path) as session:
            started = session.post(f"http://{self.host}/v2/{path}/blobs/uploads/", timeout=10)
            address = requests.Request(
                "PUT", started.headers["Location"], params={"digest": digest}
            ).prepare()
            answer = session.put(str(address.url), data=content, timeout=10)
        assert answer.status_code == 201, answer.text
        return digest

    def get(self, path: str, what: str, kind: str) -> bytes:
        with self.session(path) as session:
            address = f"http://{self.host}/v2/{path}/{what}"
            answer = session.get(address, headers={"Accept": kind}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.content


def docker(*arguments: str, stdin: bytes = b"") -> str:
    completed = subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, check=False
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode().strip()


def config_for(layer: bytes, architecture: str = "amd64", **more: object) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": architecture,
        "config": {"Env": ["PATH=/bin"], **more},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


@contextmanager
def loaded(name: str, architecture: str = "amd64") -> Iterator[Image]:
    """Load an image of one random file into the engine, and remove it at the end."""
    layer = archive({"file": os.urandom(16)})
    files = {
        "config.json": json.dumps(config_for(layer, architecture)).encode(),
        "layer.tar": layer,
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    docker("load", stdin=archive({**files, "manifest.json": json.dumps(manifest).encode()}))
    engine = DockerEngine()
    try:
        yield engine.resolve(name, "never")
    finally:
        engine.close()
        subprocess.run(["docker", "rmi", "--force", name], capture_output=True, check=False)


def push(registry: Registry, name: str) -> None:
    folder = registry.folder / "docker"
    folder.mkdir(exist_ok=True)
    login = {"username": USER, "password": PASSWORD}
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: login}}))
    docker("--config", str(folder), "push", name)
