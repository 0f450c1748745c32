"""GPU: what an image has in the place of the machine's driver; needs no container and no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.gpu_image import GpuImage
from pytest_dcs.rules import Item, NotApplicable, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers

CONTAINER_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
README = "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md"
AI_RUNTIME = "https://github.com/databricks/databricks-agent-skills/blob/HEAD/experimental/databricks-ai-runtime/docker-images.md"
VARIABLES = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html"

DEVICES, CAPABILITIES = "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"
NO_DEVICES = frozenset({"", "none", "void"})
NEEDED_CAPABILITIES = frozenset({"compute", "utility"})
ALL = "all"
SHOWN = 5


@rule(
    "GPU001",
    "no-driver-in-the-image",
    level="fail",
    effect="blocks-start",
    feature="gpu",
    where="image",
    sources=(
        CONTAINER_PAGE,
        "https://github.com/NVIDIA/nvidia-docker/issues/825",
        "https://github.com/NVIDIA/nvidia-container-toolkit/issues/371",
    ),
)
def test_no_driver_in_the_image(dcs_image: Image, dcs_layers: Layers) -> None:
    """The driver is the node's, and Databricks says that an image cannot bring another: "The NVIDIA
    driver version must match the driver version on the host machine". Where the image has a file in
    a place of the driver's, the container does not start: "nvidia-container-cli: mount error: file
    creation failed: …/usr/bin/nvidia-smi: file exists"; or its old libraries are taken.

    Fix: `RUN apt-get purge --yes 'nvidia-*' 'libnvidia-*' 'libcuda1*'`, or better do not install
    what brings them (`cuda`, `nvidia-driver-*`, `nvidia-opencl-dev`): `cuda-toolkit-12-4` has all
    but the driver.
    """
    files = [file for file in GpuImage(dcs_image.config, dcs_layers).driver_files() if file.size]
    require_none(
        Item(file.path, f"a file of {file.size:,} bytes", "no file: the node brings its own")
        for file in sorted(files)[:SHOWN]
    )


@rule(
    "GPU002",
    "no-remains-of-a-driver",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        "https://github.com/NVIDIA/libnvidia-container/issues/140",
        "https://github.com/NVIDIA/nvidia-docker/issues/1488",
    ),
)
def test_no_remains_of_a_driver(dcs_image: Image, dcs_layers: Layers) -> None:
    """An image that was built while a driver was mounted keeps empty files of that driver's
    version: "ldconfig.real: File /usr/lib/x86_64-linux-gnu/libcuda.so.418.56 is empty, not
    checked". Beside another driver, links may lead to them.

    Fix: build with Docker's usual runtime, not with `"default-runtime": "nvidia"`, and remove what
    is there: `RUN find /usr -name 'lib*.so.*' -size 0 -delete`.
    """
    files = [
        file for file in GpuImage(dcs_image.config, dcs_layers).driver_files() if not file.size
    ]
    require_none(
        Item(file.path, "an empty file", "no file: the node brings its own")
        for file in sorted(files)[:SHOWN]
        if file.kind == "file"
    )


@rule(
    "GPU003",
    "driver-is-asked-for",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        VARIABLES,
        AI_RUNTIME,
        "https://github.com/mudler/LocalAI/issues/11973",
        README,
    ),
)
def test_driver_is_asked_for(dcs_image: Image) -> None:
    """NVIDIA's container toolkit looks at two variables of the image to know which GPUs and which
    libraries to mount. Without `compute`, nvidia-smi works, which is the check that Databricks
    describes, and CUDA does not: "ImportError: libcuda.so.1: cannot open shared object file". All
    images that Databricks builds for GPUs set both; whether its nodes read them is not published.

    Fix: `ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility`
    """
    require_none(missing_variables(dcs_image.config.environment))


def missing_variables(environment: Mapping[str, str]) -> Iterator[Item]:
    """Yield an item for each variable that does not ask for all that CUDA needs."""
    devices = environment.get(DEVICES)
    if devices is None or devices in NO_DEVICES:
        yield Item(f"ENV {DEVICES}", told(devices), ALL)
    listed = environment.get(CAPABILITIES)
    asked = set((listed or "").replace(" ", "").split(","))
    if ALL not in asked and not asked >= NEEDED_CAPABILITIES:
        yield Item(f"ENV {CAPABILITIES}", told(listed), "compute,utility")


def told(value: str | None) -> str:
    """Return a variable's value for people."""
    return "not set" if value is None else repr(value)


@rule(
    "GPU004",
    "no-stub-as-driver",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        "https://github.com/NVIDIA/warp/issues/219",
        "https://github.com/fboulnois/stable-diffusion-docker/pull/23",
    ),
)
def test_no_stub_as_driver(dcs_image: Image, dcs_layers: Layers) -> None:
    """CUDA has a stand-in of the driver's library to link with where there is no driver. Where
    programs find it by the driver's name, or ldconfig gives it that name, each call fails on nodes
    with GPUs: "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library".

    Fix: remove the link, `RUN rm -f /usr/local/cuda/lib64/stubs/libcuda.so.1
    /etc/ld.so.conf.d/*stubs*.conf && ldconfig`; a build that links takes `LIBRARY_PATH`, or
    `-L/usr/local/cuda/lib64/stubs`.
    """
    require_none(
        Item(path, f"a stub, found by {named_in}", "the node's driver")
        for path, named_in, as_driver in sorted(GpuImage(dcs_image.config, dcs_layers).stubs())
        if as_driver
    )


@rule(
    "GPU005",
    "no-stubs-on-the-loader-path",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=("https://github.com/numba/numba/issues/8985",),
)
def test_no_stubs_on_the_loader_path(dcs_image: Image, dcs_layers: Layers) -> None:
    """Programs that load `libcuda.so`, as Numba does, and not `libcuda.so.1`, find the stand-in in
    a folder of LD_LIBRARY_PATH before the driver: "CUDA driver is a stub library". PyTorch and
    others that load the second name work.

    Fix: `ENV LD_LIBRARY_PATH=` without `/usr/local/cuda/lib64/stubs`; for a build alone,
    `RUN LIBRARY_PATH=/usr/local/cuda/lib64/stubs make`.
    """
    require_none(
        Item(path, f"a stub, found by {named_in}", "a folder without stubs")
        for path, named_in, as_driver in sorted(GpuImage(dcs_image.config, dcs_layers).stubs())
        if not as_driver
    )


@rule(
    "GPU006",
    "no-compat-on-the-loader-path",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="image",
    sources=(
        AI_RUNTIME,
        "https://github.com/NVIDIA/nvidia-docker/issues/1256",
        "https://github.com/gpustack/gpustack/issues/4678",
    ),
)
def test_no_compat_on_the_loader_path(
    dcs_image: Image, dcs_layers: Layers, dcs_gpu_driver: tuple[int, ...]
) -> None:
    """CUDA's folder `compat` has the libraries of a driver that was new when the image was made. On
    the loader's path they replace those of a newer driver: "Error 803: system has unsupported
    display driver / cuda driver combination", while nvidia-smi works. Which driver a node has is
    not published; --dcs-gpu-driver=VERSION tells the rule GPU007 what to compare with.

    Fix: `ENV LD_LIBRARY_PATH=` without `/usr/local/cuda/compat`, and no file of /etc/ld.so.conf.d
    that names it. NVIDIA's container toolkit takes the folder by itself where the driver is older.
    """
    if dcs_gpu_driver:
        raise NotApplicable("the driver is known: GPU007 compares")
    require_none(
        Item(place.folder, f"named in {place.named_in}", "not on the loader's path")
        for place, _ in GpuImage(dcs_image.config, dcs_layers).compat_on_loader_path()
    )
