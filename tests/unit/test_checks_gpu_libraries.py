"""Rules about CUDA's libraries: which of what was found is whose finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import gpu_libraries
from pytest_dcs.checks import gpu_libraries as checks
from pytest_dcs.gpu_libraries import GpuLibraries, Loaded, Torch, Wanted
from pytest_dcs.rules import Blocked, NotApplicable

from .fake_host import finding_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dcs.gpu import Version

WHEEL = "/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
SYSTEM = "/usr/local/cuda/lib64/libcudnn.so.9.0.0"
PIN = "nvidia-cudnn-cu12==9.1.0.70"
A10 = {"A10": (8, 6)}

ALL: dict[str, Callable[..., None]] = {
    "whole": checks.test_cuda_libraries_are_whole,
    "load": checks.test_cuda_libraries_load,
    "found": checks.test_cuda_libraries_are_found,
    "cudnn": checks.test_cudnn_of_the_framework,
    "extensions": checks.test_extensions_of_pytorch_load,
    "compiler": checks.test_compiler_of_pytorchs_cuda,
}
every_check = pytest.mark.parametrize("check", ALL.values(), ids=ALL)


def a_library(
    path: str = WHEEL,
    *,
    version: Version = (9, 1, 0),
    error: str = "",
    missing: tuple[str, ...] = (),
) -> Loaded:
    return Loaded(path, "cudnn", version, error, missing)


def a_torch(
    cuda: str = "12.4",
    architectures: tuple[str, ...] = ("sm_80", "sm_86"),
    failed: tuple[tuple[str, str, str], ...] = (),
    error: str = "",
) -> Torch:
    return Torch(cuda, architectures, failed, error)


@every_check
def test_a_probe_that_failed_blocks(check: Callable[..., None]) -> None:
    with pytest.raises(Blocked, match="did not end"):
        check(GpuLibraries(failure="the probe gpu_libraries.py did not end within 240 s"))


@every_check
def test_what_cannot_be_looked_for_is_not_judged(check: Callable[..., None]) -> None:
    with pytest.raises(NotApplicable, match="its loader is not glibc's"):
        check(GpuLibraries(unknown="its loader is not glibc's"))


def test_missing_parts_are_named() -> None:
    found = GpuLibraries((a_library(missing=("libcudnn_ops.so.9", "libcudnn_cnn.so.9")),))
    told = finding_of(checks.test_cuda_libraries_are_whole, found)
    assert told.startswith(f"{WHEEL}: found no libcudnn_ops.so.9, libcudnn_cnn.so.9 beside it")
    checks.test_cuda_libraries_are_whole(GpuLibraries((a_library(),)))


def test_what_does_not_load_says_why() -> None:
    found = GpuLibraries((a_library(error="file too short"),))
    assert "found file too short" in finding_of(checks.test_cuda_libraries_load, found)
    checks.test_cuda_libraries_load(GpuLibraries((a_library(),)))


def test_what_is_nowhere_is_one_item_for_each_package() -> None:
    wanted = (
        Wanted("tensorflow", "cudnn", "libcudnn.so.8", ""),
        Wanted("tensorflow", "cudnn", "libcudnn.so.8", "", PIN),
        Wanted("tensorflow", "cublas", "libcublas.so.12", "/lib/libcublas.so.12"),
    )
    told = finding_of(checks.test_cuda_libraries_are_found, GpuLibraries(wanted=wanted))
    assert told == "package tensorflow: found no libcudnn.so.8; needed all that it loads"


@pytest.mark.parametrize(
    ("version", "is_good"),
    [((9, 1, 0), True), ((9, 2, 1), True), ((9, 0, 9), False), ((8, 9, 7), False), ((), True)],
)
def test_an_older_cudnn_than_the_pinned_one_is_refused(version: Version, *, is_good: bool) -> None:
    wanted = (
        Wanted("torch", "cudnn", "libcudnn.so.9", SYSTEM),
        Wanted("torch", "cudnn", "libcudnn.so.9", WHEEL, PIN),
    )
    found = GpuLibraries((a_library(SYSTEM, version=version), a_library()), wanted)
    if is_good:
        checks.test_cudnn_of_the_framework(found)
    else:
        told = finding_of(checks.test_cudnn_of_the_framework, found)
        assert SYSTEM in told
        assert "needed 9.1 or newer" in told


@pytest.mark.parametrize(
    ("architecture", "capability", "runs"),
    [
        ("sm_80", (8, 0), True),
        ("sm_80", (8, 6), True),
        ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False),
        ("compute_80", (9, 0), True),
        ("compute_90", (8, 0), False),
        ("sm_90a", (9, 0), True),
        ("sm_100", (10, 0), True),
        ("gfx90a", (9, 0), False),
    ],
)
def test_code_runs_on_its_generation_and_newer_ones_of_it(
    architecture: str, capability: Version, *, runs: bool
) -> None:
    assert checks.runs_on(architecture, capability) is runs


def test_gpus_without_code_are_named() -> None:
    found = GpuLibraries(torch=a_torch(architectures=("sm_37", "sm_75")))
    told = finding_of(checks.test_code_for_the_gpu, found, A10)
    assert told == "PyTorch on A10: found code for sm_37 sm_75; needed code for sm_86"
    checks.test_code_for_the_gpu(GpuLibraries(torch=a_torch()), A10)


@pytest.mark.parametrize(
    ("torch", "types", "told"),
    [
        (a_torch(), {}, "--dcs-gpu-type=T4"),
        (None, A10, "PyTorch is not installed"),
        (a_torch(cuda=""), A10, "built without CUDA"),
    ],
)
def test_without_a_gpu_or_pytorch_there_is_nothing_to_compare(
    torch: Torch | None, types: dict[str, Version], told: str
) -> None:
    with pytest.raises(NotApplicable, match=told):
        checks.test_code_for_the_gpu(GpuLibraries(torch=torch), types)


def test_a_pytorch_that_cannot_be_imported_blocks() -> None:
    found = GpuLibraries(torch=a_torch(error="torch cannot be imported: ImportError: numpy"))
    with pytest.raises(Blocked, match="ImportError: numpy"):
        checks.test_code_for_the_gpu(found, A10)
    with pytest.raises(Blocked, match="ImportError: numpy"):
        checks.test_extensions_of_pytorch_load(found)


def test_only_undefined_symbols_are_an_extension_s_fault() -> None:
    failed = (
        ("/site/a.so", "flash-attn", "a.so: undefined symbol: _ZN3c105"),
        ("/site/b.so", "other", "libfoo.so.1: cannot open shared object file"),
    )
    told = finding_of(
        checks.test_extensions_of_pytorch_load, GpuLibraries(torch=a_torch(failed=failed))
    )
    assert told.startswith("package flash-attn: found a.so: undefined symbol")
    checks.test_extensions_of_pytorch_load(GpuLibraries(torch=a_torch(failed=failed[1:])))


def test_the_compiler_must_be_of_pytorch_s_major_cuda() -> None:
    toolkit = {"path": "/usr/local/cuda-11.8", "cuda": "11.8.0"}
    found = GpuLibraries(torch=a_torch(), toolkit=toolkit)
    assert "found 11.8.0" in finding_of(checks.test_compiler_of_pytorchs_cuda, found)
    near = GpuLibraries(torch=a_torch(), toolkit={**toolkit, "cuda": "12.1"})
    checks.test_compiler_of_pytorchs_cuda(near)
    with pytest.raises(NotApplicable, match="no CUDA compiler"):
        checks.test_compiler_of_pytorchs_cuda(GpuLibraries(torch=a_torch()))


def entry(requirement: str = "") -> dict[str, str]:
    return {
        "package": "tensorflow",
        "library": "cudnn",
        "file": "libcudnn.so.9",
        "path": "",
        **({"requirement": requirement} if requirement else {}),
    }


@pytest.mark.parametrize(
    ("requirement", "counts"),
    [
        ("", True),
        (PIN, True),
        (f'{PIN}; platform_system == "Linux" and platform_machine == "x86_64"', True),
        (f'{PIN}; platform_system == "Windows"', False),
        (f'{PIN}; extra == "and-cuda"', True),
        (f'{PIN}; extra == "other"', False),
        (f'{PIN}; python_version < "3.9"', False),
        ("nvidia-cudnn-cu12 @@ nonsense", False),
    ],
)
def test_only_what_is_wanted_on_clusters_counts(requirement: str, *, counts: bool) -> None:
    found = gpu_libraries.parse({"wanted": [entry(requirement)], "python": "3.11"})
    assert bool(found.wanted) is counts


def test_only_an_exact_requirement_is_a_pin() -> None:
    assert Wanted("torch", "cudnn", "libcudnn.so.9", "", PIN).pinned == (9, 1, 0, 70)
    assert Wanted("faiss", "cudnn", "libcudnn.so.9", "", "nvidia-cudnn-cu12>=9").pinned == ()
    assert Wanted("torch", "cudnn", "libcudnn.so.9", "").pinned == ()
