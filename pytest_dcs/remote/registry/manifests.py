"""What a registry keeps under a name: one image, or an index of images for several platforms.

https://github.com/opencontainers/image-spec/blob/main/image-index.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TYPES = (*INDEXES, *MANIFESTS)
"""All that a node takes. A registry that is asked for fewer says that there is no such image."""
DIGEST = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]{32,128}")
UNKNOWN = "unknown"
"""The system of an entry that is no image but says something of one."""


@dataclass(frozen=True)
class Entry:
    """One image of an index."""

    digest: str
    platform: str
    """As in `linux/amd64`."""


def entries(index: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield the images of an index; a single image has none."""
    listed = index.get("manifests")
    for each in listed if isinstance(listed, list) else ():
        platform = each.get("platform") if isinstance(each, dict) else None
        if not isinstance(platform, dict):
            continue
        system, digest = str(platform.get("os", UNKNOWN)), str(each.get("digest", ""))
        if system != UNKNOWN and DIGEST.fullmatch(digest):
            yield Entry(digest, f"{system}/{platform.get('architecture', UNKNOWN)}")


def config_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of the image's config, which is the image's id; empty: it names none."""
    config = manifest.get("config")
    digest = str(config.get("digest", "")) if isinstance(config, dict) else ""
    return digest if DIGEST.fullmatch(digest) else ""
