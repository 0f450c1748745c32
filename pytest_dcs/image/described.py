"""An image by a file that describes it, for a run that has only the running image itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_dcs.errors import DescriptionUnreadable
from pytest_dcs.image import Image
from pytest_dcs.image.config import from_inspection, parse_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_dcs.image import SeenFrom

OF_CONTAINERS = frozenset({"State", "HostConfig"})
"""Keys by which `docker inspect` describes a container and no image."""


def read_description(reference: str, path: Path, seen_from: SeenFrom) -> Image:
    """Return the image that `docker inspect` or `skopeo inspect --config` describes in a file.

    Raises `DescriptionUnreadable`.
    """
    try:
        content = path.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise DescriptionUnreadable(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise DescriptionUnreadable(path, f"it is no JSON: {error}") from error
    return described(reference, path, only_one(path, document), content, seen_from)


def only_one(path: Path, document: object) -> Mapping[str, Any]:
    """Return the document of the one image that a file is about."""
    if isinstance(document, list):
        if len(document) != 1:
            raise DescriptionUnreadable(path, f"it describes {len(document)} things, not one")
        document = document[0]
    if not isinstance(document, dict):
        raise DescriptionUnreadable(path, "it describes no image")
    return document


def described(
    reference: str,
    path: Path,
    document: Mapping[str, Any],
    content: bytes,
    seen_from: SeenFrom,
) -> Image:
    """Return the image of a document of either kind."""
    if OF_CONTAINERS & document.keys():
        raise DescriptionUnreadable(path, "it describes a container, not its image")
    try:
        if isinstance(document.get("Id"), str):
            found = from_inspection(reference, document)
            return replace(found, seen_from=seen_from, history_known=False)
        if isinstance(document.get("rootfs"), dict):
            config = parse_config(document)
            return Image(reference, id=id_of(content), config=config, seen_from=seen_from)
    except (AttributeError, TypeError, ValueError) as error:
        raise DescriptionUnreadable(path, f"it is of an unknown form: {error}") from error
    raise DescriptionUnreadable(path, "it has neither an Id nor a rootfs")


def id_of(content: bytes) -> str:
    """Return the image id of a config: its digest, byte by byte; empty where it was laid out anew.

    Builders write it in one line, and `skopeo inspect --config` without `--raw` in many.
    https://github.com/containers/skopeo/blob/main/docs/skopeo-inspect.1.md
    """
    return "" if b"\n" in content.strip() else f"sha256:{hashlib.sha256(content).hexdigest()}"
