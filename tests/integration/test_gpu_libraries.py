"""NVIDIA's real libraries load, tell their versions and miss their parts without any GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import gpu_libraries
from pytest_dcs.gpu_libraries import GPU_LIBRARIES

from .conftest import sample
from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.gpu_libraries import GpuLibraries
    from pytest_dcs.launch import Launch

pytestmark = pytest.mark.docker

PROFILE = "python,gpu"
SITE = "/databricks/python3/lib/python3.11/site-packages"
TIMEOUT = 120.0


@pytest.fixture
def launch(engine: DockerEngine) -> Iterator[Launch]:
    with launched(engine, sample("gpu"), PROFILE) as launch:
        yield launch


def prepare(launch: Launch, command: str) -> None:
    completed = launch.shell.run(command)
    assert completed.returncode == 0, completed.stderr


def look(launch: Launch) -> GpuLibraries:
    probe = gpu_libraries.start(launch.container, architectures=True)
    return gpu_libraries.result(probe, TIMEOUT)


def errors_of(found: GpuLibraries) -> dict[str, str]:
    return {each.library: each.error for each in found.libraries if each.error}


def test_a_launch_that_is_asked_loads_all_libraries(engine: DockerEngine) -> None:
    with launched(engine, sample("gpu"), PROFILE, GPU_LIBRARIES) as launch:
        found = launch.gpu_libraries_smoke()
    assert (found.failure, found.unknown, found.left_out) == ("", "", 0)
    assert {each.library: each.version for each in found.libraries if each.version} == {
        "cublas": (12, 4, 5),
        "cublasLt": (12, 4, 5),
        "cudart": (12, 4, 0),
        "nvrtc": (12, 4),
    }
    assert errors_of(found) == {}
    assert not [each for each in found.libraries if each.missing]


def test_what_a_framework_wants_is_found_where_its_own_import_takes_it_from(launch: Launch) -> None:
    wanted = {each.file: each.path for each in look(launch).wanted if each.package.startswith("fa")}
    imported = launch.shell.run(
        "/databricks/python3/bin/python -c 'import faiss; print(open(\"/proc/self/maps\").read())'"
    )
    maps = imported.stdout.decode()
    assert imported.returncode == 0
    assert set(wanted) == {"libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"}
    assert all(path in maps for path in wanted.values())


def test_a_library_that_needs_a_missing_one_does_not_load(launch: Launch) -> None:
    prepare(launch, f"rm {SITE}/nvidia/cublas/lib/libcublasLt.so.12")
    assert errors_of(look(launch)) == {
        "cublas": "libcublasLt.so.12: cannot open shared object file: No such file or directory"
    }


def test_a_library_that_is_cut_off_does_not_load(launch: Launch) -> None:
    prepare(launch, f"truncate --size=1M {SITE}/nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
    assert errors_of(look(launch))["nvrtc"] == "it ended the process by SIGBUS"


def test_missing_parts_are_told_by_name(launch: Launch) -> None:
    prepare(launch, f"rm {SITE}/nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.*")
    missing = {each.library: each.missing for each in look(launch).libraries if each.missing}
    assert missing == {"nvrtc": ("libnvrtc-builtins.so.12.*",)}


def test_a_library_that_ends_its_process_is_told(launch: Launch) -> None:
    # An endless stack where its version is asked for: the function's code calls itself.
    prepare(
        launch,
        f"cd {SITE}/nvidia/cuda_runtime/lib && /databricks/python3/bin/python -c '"
        'import ctypes; lib = ctypes.CDLL("./libcudart.so.12"); '
        "place = ctypes.cast(lib.cudaRuntimeGetVersion, ctypes.c_void_p).value; "
        'maps = [line.split() for line in open("/proc/self/maps") if "libcudart" in line]; '
        'base = int(maps[0][0].split("-")[0], 16); '
        'file = open("libcudart.so.12", "r+b"); file.seek(place - base); '
        "file.write(bytes([0xe8, 0xfb, 0xff, 0xff, 0xff]))'",
    )
    assert errors_of(look(launch))["cudart"] == "it ended the process by SIGSEGV"


def test_a_library_that_is_found_in_two_ways_is_loaded_once(launch: Launch) -> None:
    prepare(launch, f"echo {SITE}/nvidia/cublas/lib > /etc/ld.so.conf.d/x.conf && ldconfig")
    found = look(launch)
    assert errors_of(found) == {}
    assert len([each for each in found.libraries if each.library == "cublas"]) == 1


def test_without_python_packages_of_cuda_nothing_is_found(
    engine: DockerEngine, python_image: str
) -> None:
    with launched(engine, python_image, PROFILE) as launch:
        found = look(launch)
    assert (found.libraries, found.wanted, found.torch, found.toolkit) == ((), (), None, None)
