"""What the layers of an image have for GPUs: drivers, CUDA and packages; no container is needed."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_dcs import gpu
from pytest_dcs.image.layers import real_path
from pytest_dcs.image.loader_files import loader_folders_of
from pytest_dcs.inventory import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.gpu import Version
    from pytest_dcs.image import ImageConfig
    from pytest_dcs.image.layers import File, Layers

LOADER_PATH = "LD_LIBRARY_PATH"
STUBS, COMPAT = "stubs", "compat"
"""What CUDA calls its folders of stand-ins for the driver, and of newer drivers' libraries."""
DRIVER_LIBRARY = "libcuda.so"

CUDART = re.compile(r"libcudart\.so\.(\d+\.\d+\.\d+)")
CUDNN = re.compile(r"libcudnn\.so\.(\d+\.\d+\.\d+)")
LIBCUDA = re.compile(r"libcuda\.so\.(\d+\.\d+(\.\d+)?)")
DESCRIBED = ".dist-info/METADATA"
METADATA = re.compile(r"/databricks/.*-packages/([^/]+)-([^/-]+)\.dist-info/METADATA")
NVIDIA_WHEELS = "-packages/nvidia/"


@dataclass(frozen=True)
class Place:
    """A folder in which the loader looks for libraries."""

    folder: str
    """As it is written."""
    path: str
    """Where links lead to."""
    named_in: str
    """`LD_LIBRARY_PATH` or a file."""

    @property
    def kind(self) -> str:
        """The folder's own name, and that of one with all versions' below it."""
        return posixpath.basename(self.path)


class GpuImage:
    """An image's files and variables, by what they mean for GPUs."""

    def __init__(self, config: ImageConfig, layers: Layers) -> None:
        self.environment = config.environment
        self._layers = layers
        self._files = layers.merged

    @cached_property
    def loader_path(self) -> tuple[Place, ...]:
        """The folders that loaders are told of, the first one first."""
        listed = [
            (folder, LOADER_PATH) for folder in self.environment.get(LOADER_PATH, "").split(":")
        ]
        named = [*listed, *loader_folders_of(self._layers)]
        return tuple(
            Place(folder, real_path(folder, self._files), named_in)
            for folder, named_in in named
            if folder
        )

    @cached_property
    def distributions(self) -> Mapping[str, str]:
        """The versions of Python packages in the environments of `/databricks`, by their names."""
        described = (path for path in self._files if path.endswith(DESCRIBED))
        found = filter(None, map(METADATA.fullmatch, described))
        return {normalised(each[1]): each[2] for each in found}

    @cached_property
    def cuda(self) -> Mapping[Version, str]:
        """The CUDA runtimes that programs may load, each with what brings it."""
        found = {gpu.version_of(each[1]): path for each, path in self._matching(CUDART)}
        for name, version in self.distributions.items():
            library = gpu.library_of_wheel(name)
            if library is not None and library.name == "cudart":
                found[gpu.version_of(version)] = f"{name} {version}"
        return found

    @cached_property
    def compat_drivers(self) -> Mapping[Version, str]:
        """The newer drivers' libraries that CUDA brings along, by their versions."""
        return {
            gpu.version_of(each[1]): path
            for each, path in self._matching(LIBCUDA)
            if posixpath.basename(posixpath.dirname(path)) == COMPAT
        }

    @cached_property
    def nvidia_wheels_size(self) -> int:
        """Bytes of CUDA's libraries that came as Python packages."""
        return sum(file.size for path, file in self._files.items() if NVIDIA_WHEELS in path)

    def driver_files(self) -> Iterator[File]:
        """Yield the files that stand where the machine's driver is mounted."""
        known = gpu.driver_files()
        paths = [
            path
            for path in self._libraries
            if posixpath.dirname(path) in known.library_folders
            and any(fnmatchcase(posixpath.basename(path), each) for each in known.libraries)
        ]
        paths += [
            posixpath.join(folder, name)
            for folder in sorted(known.program_folders)
            for name in sorted(known.programs)
        ]
        for path in paths:
            file = self._files.get(path)
            if file is not None and file.kind in {"file", "hardlink"}:
                yield file

    def stubs(self) -> Iterator[tuple[str, str, bool]]:
        """Yield the stand-ins that loaders find, what leads there, and whether as the driver.

        `ldconfig`, which runs whenever a driver is mounted, names a stub by what it stands for.
        """
        standard = (
            Place(folder, folder, "the loader's own folders")
            for folder in sorted(gpu.driver_files().library_folders)
        )
        for place in (*self.loader_path, *standard):
            for path in self._in_folder[place.path]:
                name = posixpath.basename(path)
                is_stub = STUBS in real_path(path, self._files).split("/")
                if not is_stub or not name.startswith(DRIVER_LIBRARY):
                    continue
                as_driver = name != DRIVER_LIBRARY or place.named_in != LOADER_PATH
                yield path, place.named_in, as_driver

    def compat_on_loader_path(self) -> Iterator[tuple[Place, Version | None]]:
        """Yield the folders of newer drivers' libraries that loaders look into, with the newest."""
        for place in self.loader_path:
            if place.kind == COMPAT:
                versions = [
                    version
                    for version, path in self.compat_drivers.items()
                    if posixpath.dirname(path) == place.path
                ]
                if versions or any(
                    posixpath.basename(path).startswith(DRIVER_LIBRARY)
                    for path in self._in_folder[place.path]
                ):
                    yield place, max(versions, default=None)

    def preferred_cudnn(self) -> Iterator[tuple[str, Version]]:
        """Yield the cuDNNs that LD_LIBRARY_PATH puts before those of Python packages."""
        for place in self.loader_path:
            if place.named_in == LOADER_PATH and NVIDIA_WHEELS not in f"{place.path}/":
                for path in self._in_folder[place.path]:
                    found = CUDNN.fullmatch(posixpath.basename(path))
                    if found:
                        yield path, gpu.version_of(found[1])

    @cached_property
    def _libraries(self) -> list[str]:
        """The paths of libraries."""
        return [path for path in self._files if ".so" in path]

    @cached_property
    def _in_folder(self) -> Mapping[str, list[str]]:
        """The paths of libraries by their folders."""
        found = defaultdict(list)
        for path in self._libraries:
            found[posixpath.dirname(path)].append(path)
        return found

    def _matching(self, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], str]]:
        """Yield the files of a name, in no folder of stand-ins."""
        for path in self._libraries:
            found = pattern.fullmatch(posixpath.basename(path))
            if found and self._files[path].kind == "file" and STUBS not in path.split("/"):
                yield found, path
