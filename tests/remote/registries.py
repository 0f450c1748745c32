"""A real registry on this machine: the program of Debian's package docker-registry."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from .token_service import ISSUER, SERVICE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, PASSWORD = "reader", "right-password"
PASSWORD_HASH = "$2y$05$abcdefghijklmnopqrstuuBO.kmgTJhdt40M5ZyHgFmcpBdUb9aS."
START_TIMEOUT = 10.0

SETTINGS = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/storage}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {auth}
"""
BASIC = "{{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}"
TOKEN = (
    "{{token: {{realm: {realm}, service: {service}, issuer: {issuer}, "
    "rootcertbundle: {certificate}}}}}"
)


def basic(folder: Path) -> str:
    """Return settings by which the registry takes a user and a password itself."""
    (folder / "htpasswd").write_text(f"{USER}:{PASSWORD_HASH}\n")
    return BASIC.format(folder=folder)


def token(realm: str, certificate: Path) -> str:
    """Return settings by which the registry sends its callers to a token service."""
    return TOKEN.format(realm=realm, service=SERVICE, issuer=ISSUER, certificate=certificate)


@contextmanager
def running_registry(folder: Path, auth: str) -> Iterator[str]:
    """Run a registry until the end of the block; yield its host with the port."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("needs the program of Debian's package docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = folder / "settings.yml"
    settings.write_text(SETTINGS.format(folder=folder, port=port, auth=auth))
    log = folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen([program, "serve", settings], stdout=output, stderr=output) as process,
    ):
        try:
            wait_for(port, log)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_for(port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with suppress(OSError):
            connection.request("GET", "/v2/")
            assert connection.getresponse().status == 401
            connection.close()
            return
        connection.close()
        time.sleep(0.1)
    pytest.fail(f"the registry did not start: {log.read_text()}")
