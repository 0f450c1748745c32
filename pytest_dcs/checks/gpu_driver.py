"""GPU: CUDA in the image against the driver that --dcs-gpu-driver names; needs no GPU."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

from pytest_dcs import gpu
from pytest_dcs.gpu_image import GpuImage
from pytest_dcs.rules import Item, NotApplicable, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_dcs.gpu import Version
    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers

RELEASE_NOTES = "https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html"
MINOR_VERSIONS = (
    "https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"
)
AI_RUNTIME = "https://github.com/databricks/databricks-agent-skills/blob/HEAD/experimental/databricks-ai-runtime/docker-images.md"
REQUIRE = "NVIDIA_REQUIRE_"
DISABLED = "NVIDIA_DISABLE_REQUIRE"
CONDITION = re.compile(r"(cuda|driver)(>=|<=|!=|>|<|=)([\d.]+)")
OPERATORS: dict[str, Callable[[Version, Version], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
UNKNOWN_DRIVER = "no driver is known to compare with: --dcs-gpu-driver=550.54.15"


@rule(
    "GPU007",
    "compat-is-not-older-than-the-driver",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        AI_RUNTIME,
        "https://github.com/NVIDIA/nvidia-docker/issues/1256",
        "https://github.com/NVIDIA/NeMo-Aligner/issues/336",
    ),
)
def test_compat_is_not_older_than_the_driver(
    dcs_image: Image, dcs_layers: Layers, dcs_gpu_driver: Version
) -> None:
    """CUDA's folder `compat` serves drivers that are older than it. On the loader's path before a
    newer driver it takes the place of that one's libraries: "Error 803: system has unsupported
    display driver / cuda driver combination". The cluster starts, nvidia-smi works, and the first
    use of a GPU fails.

    Fix: `ENV LD_LIBRARY_PATH=` without `/usr/local/cuda/compat`, and
    `RUN rm -f /etc/ld.so.conf.d/*compat*.conf && ldconfig`.
    """
    refuse_unknown(dcs_gpu_driver)
    needed = f"the driver's {gpu.text_of(dcs_gpu_driver)} or newer, or not on the loader's path"
    require_none(
        Item(place.folder, f"{gpu.text_of(version)}, named in {place.named_in}", needed)
        for place, version in GpuImage(dcs_image.config, dcs_layers).compat_on_loader_path()
        if version is not None and version < dcs_gpu_driver
    )


@rule(
    "GPU008",
    "image-accepts-the-driver",
    level="fail",
    effect="blocks-start",
    feature="gpu",
    where="image",
    sources=(
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html",
        "https://github.com/NVIDIA/JAX-Toolbox/issues/165",
    ),
)
def test_image_accepts_the_driver(dcs_image: Image, dcs_gpu_driver: Version) -> None:
    """NVIDIA's base images say in NVIDIA_REQUIRE_CUDA with which drivers they start at all, and its
    container toolkit starts none with another: "requirement error: unsatisfied condition:
    cuda>=12.1, please update your driver to a newer version".

    Fix: build on a base with an older CUDA, `FROM nvidia/cuda:12.2.2-runtime-ubuntu22.04`, with the
    wheels for it.
    """
    refuse_unknown(dcs_gpu_driver)
    environment = dcs_image.config.environment
    if environment.get(DISABLED):
        raise NotApplicable(f"ENV {DISABLED} switches the requirement off")
    require_none(unmet_requirements(environment, dcs_gpu_driver))


def unmet_requirements(environment: Mapping[str, str], driver: Version) -> Iterator[Item]:
    """Yield the requirements of an image that a driver cannot meet.

    Blanks separate alternatives, commas what each needs. Which brand a node's GPU has is left open.
    """
    offered = {"driver": driver, "cuda": gpu.cuda_of_driver(driver)}
    has = f"driver {gpu.text_of(driver)}, which offers CUDA {gpu.text_of(offered['cuda']) or '-'}"
    for name, value in sorted(environment.items()):
        if name.startswith(REQUIRE) and value.split():
            alternatives = [each.split(",") for each in value.split()]
            if not any(all(may_hold(each, offered) for each in one) for one in alternatives):
                yield Item(f"ENV {name} of the image", value.split()[0], f"what {has} meets")


def may_hold(condition: str, offered: Mapping[str, Version]) -> bool:
    """Tell whether a condition holds, or is about something else than versions."""
    found = CONDITION.fullmatch(condition)
    if not found:
        return True
    needed = gpu.version_of(found[3])
    return OPERATORS[found[2]](offered[found[1]][: len(needed)], needed)


@rule(
    "GPU009",
    "cuda-runs-on-the-driver",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="image",
    requires=("GPU008",),
    sources=(MINOR_VERSIONS, AI_RUNTIME, "https://github.com/NVIDIA-Merlin/Merlin/issues/1055"),
)
def test_cuda_runs_on_the_driver(
    dcs_image: Image, dcs_layers: Layers, dcs_gpu_driver: Version
) -> None:
    """Nothing of a CUDA runs on a driver that is older than the first one for its major version:
    "CUDA driver version is insufficient for CUDA runtime version". With such an image a cluster was
    seen to end with "Could not connect to driver instance. Possible reason: network
    misconfiguration".

    Fix: take packages for an older CUDA, `RUN /databricks/python3/bin/pip install torch
    --index-url https://download.pytorch.org/whl/cu124`, or a base such as
    `FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04`.
    """
    refuse_unknown(dcs_gpu_driver)
    seen = GpuImage(dcs_image.config, dcs_layers)
    require_none(
        Item(brought_by, f"CUDA {gpu.text_of(cuda)}", needed_driver(oldest, dcs_gpu_driver))
        for cuda, brought_by in sorted(seen.cuda.items())
        if (oldest := gpu.oldest_driver(cuda)) and newest(seen, dcs_gpu_driver) < oldest
    )


@rule(
    "GPU010",
    "cuda-is-not-newer-than-the-driver",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    requires=("GPU008", "GPU009"),
    sources=(RELEASE_NOTES, MINOR_VERSIONS),
)
def test_cuda_is_not_newer_than_the_driver(
    dcs_image: Image, dcs_layers: Layers, dcs_gpu_driver: Version
) -> None:
    """A driver runs newer CUDAs of its major version "with limited feature-set": what is compiled
    when it is used, as Numba, Triton and CuPy do, needs the driver of the very CUDA: "the provided
    PTX was compiled with an unsupported toolchain".

    Fix: take packages for the driver's CUDA, `RUN /databricks/python3/bin/pip install torch
    --index-url https://download.pytorch.org/whl/cu121`; leave it where nothing is compiled on the
    node.
    """
    refuse_unknown(dcs_gpu_driver)
    seen = GpuImage(dcs_image.config, dcs_layers)
    require_none(
        Item(brought_by, f"CUDA {gpu.text_of(cuda)}", needed_driver(own, dcs_gpu_driver))
        for cuda, brought_by in sorted(seen.cuda.items())
        if (own := gpu.toolkit_driver(cuda)) and newest(seen, dcs_gpu_driver) < own
    )


def newest(image: GpuImage, driver: Version) -> Version:
    """Return the driver whose libraries programs get: the image may have newer ones in `compat`."""
    return max([driver, *image.compat_drivers])


def needed_driver(needed: Version, driver: Version) -> str:
    """Return what a CUDA needs, beside what there is."""
    return f"a driver from {gpu.text_of(needed)} on, and it is {gpu.text_of(driver)}"


def refuse_unknown(driver: Version) -> None:
    """Raise `NotApplicable` where nobody has said which driver the nodes have."""
    if not driver:
        raise NotApplicable(UNKNOWN_DRIVER)
