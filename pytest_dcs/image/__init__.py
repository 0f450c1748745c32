"""The candidate: what is known of an image without starting it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_PLATFORM = ("linux", "amd64")
"""What clusters run: arm64 instance types are not supported with Container Services.

https://docs.databricks.com/aws/en/compute/custom-containers
"""

SeenFrom = Literal["outside", "inside", "node"]
"""Where a run stands: beside the image, in it, or in it on a node of a cluster."""

TUPLES = ("entrypoint", "command", "volumes", "exposed_ports", "health_check", "layers")
"""Fields of a config that plain data has as lists."""


@dataclass(frozen=True)
class History:
    """One step of the build, mostly one line of a Dockerfile.

    What can hold a secret is no part of what an object shows of itself, here and below.
    """

    created_by: str = field(repr=False)
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
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    entrypoint: tuple[str, ...] = field(default=(), repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    working_directory: str = ""
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    exposed_ports: tuple[str, ...] = ()
    """As `7681/tcp`."""
    health_check: tuple[str, ...] = field(default=(), repr=False)
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
class Manifest:
    """How a registry or an archive keeps an image.

    https://github.com/opencontainers/image-spec/blob/main/manifest.md
    """

    media_type: str
    layer_types: tuple[str, ...] = ()
    """The media type of each layer, oldest first."""
    compressed_size: int = 0
    """Bytes of all layers as they are kept."""
    attestations: int = 0
    """How many entries beside it in its index are no image but say something of one."""


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
    """Bytes of all layers, unpacked; 0 where only reading them would tell."""
    manifest: Manifest | None = None
    """None where only a registry would tell."""
    archive: str = ""
    """The files of this machine that it is in, with an absolute path; empty: an engine has it."""
    config_known: bool = True
    """False where `config` has only what the running image shows: its environment."""
    history_known: bool = True
    """False where nobody says how it was built."""
    seen_from: SeenFrom = "outside"
    """From inside, its layers cannot be told; on a node, the platform has been there before."""

    @property
    def released_as(self) -> str:
        """What a release would name: the registry's digest, else the image id; empty: unknown."""
        return self.digest or self.id

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Image:
        """Return the image that `dataclasses.asdict` made into plain data."""
        config = dict(data["config"])
        for key in TUPLES:
            config[key] = tuple(config[key])
        config["history"] = tuple(History(**step) for step in config["history"])
        manifest = data["manifest"] and Manifest(
            **{**data["manifest"], "layer_types": tuple(data["manifest"]["layer_types"])}
        )
        return cls(**{**data, "config": ImageConfig(**config), "manifest": manifest})
