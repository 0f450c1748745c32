"""Rules about GPUs that files and variables decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import gpu
from pytest_dcs.checks import gpu as checks
from pytest_dcs.checks import gpu_driver, gpu_packages
from pytest_dcs.image.layers import File, Layer, Layers
from pytest_dcs.rules import NotApplicable

from .fake_host import an_image, finding_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dcs.gpu import Version

SITE = "/databricks/python3/lib/python3.11/site-packages"
BOTH = {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "compute,utility"}
COMPAT = "/usr/local/cuda-12.4/compat/libcuda.so.550.54.15"
COMPAT_FIRST = {"LD_LIBRARY_PATH": "/usr/local/cuda-12.4/compat"}
NO_FILES = Layers(())


def layers(*paths: str, size: int = 10) -> Layers:
    files = tuple(File(path, "file", 0o644, 0, 0, size) for path in paths)
    return Layers((Layer("sha256:1", files=files),))


def installed(*packages: str) -> Layers:
    return layers(*(f"{SITE}/{package}.dist-info/METADATA" for package in packages))


def test_files_of_a_driver_are_told_with_their_size() -> None:
    there = layers("/usr/bin/nvidia-smi", size=1024)
    told = finding_of(checks.test_no_driver_in_the_image, an_image(), there)
    assert told.startswith("/usr/bin/nvidia-smi: found a file of 1,024 bytes; needed no file")
    checks.test_no_remains_of_a_driver(an_image(), there)


def test_empty_files_of_a_driver_are_advice_only() -> None:
    there = layers("/usr/lib64/libcuda.so.418.56", size=0)
    told = finding_of(checks.test_no_remains_of_a_driver, an_image(), there)
    assert told.startswith("/usr/lib64/libcuda.so.418.56: found an empty file")
    checks.test_no_driver_in_the_image(an_image(), there)


@pytest.mark.parametrize(
    "environment",
    [
        BOTH,
        {**BOTH, "NVIDIA_DRIVER_CAPABILITIES": "all"},
        {**BOTH, "NVIDIA_DRIVER_CAPABILITIES": "video, utility, compute"},
        {**BOTH, "NVIDIA_VISIBLE_DEVICES": "0,1"},
    ],
)
def test_an_image_that_asks_for_the_driver_is_good(environment: dict[str, str]) -> None:
    checks.test_driver_is_asked_for(an_image(environment=environment))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({**BOTH, "NVIDIA_DRIVER_CAPABILITIES": "utility"}, "found 'utility'; needed compute,"),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, "NVIDIA_DRIVER_CAPABILITIES: found not set"),
        ({**BOTH, "NVIDIA_VISIBLE_DEVICES": "void"}, "NVIDIA_VISIBLE_DEVICES: found 'void'"),
        ({}, "NVIDIA_VISIBLE_DEVICES: found not set"),
    ],
)
def test_what_is_not_asked_for_is_named(environment: dict[str, str], told: str) -> None:
    assert told in finding_of(checks.test_driver_is_asked_for, an_image(environment=environment))


def test_compat_on_the_path_is_advice_until_the_driver_is_known() -> None:
    image = an_image(environment=COMPAT_FIRST)
    check = checks.test_no_compat_on_the_loader_path
    assert "named in LD_LIBRARY_PATH" in finding_of(check, image, layers(COMPAT), ())
    with pytest.raises(NotApplicable, match="GPU007"):
        check(image, layers(COMPAT), (580, 126, 16))


def test_only_an_older_compat_takes_a_driver_s_place() -> None:
    image = an_image(environment=COMPAT_FIRST)
    check = gpu_driver.test_compat_is_not_older_than_the_driver
    assert "550.54.15" in finding_of(check, image, layers(COMPAT), (580, 126, 16))
    check(image, layers(COMPAT), (535, 183, 1))
    check(an_image(), layers(COMPAT), (580, 126, 16))


NEEDS_DRIVER: list[Callable[..., None]] = [
    gpu_driver.test_compat_is_not_older_than_the_driver,
    gpu_driver.test_cuda_runs_on_the_driver,
    gpu_driver.test_cuda_is_not_newer_than_the_driver,
]


@pytest.mark.parametrize("check", NEEDS_DRIVER)
def test_an_unknown_driver_is_not_guessed(check: Callable[..., None]) -> None:
    with pytest.raises(NotApplicable, match="--dcs-gpu-driver=550"):
        check(an_image(), NO_FILES, ())
    with pytest.raises(NotApplicable, match="--dcs-gpu-driver=550"):
        gpu_driver.test_image_accepts_the_driver(an_image(), ())


@pytest.mark.parametrize(
    ("required", "driver", "is_met"),
    [
        ("cuda>=12.4", (550, 54, 15), True),
        ("cuda>=12.4", (535, 183, 1), False),
        ("cuda>=12.4 brand=tesla,driver>=535,driver<536", (535, 183, 1), True),
        ("cuda>=12.4 brand=tesla,driver>=535,driver<536", (470, 82, 1), False),
        ("driver>=470", (390, 116), False),
        ("driver<=535", (535, 183, 1), True),
        ("arch>=7.0", (390, 116), True),
        ("", (390, 116), True),
    ],
)
def test_what_a_base_requires_of_the_driver(
    required: str, driver: Version, *, is_met: bool
) -> None:
    items = [*gpu_driver.unmet_requirements({"NVIDIA_REQUIRE_CUDA": required}, driver)]
    assert (not items) is is_met


def test_a_requirement_that_is_switched_off_is_none() -> None:
    environment = {"NVIDIA_REQUIRE_CUDA": "cuda>=99", "NVIDIA_DISABLE_REQUIRE": "true"}
    with pytest.raises(NotApplicable, match="switches the requirement off"):
        gpu_driver.test_image_accepts_the_driver(an_image(environment=environment), (550,))


@pytest.mark.parametrize(
    ("driver", "fails", "advises"),
    [
        ((470, 82, 1), True, True),
        ((535, 183, 1), False, True),
        ((550, 54, 15), False, False),
        ((580, 126, 16), False, False),
    ],
)
def test_a_driver_runs_cuda_not_at_all_or_in_part_or_fully(
    driver: Version, *, fails: bool, advises: bool
) -> None:
    there = installed("nvidia_cuda_runtime_cu12-12.4.127")
    for check, is_broken in (
        (gpu_driver.test_cuda_runs_on_the_driver, fails),
        (gpu_driver.test_cuda_is_not_newer_than_the_driver, advises),
    ):
        if is_broken:
            assert "found CUDA 12.4.127" in finding_of(check, an_image(), there, driver)
        else:
            check(an_image(), there, driver)


def test_compat_of_the_image_serves_an_older_driver() -> None:
    there = layers(COMPAT, "/usr/local/cuda-12.4/lib64/libcudart.so.12.4.127")
    gpu_driver.test_cuda_runs_on_the_driver(an_image(), there, (470, 82, 1))
    gpu_driver.test_cuda_is_not_newer_than_the_driver(an_image(), there, (470, 82, 1))


@pytest.mark.parametrize(
    ("system", "is_good"), [("9.1.0", True), ("9.1.1", False), ("8.9.7", True)]
)
def test_another_cudnn_of_the_same_major_version_must_not_go_before(
    system: str, *, is_good: bool
) -> None:
    there = layers(
        f"{SITE}/nvidia_cudnn_cu12-9.1.0.70.dist-info/METADATA",
        f"/usr/local/cuda/lib64/libcudnn.so.{system}",
    )
    first = an_image(environment={"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"})
    gpu_packages.test_one_cudnn(an_image(), there)
    if is_good:
        gpu_packages.test_one_cudnn(first, there)
    else:
        assert "found cuDNN 9.1.1 before" in finding_of(gpu_packages.test_one_cudnn, first, there)


@pytest.mark.parametrize(
    "packages",
    [
        ("torch-2.4.1",),
        ("torch-2.4.1+cu124",),
        ("onnxruntime-1.19.2", "onnxruntime_gpu-1.19.2"),
        ("jaxlib-0.4.30+cuda12.cudnn91",),
        ("jaxlib-0.4.35", "jax_cuda12_plugin-0.4.35"),
        ("tensorflow-2.15.1",),
    ],
    ids=", ".join,
)
def test_builds_for_gpus_are_good(packages: tuple[str, ...]) -> None:
    gpu_packages.test_packages_for_gpus(an_image(), installed(*packages))


@pytest.mark.parametrize(
    "package",
    ["torch-2.4.1+cpu", "tensorflow_cpu-2.15.1", "onnxruntime-1.19.2", "jaxlib-0.4.35"],
)
def test_builds_for_processors_are_told(package: str) -> None:
    told = finding_of(gpu_packages.test_packages_for_gpus, an_image(), installed(package))
    assert told.startswith(f"package {package.partition('-')[0].replace('_', '-')}: found")


def cuda_wheel(megabytes: int) -> Layers:
    path = f"{SITE}/nvidia/cublas/lib/libcublasLt.so.12"
    return layers(path, size=megabytes * 10**6)


def test_cuda_in_an_image_for_processors_is_told() -> None:
    arguments: tuple[Any, ...] = (an_image(), cuda_wheel(2500), frozenset({"jvm", "python"}))
    told = finding_of(gpu_packages.test_cuda_for_gpus_alone, *arguments)
    assert "found 2,500 MB" in told
    gpu_packages.test_cuda_for_gpus_alone(an_image(), cuda_wheel(99), frozenset({"python"}))
    with pytest.raises(NotApplicable, match="declared for GPUs"):
        gpu_packages.test_cuda_for_gpus_alone(an_image(), cuda_wheel(2500), frozenset({"gpu"}))


def test_the_types_of_gpus_are_those_of_the_data() -> None:
    assert gpu.capabilities()["T4"] == (7, 5)
