"""GPU: CUDA's libraries as the loader of the launched image takes them; needs no GPU.

They are loaded by the Python of `/databricks/python3`, each in a process of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dcs import gpu
from pytest_dcs.rules import Blocked, Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.gpu import Version
    from pytest_dcs.gpu_libraries import GpuLibraries, Torch

PYTHON_RULES = ("PY001",)
CUDNN = "cudnn"
COMPARED = 2
"""How many parts of a version frameworks compare."""
UNDEFINED = "undefined symbol"
ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)[a-z]?")


@rule(
    "GPU014",
    "cuda-libraries-are-whole",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=PYTHON_RULES,
    sources=(
        "https://github.com/pytorch/pytorch/issues/104591",
        "https://docs.nvidia.com/deeplearning/cudnn/latest/api/overview.html",
    ),
)
def test_cuda_libraries_are_whole(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """Most of cuDNN's libraries are loaded by the first operation that needs them, and so are some
    of NVRTC's. Where some were left out to make the image small, imports work and training
    ends: "Could not load library libcudnn_cnn_infer.so.8. Error: libcudnn_cnn_infer.so.8: cannot
    open shared object file".

    Fix: install the package whole, `RUN /databricks/python3/bin/pip install --force-reinstall
    --no-deps nvidia-cudnn-cu12`, or `apt-get install libcudnn8`.
    """
    found = known(dcs_gpu_libraries_smoke)
    require_none(
        Item(each.path, f"no {', '.join(each.missing)} beside it", "all its parts")
        for each in found.libraries
        if each.missing
    )


@rule(
    "GPU015",
    "cuda-libraries-load",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=(*PYTHON_RULES, "GPU014"),
    sources=(
        "https://github.com/pytorch/pytorch/issues/104591",
        "https://man7.org/linux/man-pages/man3/dlopen.3.html",
    ),
)
def test_cuda_libraries_load(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """Each of CUDA's libraries in the image was loaded as a framework would: without a GPU this
    works, as long as all that it needs is there and fits. What does not load here fails on the node
    when it is first used: "OSError: libcublasLt.so.12: cannot open shared object file".

    Fix: install what it needs in the same version, `RUN /databricks/python3/bin/pip install
    nvidia-cublas-cu12==12.4.5.8`, or remove it.
    """
    found = known(dcs_gpu_libraries_smoke)
    require_none(
        Item(each.path, each.error, "a library that loads")
        for each in found.libraries
        if each.error
    )


@rule(
    "GPU016",
    "cuda-libraries-are-found",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=(*PYTHON_RULES, "PY032"),
    sources=(
        "https://github.com/tensorflow/tensorflow/issues/66750",
        "https://www.tensorflow.org/install/pip",
        "https://github.com/StatCan/aaw/issues/122",
    ),
)
def test_cuda_libraries_are_found(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """Frameworks look for most of CUDA's libraries when they run, and TensorFlow goes on without:
    "Cannot dlopen some GPU libraries. … Skipping registering GPU devices", and it computes on the
    processor. The image has nowhere what a package's own metadata name.

    Fix: install it with what it needs, `RUN /databricks/python3/bin/pip install
    'tensorflow[and-cuda]'`, without `--no-deps`.
    """
    found = known(dcs_gpu_libraries_smoke)
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for each in found.wanted:
        if not each.path and each.file not in missing[each.package]:
            missing[each.package].append(each.file)
    require_none(
        Item(f"package {package}", f"no {', '.join(sorted(files))}", "all that it loads")
        for package, files in sorted(missing.items())
        if files
    )


@rule(
    "GPU017",
    "cudnn-of-the-framework",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=(*PYTHON_RULES, "GPU014", "GPU015"),
    sources=(
        "https://github.com/pytorch/pytorch/issues/104808",
        "https://github.com/borisdayma/dalle-mini/issues/316",
        "https://docs.nvidia.com/deeplearning/cudnn/latest/developer/forward-compatibility.html",
    ),
)
def test_cudnn_of_the_framework(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """A framework refuses a cuDNN that is older than the one that it was built with: "cuDNN version
    incompatibility: PyTorch was compiled against (8, 5, 0) but found runtime version (8, 4, 1)".
    The version compared is what the library itself answers that the loader finds for the package.

    Fix: `ENV LD_LIBRARY_PATH=` without the folder of the system's cuDNN, or a base without it,
    `FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04`; else install the pinned package.
    """
    found = known(dcs_gpu_libraries_smoke)
    pinned = {
        each.package: each.pinned for each in found.wanted if each.library == CUDNN and each.pinned
    }
    paths = {each.package: each.path for each in reversed(found.wanted) if each.library == CUDNN}
    require_none(older_cudnn(found, pinned, paths))


def older_cudnn(
    found: GpuLibraries, pinned: Mapping[str, Version], paths: Mapping[str, str]
) -> Iterator[Item]:
    """Yield the packages that find an older cuDNN than they are pinned to."""
    for package, version in sorted(pinned.items()):
        there = found.version_at(paths[package])
        if there and there[:COMPARED] < version[:COMPARED]:
            yield Item(
                f"package {package}",
                f"cuDNN {gpu.text_of(there)} in {paths[package]}",
                f"{gpu.text_of(version[:COMPARED])} or newer, as it was built with",
            )


@rule(
    "GPU018",
    "code-for-the-gpu",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=PYTHON_RULES,
    sources=(
        "https://github.com/databricks/containers/blob/master/ubuntu/gpu/cuda-11.0/README.md",
        "https://developer.nvidia.com/cuda-gpus",
    ),
)
def test_code_for_the_gpu(
    dcs_gpu_libraries_smoke: GpuLibraries, dcs_gpu_types: Mapping[str, Version]
) -> None:
    """PyTorch has compiled code for some generations of GPUs and none for others, old or new:
    "cudaErrorNoKernelImageForDevice: no kernel image is available for execution on the device". All
    imports work. --dcs-gpu-type names the GPUs of the nodes.

    Fix: take a build for the node's GPU, a newer one for a new GPU and an older one for an old:
    `RUN /databricks/python3/bin/pip install torch
    --index-url https://download.pytorch.org/whl/cu128`.
    """
    if not dcs_gpu_types:
        raise NotApplicable("no GPU is known to compare with: --dcs-gpu-type=T4")
    torch = torch_with_cuda(dcs_gpu_libraries_smoke)
    if torch.error:
        raise Blocked(torch.error)
    require_none(
        Item(
            f"PyTorch on {name}",
            f"code for {' '.join(torch.architectures) or 'no GPU'}",
            f"code for sm_{''.join(map(str, capability))}",
        )
        for name, capability in sorted(dcs_gpu_types.items())
        if not any(runs_on(each, capability) for each in torch.architectures)
    )


def runs_on(architecture: str, capability: Version) -> bool:
    """Tell whether code runs on a GPU: it is for its generation, or the driver compiles it.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#binary-compatibility
    """
    found = ARCHITECTURE.fullmatch(architecture)
    if not found:
        return False
    of_code = int(found[2]), int(found[3])
    if found[1] == "compute":
        return of_code <= capability
    return of_code[0] == capability[0] and of_code[1] <= capability[1]


@rule(
    "GPU019",
    "extensions-of-pytorch-load",
    level="fail",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=PYTHON_RULES,
    sources=(
        "https://github.com/databricks/databricks-agent-skills/blob/HEAD/experimental/databricks-ai-runtime/docker-images.md",
        "https://pytorch.org/docs/stable/cpp_extension.html",
    ),
)
def test_extensions_of_pytorch_load(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """Packages that are compiled against PyTorch fit to one version of it, and to one way in which
    that was compiled: "ImportError: …flash_attn_2_cuda… undefined symbol: _ZN3c105ErrorC2…". Each
    was loaded beside the image's PyTorch.

    Fix: take the build for the installed PyTorch, or compile it in the image:
    `RUN /databricks/python3/bin/pip install --no-build-isolation flash-attn`.
    """
    found = known(dcs_gpu_libraries_smoke)
    if found.torch is None:
        raise NotApplicable("PyTorch is not installed")
    if found.torch.error:
        raise Blocked(found.torch.error)
    require_none(
        Item(f"package {package}", error, "symbols that the installed PyTorch has")
        for _, package, error in found.torch.failed
        if UNDEFINED in error
    )


@rule(
    "GPU020",
    "compiler-of-pytorchs-cuda",
    level="advice",
    effect="disables-feature",
    feature="gpu",
    where="cluster",
    requires=PYTHON_RULES,
    sources=(
        "https://pytorch.org/docs/stable/cpp_extension.html",
        "https://github.com/NVIDIA/apex/issues/1735",
    ),
)
def test_compiler_of_pytorchs_cuda(dcs_gpu_libraries_smoke: GpuLibraries) -> None:
    """PyTorch refuses to compile extensions with a CUDA of another major version than its own: "The
    detected CUDA version (11.8) mismatches the version that was used to compile PyTorch (12.1)".
    The image has a compiler, so somebody may mean to.

    Fix: `FROM nvidia/cuda:12.4.1-devel-ubuntu22.04` with a PyTorch for CUDA 12, or a base without
    the compiler, `…-runtime-…`.
    """
    torch = torch_with_cuda(dcs_gpu_libraries_smoke)
    toolkit = dcs_gpu_libraries_smoke.toolkit
    if not toolkit:
        raise NotApplicable("the image has no CUDA compiler")
    require(
        gpu.version_of(toolkit["cuda"])[:1] == gpu.version_of(torch.cuda)[:1],
        f"CUDA's compiler in {toolkit['path']}",
        found=toolkit["cuda"],
        needed=f"the major version of PyTorch's {torch.cuda}",
    )


def known(found: GpuLibraries) -> GpuLibraries:
    """Return what was found; raises `Blocked` or `NotApplicable` where nothing is known."""
    if found.failure:
        raise Blocked(found.failure)
    if found.unknown:
        raise NotApplicable(f"CUDA's libraries cannot be looked for: {found.unknown}")
    return found


def torch_with_cuda(found: GpuLibraries) -> Torch:
    """Return what PyTorch was built for; raises as `known` does, and where it has no CUDA."""
    torch = known(found).torch
    if torch is None:
        raise NotApplicable("PyTorch is not installed")
    if not torch.cuda:
        raise NotApplicable("PyTorch is built without CUDA")
    return torch
