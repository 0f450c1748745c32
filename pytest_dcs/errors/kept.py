"""What is fetched, made and kept between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.errors.base import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class WaiversNotWritten(SetupError):
    """Waivers for what fails have nowhere to go, or nothing to be about."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"no waivers can be written to {path} ({problem}).",
            cause="--dcs-write-waivers adds a table [[waive]] to that file for each failure.",
            next_step="The ini key `dcs_waivers` names another file, --dcs-image what to judge.",
        )


class DocumentNotWritten(SetupError):
    """The document of a run has nowhere to go."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"the run's document cannot be written to {path} ({problem}).",
            cause="--dcs-json names a file in a folder that is not there or that is read-only.",
            next_step="Name a file in a folder that exists, or - for the standard output.",
        )


class DocumentUnreadable(SetupError):
    """A file that should be the document of a run and is not."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path} cannot be read as the document of a run ({problem}).",
            cause="It is not there, was cut off, or something else or another version of "
            "pytest-dcs wrote it.",
            next_step="Write one with `pytest --dcs-image=IMAGE --dcs-json=FILE`.",
        )


class HistoryUnusable(SetupError):
    """A file of runs that no run can be added to, or that is something else."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"the history {path} cannot be used ({problem}).",
            cause="--dcs-history names a file that pytest-dcs has not made, that a newer one has "
            "made, or that cannot be written.",
            next_step="Name a file that is not there yet, in a folder that is: it will be made.",
        )


class NoBaseline(SetupError):
    """A baseline that nothing is known of."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(
            f"nothing can be compared with the baseline {text!r} ({problem}).",
            cause="--dcs-baseline takes `last` or an image, which are looked up in the history, or "
            "a file that --dcs-json has written.",
            next_step="Judge the baseline once with --dcs-history=FILE or --dcs-json=FILE, and "
            "name the same FILE in this run.",
        )


class BaselineNeeded(SetupError):
    """A run that is to be red for what is worse, without anything to compare it with."""

    def __init__(self, source: str, value: str) -> None:
        super().__init__(
            f"{source} is {value!r}, and there is no baseline.",
            cause="What is worse or has changed can only be told beside an earlier run.",
            next_step="Name one: --dcs-history=FILE --dcs-baseline=last",
        )


class NoSparkSource(SetupError):
    """The Spark to inject can neither be found in the cache nor fetched."""

    def __init__(self, version: str, detail: str) -> None:
        super().__init__(
            f"pyspark {version} could not be fetched from the package index ({detail}).",
            cause="The index is out of reach, or pip is set up for another one.",
            next_step=f"`python -m pip download --no-deps pyspark=={version}` must work here; or "
            "leave the Spark rules out with --dcs-ignore=SPK.",
        )


class CacheUnusable(SetupError):
    """The folder that keeps the Spark to inject cannot be written."""

    def __init__(self, directory: Path, detail: str) -> None:
        super().__init__(
            f"the cache {directory} cannot be used ({detail}).",
            cause="The folder is read-only or belongs to another user, or the disk is full.",
            next_step="Make room for 1 GB there, or point XDG_CACHE_HOME at a folder that has it.",
        )


class ArchiveNotMade(SetupError):
    """A class-data archive could not be made; Spark only starts more slowly without."""

    def __init__(self, image: str, detail: str) -> None:
        super().__init__(
            f"no class-data archive was made of {image} ({detail}).",
            cause="The image's Spark job has to pass, on a HotSpot JVM of JDK 11 or later.",
            next_step=f"`pytest --dcs-image={image} --dcs-select=SPK` shows whether it does.",
        )


class BundleNotBuilt(SetupError):
    """The one file for a run inside an image has something missing."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the file cannot be made ({detail}).",
            cause="Its parts come from the package index, by pip as this user configured it.",
            next_step="`python -m pip download --no-deps --only-binary=:all: pytest-testinfra` "
            "must work here; make the file where it does, and copy it.",
        )


class BundleNotWritten(SetupError):
    """The one file for a run inside an image has nowhere to go."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} cannot be written ({detail}).",
            cause="Its folder is not there or read-only, or the path is a folder's.",
            next_step="Name a file in a folder that exists: python -m pytest_dcs bundle dcs.pyz",
        )


class NothingToMerge(SetupError):
    """A document of another run that is not about what this run judges."""

    def __init__(self, path: Path, problem: str, planned: Iterable[str]) -> None:
        super().__init__(
            f"--dcs-merge={path.name} cannot be merged ({problem}).",
            cause=f"This run judges {', '.join(planned)}.",
            next_step="Let both runs name the same image and runtime: inside it, "
            "--dcs-image-config says which build it is, and --dcs-image gives it its name.",
        )
