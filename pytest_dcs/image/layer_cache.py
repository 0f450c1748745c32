"""Keeps layers that were read, once for all runs."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dcs.image import History
from pytest_dcs.image.layer_reading import BROKEN
from pytest_dcs.image.layers import File, Layer, Layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Reader

logger = logging.getLogger(__name__)

FORMAT = 1
"""To be raised when a cached layer has another form."""
UNUSED_DAYS = 30
"""After how many days a layer that no run has asked for is removed."""


class LayerCache:
    """Layers that earlier runs have read, by their digests and by what looks into files."""

    def __init__(self, directory: Path, readers: Sequence[Reader]) -> None:
        self.readers = readers
        self._directory = directory / "layers"
        versions = [FORMAT, sorted((reader.name, reader.version) for reader in readers)]
        self._version = hashlib.sha256(repr(versions).encode()).hexdigest()[:8]

    def get(self, digest: str) -> Layer | None:
        """Return a layer, None where it was not read yet or what is kept is damaged."""
        path = self._path(digest)
        try:
            document = json.loads(gzip.decompress(path.read_bytes()))
            layer = Layer(
                digest=document["digest"],
                size=document["size"],
                files=tuple(File(*file) for file in document["files"]),
                removed=tuple(document["removed"]),
                emptied=tuple(document["emptied"]),
                notes={name: tuple(found) for name, found in document["notes"].items()},
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, *BROKEN) as error:
            logger.info("%s is damaged: %s", path, error)
            return None
        with suppress(OSError):
            os.utime(path)
        return layer

    def put(self, layer: Layer) -> None:
        """Keep a layer; where the folder cannot be written the next run reads it again."""
        document = json.dumps(vars(layer), separators=(",", ":")).encode()
        self._write(self._path(layer.digest), gzip.compress(document, compresslevel=1))

    def get_all(self, image: Image) -> Layers | None:
        """Return an image's layers, None where one of them is not kept."""
        try:
            steps = json.loads(self._path(image.id).with_suffix("").read_text(encoding="utf-8"))
            history = tuple(History(**step) for step in steps)
        except (OSError, ValueError, TypeError):
            return None
        layers = [self.get(digest) for digest in image.config.layers]
        found = tuple(layer for layer in layers if layer is not None)
        return Layers(found, history) if len(found) == len(layers) else None

    def put_all(self, image: Image, layers: Layers) -> None:
        """Keep what is known of an image besides its layers, which are kept already."""
        steps = json.dumps([vars(step) for step in layers.history])
        self._write(self._path(image.id).with_suffix(""), steps.encode())

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest.replace(':', '-')}-{self._version}.json.gz"

    def _write(self, path: Path, content: bytes) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as file:
                file.write(content)
            # Other runs may read and write the same layer.
            Path(file.name).replace(path)
            self._remove_unused()
        except OSError as error:
            logger.info("%s is not kept: %s", path, error)

    def _remove_unused(self) -> None:
        oldest = time.time() - UNUSED_DAYS * 24 * 3600
        for path in self._directory.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
