"""IMG: how the image is kept, and what its layers are made of; needs no container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.image.history import outline
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers

MOST_LAYERS = 125
"""What Docker can stack: https://github.com/docker/for-linux/issues/414."""
LARGEST_GIGABYTES = 7.0
"""Images of seven and eight gigabytes were seen to time out."""
LARGEST_ID = 65535
"""The last id of a usual range of subordinate ids: https://man7.org/linux/man-pages/man5/subuid.5.html."""
SHOWN = 5
GIGABYTE = 1e9

UNKNOWN_MANIFEST = (
    "only a registry or an OCI layout tells: skopeo copy docker-daemon:IMAGE oci:DIR, then "
    "--dcs-image=oci:DIR"
)


@rule(
    "IMG011",
    "layers-are-gzip",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://learn.microsoft.com/azure/databricks/compute/custom-containers",
        "https://github.com/aws/amazon-ecs-agent/issues/4179",
        "https://github.com/imagegenius/docker-immich/pull/717",
    ),
)
def test_layers_are_gzip(dcs_image: Image) -> None:
    """Databricks documents a Docker client and server of 18.03 as tested, which unpacks gzip only.
    A puller that knows no zstd ends with "archive/tar: invalid tar header".

    Fix: push with `docker buildx build --output type=image,push=true,compression=gzip`, and
    `force-compression=true` beside it where layers of the base are not gzip.
    """
    if dcs_image.manifest is None:
        raise NotApplicable(UNKNOWN_MANIFEST)
    require_none(
        Item(f"layer {number} of the image", media_type, "a layer compressed by gzip")
        for number, media_type in enumerate(dcs_image.manifest.layer_types, 1)
        if "zstd" in media_type
    )


@rule(
    "IMG012",
    "no-attestations",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://docs.docker.com/build/metadata/attestations/attestation-storage/",
        "https://github.com/docker/buildx/issues/1509",
        "https://github.com/twsl/dbx-container/commit/633c0d0",
    ),
)
def test_no_attestations(dcs_image: Image) -> None:
    """Buildx adds provenance as an image of its own, which makes an index with a platform
    `unknown/unknown` of what was one image. Some pullers take that for the image.

    Fix: build with `docker buildx build --provenance=false --sbom=false`.
    """
    if dcs_image.manifest is None:
        raise NotApplicable(UNKNOWN_MANIFEST)
    require(
        not dcs_image.manifest.attestations,
        "entries of the image's index that are no image",
        found=dcs_image.manifest.attestations,
        needed="none",
    )


@rule(
    "IMG013",
    "layer-count",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://github.com/docker/for-linux/issues/414",
        "https://github.com/dusty-nv/jetson-containers/issues/1415",
    ),
)
def test_layer_count(dcs_image: Image) -> None:
    """Docker stacks a hundred and twenty-five layers and refuses more, when it pulls or when
    somebody builds on the image: "max depth exceeded".

    Fix: join `RUN` lines with `&&`, and start from a base with fewer layers.
    """
    count = len(dcs_image.config.layers)
    require(
        count <= MOST_LAYERS, "layers of the image", found=count, needed=f"at most {MOST_LAYERS}"
    )


@rule(
    "IMG014",
    "image-size",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://github.com/databricks/containers/issues/142",
        "https://github.com/databricks/containers/issues/38",
    ),
)
def test_image_size(dcs_image: Image, dcs_layers: Layers) -> None:
    """Every node pulls and unpacks the image before it starts, and the platform does not wait for
    long: "Failed to launch spark container on instance …. Exception: Container setup has timed out"
    was seen with seven to eight gigabytes, on some nodes only. The termination code
    DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION says that there is a limit, and no page its size.

    Fix: remove caches in the `RUN` line that makes them (`pip install --no-cache-dir`,
    `rm -rf /var/lib/apt/lists/*`), and leave compilers in a stage of their own.
    """
    layers = dcs_layers.layers
    size = dcs_image.size or sum(layer.size for layer in layers)
    largest = sorted(layers, key=lambda layer: layer.size, reverse=True)[:SHOWN]
    made = "; ".join(
        f"{gigabytes(layer.size)} by {outline(dcs_layers.created_by(layer)) or layer.digest[:19]}"
        for layer in largest
    )
    require(
        size <= LARGEST_GIGABYTES * GIGABYTE,
        "size of the image, unpacked",
        found=f"{gigabytes(size)} ({made})",
        needed=f"at most {LARGEST_GIGABYTES:.0f} GB",
    )


def gigabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / GIGABYTE:.1f} GB"


@rule(
    "IMG015",
    "file-owners",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://github.com/chadwpalm/PrerollPlus/issues/18",
        "https://github.com/linuxserver/docker-kavita/issues/2",
    ),
)
def test_file_owners(dcs_layers: Layers) -> None:
    """Where containers have user ids of their own, an owner beyond their range cannot be set while
    a layer is unpacked: "failed to Lchown … for UID 369884941 … invalid argument". Such owners come
    from a company's directory service or out of somebody else's tar.

    Fix: `COPY --chown=root:root …`, and `tar --no-same-owner` for archives that a `RUN` unpacks.
    """
    owned = [
        file
        for layer in dcs_layers.layers
        for file in layer.files
        if max(file.uid, file.gid) > LARGEST_ID
    ]
    require_none(
        Item(file.path, f"owner {file.uid}:{file.gid}", f"ids up to {LARGEST_ID}")
        for file in owned[:SHOWN]
    )
