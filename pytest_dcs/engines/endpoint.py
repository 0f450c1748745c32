"""Where the container engine listens, chosen as the Docker command line chooses it.

https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
DEFAULT_CONTEXT = "default"


@dataclass(frozen=True)
class Tls:
    """The files that a TLS connection needs; None is a file that was not given."""

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True


@dataclass(frozen=True)
class Endpoint:
    """An engine's address, as DOCKER_HOST writes it."""

    address: str
    tls: Tls | None = None


def choose(environment: Mapping[str, str] | None = None) -> Endpoint:
    """Return DOCKER_HOST, else the context of DOCKER_CONTEXT or of the user's configuration.

    Raises `UnknownContext`, `BrokenFile` and `UnsupportedAddress`.
    """
    environment = os.environ if environment is None else environment
    endpoint = _from_variables(environment) or _from_context(environment)
    if not endpoint.address.startswith(("unix://", "tcp://", "http://", "https://")):
        raise errors.UnsupportedAddress(endpoint.address)
    return endpoint


def configuration_directory(environment: Mapping[str, str]) -> Path:
    """Return the folder of the user's Docker configuration."""
    configured = environment.get("DOCKER_CONFIG")
    return Path(configured) if configured else Path("~/.docker").expanduser()


def _from_variables(environment: Mapping[str, str]) -> Endpoint | None:
    address = environment.get("DOCKER_HOST")
    if not address:
        return None
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    folder = environment.get("DOCKER_CERT_PATH")
    if not (verify or folder) or address.startswith("unix://"):
        return Endpoint(address)
    certificates = Path(folder) if folder else configuration_directory(environment)
    return Endpoint(address, _tls(certificates, verify=verify))


def _from_context(environment: Mapping[str, str]) -> Endpoint:
    directory = configuration_directory(environment)
    settings = _read(directory / "config.json") or {}
    name = environment.get("DOCKER_CONTEXT") or settings.get("currentContext") or DEFAULT_CONTEXT
    if name == DEFAULT_CONTEXT:
        return Endpoint(DEFAULT_ADDRESS)
    key = hashlib.sha256(name.encode()).hexdigest()
    context = _read(directory / "contexts" / "meta" / key / "meta.json")
    if context is None:
        raise errors.UnknownContext(name)
    docker = context.get("Endpoints", {}).get("docker", {})
    address = docker.get("Host") or DEFAULT_ADDRESS
    certificates = directory / "contexts" / "tls" / key / "docker"
    skips = bool(docker.get("SkipTLSVerify"))
    encrypted = not address.startswith("unix://") and (skips or certificates.is_dir())
    return Endpoint(address, _tls(certificates, verify=not skips) if encrypted else None)


def _tls(folder: Path, *, verify: bool) -> Tls:
    present = {
        name: str((folder / f"{name}.pem").absolute())
        for name in ("ca", "cert", "key")
        if (folder / f"{name}.pem").is_file()
    }
    return Tls(present.get("ca"), present.get("cert"), present.get("key"), verify)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise errors.BrokenFile(
            path, f"cannot be read ({error})", "`docker info` must work in this shell."
        ) from error
    return content if isinstance(content, dict) else {}
