"""Reading an image's config: from a daemon's answer or from the image itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pytest_dcs.image import History, Image, ImageConfig
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
        exposed_ports=tuple(sorted(inner.get("ExposedPorts") or ())),
        health_check=tuple((inner.get("Healthcheck") or {}).get("Test") or ()),
        stop_signal=inner.get("StopSignal") or "",
        history=parse_history(outer.get("history") or ()),
        layers=_diff_ids(outer.get("rootfs") or {}),
    )


def parse_history(steps: Iterable[Mapping[str, Any]]) -> tuple[History, ...]:
    """Return the steps of a build as an image's config lists them, oldest first."""
    return tuple(
        History(step.get("created_by") or "", empty=bool(step.get("empty_layer"))) for step in steps
    )


def history_of_daemon(steps: Iterable[Mapping[str, Any]]) -> tuple[History, ...]:
    """Return the steps of a build as a daemon lists them: the newest first, with sizes.

    A step without bytes may have made a layer all the same, which only the image itself can tell.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageHistory
    """
    return tuple(
        History(step.get("CreatedBy") or "", empty=not step.get("Size")) for step in [*steps][::-1]
    )


def from_inspection(
    reference: str, document: Mapping[str, Any], history: Iterable[Mapping[str, Any]] = ()
) -> Image:
    """Return the image that a daemon describes, with the steps that the daemon lists.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageInspect
    """
    return Image(
        reference=reference,
        id=document["Id"],
        config=replace(parse_config(document), history=history_of_daemon(history)),
        digest=_digest(reference, document.get("RepoDigests") or ()),
        size=document.get("Size") or 0,
    )


def _diff_ids(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the layers' digests: an image calls them `diff_ids`, a daemon `Layers`."""
    return tuple(document.get("diff_ids") or document.get("Layers") or ())


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
