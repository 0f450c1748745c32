"""Writes small images as OCI layouts, which no engine has to build or could build.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Document = dict[str, Any]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, mtime=0),
    "zstd": zstd.compress,
}
SPARSE_MAP = 386
"""Where a header of a sparse file has its map, and behind it the size that the file appears to
have: https://www.gnu.org/software/tar/manual/html_node/Standard.html"""
REAL_SIZE = 483
CHECKSUM = slice(148, 156)


@dataclass(frozen=True)
class Layout:
    """What is odd about an image and the way it is kept."""

    layers: int = 1
    compression: str = "gzip"
    attestation: bool = False
    """An entry of the index says how the image was built."""
    gigabytes: int = 0
    """Size of a file that is all hole."""


def write(folder: Path, layout: Layout, platform: str, config: Document | None = None) -> None:
    """Write an image into a folder."""
    tars = [layer(number) for number in range(layout.layers - 1)]
    tars.append(layer(layout.layers - 1, layout.gigabytes))
    system, _, architecture = platform.partition("/")
    compress = COMPRESSIONS[layout.compression]
    layers = [put(folder, compress(tar), f"{LAYER}+{layout.compression}") for tar in tars]
    document = {
        "os": system,
        "architecture": architecture,
        "config": config or {},
        "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
        "history": [{"created_by": f"COPY layer-{number} /"} for number in range(len(tars))],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(folder, encoded(document), CONFIG),
        "layers": layers,
    }
    entries = [{**put(folder, encoded(manifest), MANIFEST), "platform": platform_of(platform)}]
    if layout.attestation:
        said = put(folder, encoded({**manifest, "layers": []}), MANIFEST)
        entries.append(
            {
                **said,
                "platform": platform_of("unknown/unknown"),
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
            }
        )
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    folder.joinpath("index.json").write_bytes(encoded(index))
    folder.joinpath("oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))


def put(folder: Path, content: bytes, media_type: str) -> Document:
    """Write a blob, and return what describes it."""
    name = digest(content)
    path = folder / "blobs" / "sha256" / name.removeprefix("sha256:")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": media_type, "digest": name, "size": len(content)}


def digest(content: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def encoded(document: Document) -> bytes:
    """Return a document as the bytes of a blob."""
    return json.dumps(document, sort_keys=True).encode()


def platform_of(platform: str) -> dict[str, str]:
    """Return a platform as an index has it."""
    system, _, architecture = platform.partition("/")
    return {"os": system, "architecture": architecture}


def layer(number: int, gigabytes: int = 0) -> bytes:
    """Return the tar of a layer with one small file, and one that is all hole."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        content = f"{number}\n".encode()
        member = tarfile.TarInfo(f"layer-{number}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        if gigabytes:
            tar.write(hole("model.bin", gigabytes * 10**9))
    return tar.getvalue()


def hole(name: str, size: int) -> bytes:
    """Return the header of a file that has a size and no content."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    # The map: the only piece has no bytes and lies at the end.
    header[SPARSE_MAP : SPARSE_MAP + 24] = b"%011o\0%011o\0" % (size, 0)
    header[REAL_SIZE : REAL_SIZE + 12] = b"%011o\0" % size
    header[CHECKSUM] = b" " * 8
    header[CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)
