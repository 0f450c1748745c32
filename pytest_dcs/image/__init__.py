"""The candidate: what is known of an image without starting it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_PLATFORM = ("linux", "amd64")
"""What clusters run: arm64 instance types are not supported with Container Services.

https://docs.databricks.com/aws/en/compute/custom-containers
"""


TUPLES = ("entrypoint", "command", "volumes", "exposed_ports", "health_check", "layers")
"""Fields of a config that plain data has as lists."""


@dataclass(frozen=True)
class History:
    """One step of the build, mostly one line of a Dockerfile."""

    created_by: str
    empty: bool = False
    """It made no layer."""


@dataclass(frozen=True)
class ImageConfig:
    """What the image's builder wrote into its config.

    https://github.com/opencontainers/image-spec/blob/main/config.md
    """

    os: str = "linux"
    architecture: str = "amd64"
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    """As `7681/tcp`."""
    health_check: tuple[str, ...] = ()
    stop_signal: str = ""
    history: tuple[History, ...] = ()
    """The steps of the build, oldest first."""
    layers: tuple[str, ...] = ()
    """The diff IDs, oldest first: the digests of the unpacked layers."""

    @property
    def platform(self) -> str:
        """The platform as Docker writes it, `linux/amd64`."""
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True)
class Image:
    """One candidate, resolved: what the user called it and what that is."""

    reference: str
    id: str
    """The image id, `sha256:…`: the digest of the config."""
    config: ImageConfig
    digest: str | None = None
    """The digest in a registry, None for an image that was never pushed or pulled."""
    size: int = 0
    """Bytes of all layers, unpacked."""

    @property
    def released_as(self) -> str:
        """What a release would name: the registry's digest, else the image id."""
        return self.digest or self.id

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Image:
        """Return the image that `dataclasses.asdict` made into plain data."""
        config = dict(data["config"])
        for key in TUPLES:
            config[key] = tuple(config[key])
        config["history"] = tuple(History(**step) for step in config["history"])
        return cls(**{**data, "config": ImageConfig(**config)})
