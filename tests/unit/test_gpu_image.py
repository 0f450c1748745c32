"""What layers say of drivers and CUDA: paths, links, and what the loader is told."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.gpu_image import GpuImage
from pytest_dcs.image import ImageConfig
from pytest_dcs.image.layers import File, Layer, Layers, real_path
from pytest_dcs.image.loader_files import LoaderFiles, loader_folders_of
from pytest_dcs.image.readers import READERS

if TYPE_CHECKING:
    from pytest_dcs.image.layers import FileKind

LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def a_file(path: str, *, size: int = 10, kind: FileKind = "file", link: str = "") -> File:
    return File(path, kind, 0o644, 0, 0, size, link)


def a_link(path: str, target: str) -> File:
    return a_file(path, size=0, kind="symlink", link=target)


def seen(*files: File, conf: dict[str, str] | None = None, library_path: str = "") -> GpuImage:
    notes = tuple({"path": path, "folder": folder} for path, folder in (conf or {}).items())
    all_files = (*files, *(a_file(path) for path in conf or {}))
    layer = Layer("sha256:1", files=all_files, notes={"loader": notes})
    environment = {"LD_LIBRARY_PATH": library_path} if library_path else {}
    return GpuImage(ImageConfig(environment=environment), Layers((layer,)))


def driver_files(*files: File) -> list[str]:
    return [file.path for file in seen(*files).driver_files()]


@pytest.mark.parametrize(
    "path",
    [
        f"{LIBRARIES}/libcuda.so.535.183.01",
        "/usr/lib64/libnvidia-ml.so.1",
        f"{LIBRARIES}/nvidia/current/libnvidia-ptxjitcompiler.so.470.57.02",
        "/usr/bin/nvidia-smi",
    ],
)
def test_files_of_the_driver_are_told(path: str) -> None:
    assert driver_files(a_file(path)) == [path]


@pytest.mark.parametrize(
    "path",
    [
        f"{LIBRARIES}/libcudart.so.12.4.127",
        f"{LIBRARIES}/libnvidia-container.so.1.17.4",
        "/usr/local/cuda-12.4/compat/libcuda.so.550.54.15",
        "/usr/local/cuda-12.4/lib64/stubs/libcuda.so",
        "/usr/local/cuda-12.4/lib64/stubs/libnvidia-ml.so",
        "/opt/tools/nvidia-smi",
    ],
)
def test_what_only_looks_like_the_driver_is_not_told(path: str) -> None:
    assert driver_files(a_file(path)) == []


def test_a_link_is_no_file_of_the_driver() -> None:
    assert driver_files(a_link(f"{LIBRARIES}/libcuda.so.1", "libcuda.so.535")) == []


STUB = "/usr/local/cuda-12.4/lib64/stubs/libcuda.so"
CUDA_LINK = a_link("/usr/local/cuda", "cuda-12.4")


def test_stubs_on_no_path_harm_nobody() -> None:
    assert [*seen(a_file(STUB), CUDA_LINK, library_path="/usr/local/cuda/lib64").stubs()] == []


def test_a_stub_on_the_loader_path_is_the_driver_by_its_second_name_only() -> None:
    image = seen(a_file(STUB), CUDA_LINK, library_path="/usr/local/cuda/lib64/stubs")
    assert [*image.stubs()] == [(STUB, "LD_LIBRARY_PATH", False)]
    second = a_link(f"{STUB}.1", "libcuda.so")
    image = seen(a_file(STUB), second, CUDA_LINK, library_path="/usr/local/cuda/lib64/stubs")
    assert (f"{STUB}.1", "LD_LIBRARY_PATH", True) in [*image.stubs()]


def test_ldconfig_makes_a_stub_the_driver() -> None:
    conf = {"/etc/ld.so.conf.d/cuda.conf": "/usr/local/cuda/lib64/stubs"}
    image = seen(a_file(STUB), CUDA_LINK, conf=conf)
    assert [*image.stubs()] == [(STUB, "/etc/ld.so.conf.d/cuda.conf", True)]


def test_a_link_to_a_stub_is_the_driver_where_loaders_look() -> None:
    link = a_link(f"{LIBRARIES}/libcuda.so.1", STUB)
    assert [*seen(a_file(STUB), link).stubs()] == [(link.path, "the loader's own folders", True)]


def test_compat_counts_where_the_loader_is_told_of_it() -> None:
    files = (a_file("/usr/local/cuda-12.4/compat/libcuda.so.550.54.15"), CUDA_LINK)
    assert [*seen(*files).compat_on_loader_path()] == []
    [(place, version)] = seen(*files, library_path="/usr/local/cuda/compat").compat_on_loader_path()
    assert (place.folder, version) == ("/usr/local/cuda/compat", (550, 54, 15))


def test_an_empty_folder_of_compat_harms_nobody() -> None:
    assert [*seen(library_path="/usr/local/cuda/compat").compat_on_loader_path()] == []


def test_the_cudas_are_those_of_the_toolkit_and_of_wheels() -> None:
    site = "/databricks/python3/lib/python3.11/site-packages"
    image = seen(
        a_file("/usr/local/cuda-12.1/lib64/libcudart.so.12.1.105"),
        a_link("/usr/local/cuda-12.1/lib64/libcudart.so.12", "libcudart.so.12.1.105"),
        a_file(f"{site}/nvidia_cuda_runtime_cu12-12.4.127.dist-info/METADATA"),
        a_file("/opt/other/site-packages/nvidia_cuda_runtime_cu12-12.8.57.dist-info/METADATA"),
    )
    assert sorted(image.cuda) == [(12, 1, 105), (12, 4, 127)]
    assert image.distributions == {"nvidia-cuda-runtime-cu12": "12.4.127"}


def test_the_loader_s_files_are_read_without_comments_and_patterns() -> None:
    text = b"include /etc/ld.so.conf.d/*.conf\n# /opt/no\n/opt/a # old\n\n/opt/b=libc6\n"
    conf = a_file("/etc/ld.so.conf.d/nvidia.conf", size=len(text))
    notes = [*LoaderFiles().read(conf, io.BytesIO(text))]
    assert [note["folder"] for note in notes] == ["/opt/a", "/opt/b"]


@pytest.mark.parametrize("path", ["/etc/ld.so.conf", "/etc/ld.so.conf.d/000_cuda.conf"])
def test_no_other_reader_takes_the_loader_s_files(path: str) -> None:
    takers = [reader.name for reader in READERS if reader.wants(a_file(path))]
    assert takers == ["loader"]


def test_a_later_layer_replaces_and_removes_the_loader_s_files() -> None:
    first, second = "/etc/ld.so.conf.d/a.conf", "/etc/ld.so.conf.d/b.conf"
    notes = {"loader": ({"path": first, "folder": "/a"}, {"path": second, "folder": "/b"})}
    below = Layer("1", files=(a_file(first), a_file(second)), notes=notes)
    above = Layer(
        "2",
        files=(a_file(first),),
        removed=(second,),
        notes={"loader": ({"path": first, "folder": "/new"},)},
    )
    assert [*loader_folders_of(Layers((below, above)))] == [("/new", first)]


def test_links_are_followed_and_an_endless_chain_ends() -> None:
    files = {file.path: file for file in (CUDA_LINK, a_link("/a", "b"), a_link("/b", "a"))}
    assert real_path("/usr/local/cuda/compat", files) == "/usr/local/cuda-12.4/compat"
    assert real_path("/a", files) in {"/a", "/b"}
