"""GPU: packages that need a GPU or leave it unused, by the files of the image; needs no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs import gpu
from pytest_dcs.gpu_image import GpuImage
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers


WASTE_MEGABYTES = 100
MEGABYTE = 1e6
CUDNN = "cudnn"


@rule(
    "GPU011",
    "one-cudnn",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        "https://github.com/pytorch/pytorch/issues/104808",
        "https://github.com/gladiaio/gladia/issues/928",
    ),
)
def test_one_cudnn(dcs_image: Image, dcs_layers: Layers) -> None:
    """Python packages bring their cuDNN along. One of another version in a folder of
    LD_LIBRARY_PATH goes before it for all that does not name its folders itself, and parts of both
    may be mixed: "CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH", "cuDNN version incompatibility".

    Fix: start from a base without cuDNN, `FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04` and not
    `…-cudnn-runtime-…`, or `ENV LD_LIBRARY_PATH=` without its folder.
    """
    seen = GpuImage(dcs_image.config, dcs_layers)
    brought = {
        name: gpu.version_of(version)[:3]
        for name, version in seen.distributions.items()
        if (library := gpu.library_of_wheel(name)) and library.name == CUDNN
    }
    require_none(
        Item(path, f"cuDNN {gpu.text_of(found)} before {name}", gpu.text_of(version))
        for path, found in seen.preferred_cudnn()
        for name, version in sorted(brought.items())
        if found[0] == version[0] and found != version
    )


@rule(
    "GPU012",
    "packages-for-gpus",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        "https://pytorch.org/get-started/locally/",
        "https://www.tensorflow.org/install/pip",
        "https://onnxruntime.ai/docs/install/",
        "https://docs.jax.dev/en/latest/installation.html",
    ),
)
def test_packages_for_gpus(dcs_image: Image, dcs_layers: Layers) -> None:
    """The image is declared for GPUs, and a package in it is the build that computes on processors
    alone. Nothing fails: jobs on GPU nodes are slow, and say at most "Torch not compiled with CUDA
    enabled".

    Fix: install the build for GPUs, `RUN /databricks/python3/bin/pip install torch --index-url
    https://download.pytorch.org/whl/cu124`; leave it where the package shall compute without one.
    """
    require_none(cpu_builds(GpuImage(dcs_image.config, dcs_layers).distributions))


def cpu_builds(distributions: Mapping[str, str]) -> Iterator[Item]:
    """Yield the packages that leave a GPU unused."""
    for build in gpu.cpu_builds():
        version = distributions.get(build.package)
        if version is None or distributions.keys() & set(build.unless):
            continue
        local = version.partition("+")[2]
        is_for_gpus = build.unless_local and local.startswith(build.unless_local)
        if not is_for_gpus and local.startswith(build.local):
            yield Item(f"package {build.package}", version, build.instead)


@rule(
    "GPU013",
    "cuda-for-gpus-alone",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        "https://pytorch.org/get-started/locally/",
        "https://github.com/databricks/containers/issues/142",
    ),
)
def test_cuda_for_gpus_alone(
    dcs_image: Image, dcs_layers: Layers, dcs_features: frozenset[str]
) -> None:
    """`pip install torch` brings gigabytes of CUDA, which each node pulls and unpacks before it
    starts, and which serve GPUs alone. The image is not declared for GPUs.

    Fix: `RUN /databricks/python3/bin/pip install torch --index-url
    https://download.pytorch.org/whl/cpu`, or declare what the image is for:
    `--dcs-profile=python,gpu`.
    """
    if "gpu" in dcs_features:
        raise NotApplicable("the image is declared for GPUs")
    megabytes = GpuImage(dcs_image.config, dcs_layers).nvidia_wheels_size / MEGABYTE
    require(
        megabytes <= WASTE_MEGABYTES,
        "CUDA's libraries in Python packages",
        found=f"{megabytes:,.0f} MB",
        needed=f"at most {WASTE_MEGABYTES} MB in an image without the feature gpu",
    )
