"""PY: compiled files of the Python environment, and the libraries that they load.

Nothing is imported for this: what a package would load is found as glibc's loader finds it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_dcs.rules import Blocked, Item, NotApplicable, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dcs.elf import Compiled, CompiledFiles, Fault

LOADER = "https://man7.org/linux/man-pages/man8/ld.so.8.html"
XGBOOST = "https://github.com/dmlc/xgboost/issues/2974"

X86_64 = "code for x86-64, which all clusters with own images have"


@rule(
    "PY030",
    "compiled-for-clusters",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("SYS002", "JVM001", "PY001", "PY007", "PY012"),
    sources=(
        "https://github.com/databricks/containers/issues/211",
        "https://github.com/aws-samples/one-observability-demo/issues/266",
    ),
)
def test_compiled_for_clusters(dcs_compiled_files_smoke: CompiledFiles) -> None:
    """Clusters that start own images have x86-64 processors. What came from an Apple laptop or an
    ARM build machine may even run where the image is built, because engines emulate it, and the
    image's own label does not tell: "exec /bin/bash: exec format error". Nothing loads a module
    that was cut off or is a pointer of Git LFS: "invalid ELF header".

    Fix: name the platform for every stage that compiled files come from,
    `FROM --platform=linux/amd64 ubuntu:22.04 AS builder`, and install the package in the image
    itself: `RUN /databricks/python3/bin/pip install --force-reinstall NAME`.
    """
    found = dcs_compiled_files_smoke
    refuse_failure(found)
    if found.unknown and not found.programs:
        raise NotApplicable(f"the image's Python cannot look: {found.unknown}")
    foreign = [
        Item(each.path, f"code for {each.machine}", X86_64)
        for each in found.programs
        if not each.runs_here
    ]
    faults = faults_of((each for each in found.faulty if each.root), "machine", "damage")
    require_none([*foreign, *items(faults, X86_64)])


@rule(
    "PY031",
    "versions-of-libraries",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001", "PY007", "PY012"),
    sources=(
        "https://github.com/Kaggle/docker-python/pull/305",
        "https://github.com/NVIDIA/cudf/issues/8128",
        "https://github.com/conda-forge/python-feedstock/issues/673",
        LOADER,
    ),
)
def test_versions_of_libraries(dcs_compiled_files_smoke: CompiledFiles) -> None:
    """A module that was compiled on a newer distribution, and copied from there, needs newer
    libraries than the image has; so does every module where LD_LIBRARY_PATH leads to the older
    libraries of some other product: "version `GLIBC_2.38' not found", "version `GLIBCXX_3.4.26'
    not found". The cluster starts, and the first import fails.

    Fix: compile in a stage of the very distribution of the last one,
    `FROM databricksruntime/python:15.4-LTS AS builder`, or install a wheel; and
    `ENV LD_LIBRARY_PATH=` without folders that have a libstdc++ of their own.
    """
    found = dcs_compiled_files_smoke
    refuse_unknown(found)
    faults = faults_of((each for each in found.faulty if each.root), "version")
    require_none(items(faults, "the versions of the image's own libraries, or older ones"))


@rule(
    "PY032",
    "libraries-of-added-packages",
    level="fail",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001", "PY007", "PY012"),
    sources=(
        XGBOOST,
        "https://github.com/microsoft/SynapseML/issues/1224",
        "https://github.com/lightgbm-org/LightGBM/issues/2223",
        LOADER,
    ),
)
def test_libraries_of_added_packages(dcs_compiled_files_smoke: CompiledFiles) -> None:
    """A package that the image has more than its runtime is there to be used, and none of its
    compiled code can be loaded: pip installs no libraries of the system. The build is green, and
    the first job that imports it ends with "OSError: libgomp.so.1: cannot open shared object file:
    No such file or directory".

    Fix: install what the package needs of the system, `RUN apt-get update && apt-get install --yes
    libgomp1` (libGL.so.1 is of `libgl1`, libodbc.so.2 of `unixodbc`), or remove the package:
    `RUN /databricks/python3/bin/pip uninstall --yes NAME`.
    """
    found = dcs_compiled_files_smoke
    refuse_unknown(found)
    unusable = found.unusable()
    faults = faults_of(
        (each for each in found.faulty if each.root and each.package in unusable), "library"
    )
    require_none(items(faults, "all libraries that the package's compiled code loads"))


@rule(
    "PY033",
    "libraries-are-there",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001", "PY007", "PY012"),
    sources=(XGBOOST, LOADER),
)
def test_libraries_are_there(dcs_compiled_files_smoke: CompiledFiles) -> None:
    """A part of a package cannot be loaded because a library is missing: pip installs none of the
    system's. It may be a part that nobody uses, and the rest of the package works; or it is noticed
    when somebody does: "ImportError: libodbc.so.2: cannot open shared object file".

    Fix: install what is used, `RUN apt-get update && apt-get install --yes unixodbc`; else leave
    it, or waive it with a reason.
    """
    found = dcs_compiled_files_smoke
    refuse_unknown(found)
    unusable = found.unusable()
    missing = faults_of((each for each in found.faulty if each.package not in unusable), "library")
    others = faults_of((each for each in found.faulty if not each.root), "version")
    require_none(items([*missing, *others], "all libraries that the package's compiled code loads"))


def refuse_failure(found: CompiledFiles) -> None:
    """Raise `Blocked` where nobody has looked to the end."""
    if found.failure:
        raise Blocked(found.failure)


def refuse_unknown(found: CompiledFiles) -> None:
    """Raise `Blocked` or `NotApplicable` where nothing is known of the image's libraries."""
    refuse_failure(found)
    if not all(program.runs_here for program in found.programs):
        raise NotApplicable("the image's programs are for another machine")
    if found.unknown:
        raise NotApplicable(f"the image's libraries cannot be looked for: {found.unknown}")


def faults_of(files: Iterable[Compiled], *kinds: str) -> Iterator[tuple[str, Fault]]:
    """Yield the faults of these kinds, each with its package."""
    for each in files:
        yield from ((each.package, fault) for fault in each.faults if fault.kind in kinds)


def items(faults: Iterable[tuple[str, Fault]], needed: str) -> Iterator[Item]:
    """Yield one item for each package and what it lacks, however many of its files lack it."""
    files = defaultdict(set)
    for package, fault in faults:
        files[package, fault.kind, told(fault)].add(short(fault.by))
    for (package, kind, what), names in sorted(files.items()):
        first, *more = sorted(names)
        others = f" and {len(more)} more" if more else ""
        relation = "for" if kind in {"library", "version"} else "in"
        yield Item(f"package {package}", f"{what} {relation} {first}{others}", needed)


def told(fault: Fault) -> str:
    """Return what is wrong, without the file that it is wrong in."""
    if fault.kind == "machine":
        return f"code for {fault.subject}"
    if fault.kind == "damage":
        return fault.subject
    if fault.kind == "version":
        return f"no {fault.subject} (the newest in {fault.library} is {fault.newest})"
    return f"no {fault.subject}"


def short(path: str) -> str:
    """Return a file's path within the packages."""
    return path.rpartition("-packages/")[2]
