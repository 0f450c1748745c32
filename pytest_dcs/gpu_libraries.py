"""CUDA's libraries in a launched image: what loads, in which versions, and what packages want."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement

from pytest_dcs import gpu
from pytest_dcs.node import DEFAULT_PYTHON, time_factor
from pytest_dcs.probe import Probe, ProbeFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.engines import Container
    from pytest_dcs.gpu import Version

SOURCE = "gpu_libraries.py"
OPTIONS = "PYTEST_DCS_GPU_LIBRARIES"
GPU_LIBRARIES = "dcs_gpu_libraries_smoke"
"""The fixture by whose name a launch is asked for this."""

SECONDS = 90.0
"""Until then files are read and loaded."""
TIMEOUT = 240.0
"""Seconds until the probe must have ended, which runs at the lowest priority."""

ON_CLUSTERS = {"platform_system": "Linux", "sys_platform": "linux", "platform_machine": "x86_64"}


@dataclass(frozen=True)
class Loaded:
    """What became of one of CUDA's libraries."""

    path: str
    library: str
    """`cudnn` for libcudnn.so.9, and for its parts."""
    version: Version
    """Empty where it tells none."""
    error: str
    """Why it cannot be loaded."""
    missing: tuple[str, ...]
    """The names of parts that are not there."""


@dataclass(frozen=True)
class Wanted:
    """One of CUDA's libraries that a package would load."""

    package: str
    library: str
    file: str
    path: str
    """Where it finds it; empty: nowhere."""
    requirement: str = ""
    """What the package's metadata say; empty: its compiled files name the library."""

    @property
    def pinned(self) -> Version:
        """The version that the metadata name exactly, none if they do not."""
        if not self.requirement:
            return ()
        specifiers = Requirement(self.requirement).specifier
        exact = [each.version for each in specifiers if each.operator == "=="]
        return gpu.version_of(exact[0]) if exact else ()


@dataclass(frozen=True)
class Torch:
    """What PyTorch was built for."""

    cuda: str
    """Empty for a build without CUDA."""
    architectures: tuple[str, ...]
    """`sm_80`, `compute_90`; empty where it was not asked."""
    failed: tuple[tuple[str, str, str], ...]
    """Path, package and error of compiled files that cannot be loaded beside it."""
    error: str


@dataclass(frozen=True)
class GpuLibraries:
    """What was found in one look at all of them."""

    libraries: tuple[Loaded, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    torch: Torch | None = None
    toolkit: Mapping[str, str] | None = None
    """`path` and `cuda` of the compiler's installation."""
    left_out: int = 0
    """How many files could not be read, or not in time."""
    unknown: str = ""
    """Why the image cannot be judged, if that is no fault of the image."""
    failure: str = ""
    """Why the probe failed."""
    log: str = ""
    """The end of what it wrote to stderr."""

    def version_at(self, path: str) -> Version:
        """Return the version that the library at a path told, none if it told none."""
        return next((each.version for each in self.libraries if each.path == path), ())


def start(container: Container, *, architectures: bool) -> Probe:
    """Start to load the libraries, by the image's interpreter, in the background.

    `architectures`: PyTorch is imported to say what it was built for. Raises `ProbeFailed`,
    `ContainerEnded` and `EngineLost`.
    """
    options = {
        "seconds": SECONDS * time_factor(container),
        "libraries": [asdict(each) for each in gpu.libraries()],
        "extras": gpu.extras(),
        "architectures": architectures,
    }
    return Probe.start(
        container,
        [DEFAULT_PYTHON, "-I"],
        environment={OPTIONS: json.dumps(options)},
        source=SOURCE,
        package="elftools",
    )


def result(probe: Probe, timeout: float) -> GpuLibraries:
    """Return what was found, at the probe's end; raises `EngineLost`.

    `timeout` counts in seconds from the start.
    """
    try:
        document = probe.wait(timeout)
    except ProbeFailed as failure:
        return GpuLibraries(failure=str(failure), log=failure.log)
    return parse(document.data, document.log)


def parse(data: Mapping[str, Any], log: str = "") -> GpuLibraries:
    """Return what a report says."""
    return GpuLibraries(
        libraries=tuple(
            Loaded(**{**entry, **{key: tuple(entry[key]) for key in ("version", "missing")}})
            for entry in data.get("libraries", ())
        ),
        wanted=tuple(_on_clusters(data.get("wanted", ()), data.get("python", ""))),
        torch=_torch(data.get("torch") or {}),
        toolkit=data.get("toolkit") or None,
        left_out=data.get("left_out", 0),
        unknown=data.get("unknown", ""),
        log=log,
    )


def _torch(entry: Mapping[str, Any]) -> Torch | None:
    if not entry:
        return None
    return Torch(
        cuda=entry["cuda"],
        architectures=tuple(entry["architectures"]),
        failed=tuple((each["path"], each["package"], each["error"]) for each in entry["failed"]),
        error=entry["error"],
    )


def _on_clusters(entries: Any, python: str) -> Iterator[Wanted]:
    """Yield what is wanted on a cluster, not what other systems want."""
    for entry in entries:
        wanted = Wanted(**entry)
        try:
            requirement = Requirement(wanted.requirement) if wanted.requirement else None
        except InvalidRequirement:
            continue
        if requirement is None or requirement.marker is None:
            yield wanted
            continue
        environment = {**ON_CLUSTERS, "python_version": python}
        extras = ("", *gpu.extras().get(wanted.package, ()))
        if any(requirement.marker.evaluate({**environment, "extra": each}) for each in extras):
            yield wanted
