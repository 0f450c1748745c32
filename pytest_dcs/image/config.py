"""Reading an image's config: from a daemon's answer or from the image itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.image.reference import Reference, is_image_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def parse_config(document: Mapping[str, Any]) -> ImageConfig:
    """Return the config in a document with `os`, `architecture` and `config`.

    A daemon writes the outer keys with a capital letter, an image without one; the inner keys are
    the same: https://github.com/opencontainers/image-spec/blob/main/config.md
    """
    outer = {key.lower(): value for key, value in document.items()}
    inner = outer.get("config") or {}
    return ImageConfig(
        os=outer.get("os") or "linux",
        architecture=outer.get("architecture") or "amd64",
        user=inner.get("User") or "",
        environment=_environment(inner.get("Env") or ()),
        entrypoint=tuple(inner.get("Entrypoint") or ()),
        command=tuple(inner.get("Cmd") or ()),
        working_directory=inner.get("WorkingDir") or "",
        volumes=tuple(sorted(inner.get("Volumes") or ())),
        labels=dict(inner.get("Labels") or {}),
    )


def from_inspection(reference: str, document: Mapping[str, Any]) -> Image:
    """Return the image that a daemon describes.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageInspect
    """
    return Image(
        reference=reference,
        id=document["Id"],
        config=parse_config(document),
        digest=_digest(reference, document.get("RepoDigests") or ()),
        size=document.get("Size") or 0,
    )


def _environment(lines: Iterable[str]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _digest(reference: str, repository_digests: Iterable[str]) -> str | None:
    """Return the digest that the reference's own repository has for the image."""
    if is_image_id(reference):
        return None
    repository = Reference.parse(reference).repository
    for text in repository_digests:
        name, _, digest = text.partition("@")
        # Older daemons write `<none>@<none>` for an image that lost its last name.
        if name != "<none>" and Reference.parse(name).repository == repository:
            return digest
    return None
