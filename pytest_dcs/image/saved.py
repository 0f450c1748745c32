"""Reads the layers out of the stream that an engine saves an image to."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, cast

from pytest_dcs.image.config import parse_config
from pytest_dcs.image.layer_reading import read_layer
from pytest_dcs.image.layers import Layers

if TYPE_CHECKING:
    import io

    from pytest_dcs.image.layer_cache import LayerCache
    from pytest_dcs.image.layers import Layer

MANIFEST = "manifest.json"
BLOBS = "blobs/sha256/"


def read_saved(stream: IO[bytes], cache: LayerCache) -> dict[str, Layers]:
    """Return all layers of images by the digests of their configs, read once from end to end.

    It is the format of `docker save`: older engines write `ID/layer.tar` files, newer ones an OCI
    layout; both list the layers in manifest.json, which comes last. Raises `ValueError`, and what
    `layer_reading.BROKEN` names.
    """
    layers: dict[str, Layer] = {}
    documents: dict[str, bytes] = {}
    aliases: dict[str, str] = {}
    # Not `r|`: it copies what it has read ahead for every header.
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        while (member := tar.next()) is not None:
            cast("Any", tar).members.clear()
            if member.issym():
                folder = posixpath.dirname(member.name)
                aliases[member.name] = posixpath.normpath(posixpath.join(folder, member.linkname))
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            buffered = cast("io.BufferedReader", content)
            if is_document(member.name, buffered):
                documents[member.name] = buffered.read()
            elif is_layer(member.name):
                layers[member.name] = known(member.name, cache) or read_layer(
                    buffered, "", cache.readers
                )
    return assembled(layers, documents, aliases, cache)


def is_document(name: str, content: io.BufferedReader) -> bool:
    """Tell whether a file is JSON that says something of the image."""
    return name.endswith(".json") or (name.startswith(BLOBS) and content.peek(1)[:1] == b"{")


def is_layer(name: str) -> bool:
    """Tell whether a file is a layer, if it is no document."""
    return name.endswith("/layer.tar") or name.startswith(BLOBS)


def known(name: str, cache: LayerCache) -> Layer | None:
    """Return a layer that an earlier run has read, where the file's name is its digest."""
    return cache.get(f"sha256:{name.removeprefix(BLOBS)}") if name.startswith(BLOBS) else None


def assembled(
    layers: dict[str, Layer],
    documents: dict[str, bytes],
    aliases: dict[str, str],
    cache: LayerCache,
) -> dict[str, Layers]:
    """Return each image's layers in the order of the manifest, with the digests of its config."""
    if MANIFEST not in documents:
        msg = f"the engine's answer has no {MANIFEST}"
        raise ValueError(msg)
    found: dict[str, Layer] = {}
    images = {}
    for manifest in json.loads(documents[MANIFEST]):
        document = documents[manifest["Config"]]
        config = parse_config(json.loads(document))
        for name, digest in zip(manifest["Layers"], config.layers, strict=True):
            if digest not in found:
                found[digest] = replace(layers[aliases.get(name, name)], digest=digest)
                cache.put(found[digest])
        of_image = tuple(found[digest] for digest in config.layers)
        digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
        images[digest] = Layers(of_image, config.history)
    return images
