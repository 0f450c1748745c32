"""Images that cannot be found, read or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.errors.base import SetupError

if TYPE_CHECKING:
    from pathlib import Path


class ImageNotFound(SetupError):
    """Neither the engine nor a registry has the image."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"image {reference!r} was not found ({detail}).",
            cause="The name or tag is misspelt, the image was not built on this engine, or the "
            "registry wants a login.",
            next_step=f"`docker image inspect {reference}` or `docker pull {reference}` must work; "
            "`docker login` first for a private registry.",
        )


class EngineNeeded(SetupError):
    """An image that only an engine has, in a run that may use none."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"image {reference!r} cannot be read with --dcs-engine=none.",
            cause="Without an engine only files of this machine can be read.",
            next_step=f"`docker save {reference} -o image.tar`, then "
            "--dcs-image=docker-archive:image.tar; or leave --dcs-engine out.",
        )


class LayersOutOfReach(SetupError):
    """The layers of an image that is seen from inside."""

    def __init__(self) -> None:
        super().__init__(
            "the layers of an image cannot be read from inside.",
            cause="A running image shows its files, not which layer brought them.",
            next_step="Run these rules outside, which needs no container: --dcs-engine=none with "
            "--dcs-image=oci:DIR or docker-archive:FILE.",
        )


class DescriptionUnreadable(SetupError):
    """A file that should describe the image and does not."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"no image's config can be read from {path} ({problem}).",
            cause="--dcs-image-config takes what `docker image inspect IMAGE` or "
            "`skopeo inspect --config --raw docker://IMAGE` prints.",
            next_step="Write it where the image is built, `docker image inspect IMAGE > "
            "image.json`, and hand the file to the job that runs in the image.",
        )


class BrokenArchive(SetupError):
    """Files of this machine that should hold an image and do not."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"no image can be read from {reference!r} ({detail}).",
            cause="The path is misspelt, the file was cut off, or it is of another kind: oci:DIR "
            "is a folder, oci-archive:FILE its tar, docker-archive:FILE what `docker save` writes.",
            next_step="`skopeo inspect` with the same name must work; where there are several "
            "images, name one: oci:DIR:TAG, docker-archive:FILE:acme/ml:1.4",
        )


class PullFailed(SetupError):
    """A registry has refused or not answered."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"image {reference!r} could not be pulled ({detail}).",
            cause="The registry is out of reach, refuses these credentials, or limits pulls.",
            next_step=f"`docker pull --platform linux/amd64 {reference}` must work; with the image "
            "already on the engine, use --dcs-pull=never.",
        )


class WrongArchitecture(SetupError):
    """The image is for a platform that no cluster runs."""

    def __init__(self, reference: str, platform: str) -> None:
        super().__init__(
            f"image {reference!r} is for {platform}; Databricks clusters run linux/amd64 only.",
            cause="It was built on an arm64 machine, such as an Apple laptop, without --platform.",
            next_step="Build it with `docker build --platform linux/amd64 …`; if the registry has "
            "that variant, fetch it with --dcs-pull=always.",
        )


class InvalidReference(SetupError):
    """The image's name cannot be one."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference!r} is not an image reference.",
            cause="A reference is [registry/]name[:tag][@digest], the name in lower case.",
            next_step="Example: --dcs-image=acme/ml:1.4",
        )
