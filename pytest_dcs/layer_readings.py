"""Reads the layers of images beside everything else: the slowest part is the engine's saving."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_dcs import errors
from pytest_dcs.image import archives
from pytest_dcs.image.layer_cache import LayerCache
from pytest_dcs.image.layer_reading import BROKEN
from pytest_dcs.image.layers import Layers
from pytest_dcs.image.readers import READERS
from pytest_dcs.image.saved import read_saved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_dcs.engines import Engine
    from pytest_dcs.image import Image


class LayerReadings:
    """The layers of all images of a run; each image is read once, in the background."""

    def __init__(self, engine: Callable[[], Engine], cache_directory: Path) -> None:
        self._engine = engine
        self._cache = LayerCache(cache_directory, READERS)
        self._readings: dict[str, _Reading] = {}

    def start(self, image: Image) -> None:
        """Begin to read an image's layers, unless that was begun before."""
        if image.id not in self._readings:
            self._readings[image.id] = _Reading(lambda: self._read(image))

    def result(self, image: Image) -> Layers:
        """Return an image's layers; raises a `SetupError` where they cannot be had."""
        self.start(image)
        return self._readings[image.id].result()

    def read_together(self, images: Iterable[Image]) -> None:
        """Read the layers of many images, of which what they have in common is saved once."""
        new = {
            image.id: image
            for image in images
            if image.config.layers and not image.archive and self._cache.get_all(image) is None
        }
        if new:
            self._read_saved([*new.values()])

    def _read(self, image: Image) -> Layers:
        if image.archive:
            return archives.read(archives.parse(image.archive), self._cache)
        if not image.config.layers:
            return Layers((), image.config.history)
        known = self._cache.get_all(image)
        if known is not None:
            return known
        return self._read_saved([image])[image.id]

    def _read_saved(self, images: Sequence[Image]) -> Mapping[str, Layers]:
        with self._engine().save(images) as stream:
            try:
                found = read_saved(stream, self._cache)
            except (ValueError, *BROKEN) as error:
                task = f"save {', '.join(image.reference for image in images)}"
                raise errors.EngineFault(task, str(error)) from error
        by_layers = {
            tuple(layer.digest for layer in layers.layers): layers for layers in found.values()
        }
        read = {}
        for image in images:
            # To some engines the id is the digest of the manifest, not of the config.
            read[image.id] = found.get(image.id) or by_layers[image.config.layers]
            self._cache.put_all(image, read[image.id])
        return read


class _Reading:
    """One reading, in a thread that nobody has to wait for when a run is stopped."""

    def __init__(self, read: Callable[[], Layers]) -> None:
        self._read = read
        self._layers: Layers | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dcs-layers", daemon=True)
        self._thread.start()

    def result(self) -> Layers:
        """Return what was read, or raise what kept it from being read."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._layers is None:
            msg = "the reading has ended without a result"
            raise RuntimeError(msg)
        return self._layers

    def _run(self) -> None:
        try:
            self._layers = self._read()
        except BaseException as error:  # raised again in whoever waits for it
            self._error = error
