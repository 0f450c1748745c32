"""Every message that stops a run: what happened, the likely cause, the next step.

pytest prints a `UsageError` as `ERROR: …` without a traceback and exits with 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    # pytest's class is final to type checkers; only a real subclass gives exit status 4.
    UsageError = Exception
else:
    UsageError = pytest.UsageError


class SetupError(UsageError):
    """Something outside the image keeps the run from judging it."""

    def __init__(self, what: str, *, cause: str, next_step: str) -> None:
        super().__init__(f"dcs: {what}\n{cause}\n{next_step}")


class NoEngine(SetupError):
    """No container engine answers."""

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(
            f"no container engine at {address} ({detail}).",
            cause="Docker is not installed, not running, or DOCKER_HOST names another place.",
            next_step="`docker info` must work in this shell; start the engine or set DOCKER_HOST.",
        )


class EngineDenied(SetupError):
    """The engine's socket refuses this user."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"no permission to use the container engine at {address}.",
            cause="Your user is probably not in the group `docker`.",
            next_step="`docker info` must work in this shell: `sudo usermod -aG docker $USER`, "
            "then log in again.",
        )


class EngineLost(SetupError):
    """The engine stopped answering in the middle of a run."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the container engine stopped answering ({detail}).",
            cause="It was stopped or restarted, or the connection to it broke.",
            next_step="Nothing was judged after this; run again when `docker info` answers.",
        )


class EngineFault(SetupError):
    """The engine answers, but cannot do what it is asked for."""

    def __init__(self, task: str, detail: str) -> None:
        super().__init__(
            f"the container engine could not {task} ({detail}).",
            cause="It is out of disk, memory or network addresses, or its settings forbid it.",
            next_step="`docker system df` shows the disk, `docker network prune` frees addresses; "
            "`docker run --rm --init` with the same image must work.",
        )


class UnknownContext(SetupError):
    """A Docker context that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no Docker context {name!r}.",
            cause="DOCKER_CONTEXT or `currentContext` in the Docker configuration names it.",
            next_step="`docker context ls` shows the contexts; choose one with DOCKER_CONTEXT.",
        )


class UnsupportedAddress(SetupError):
    """An engine's address of a kind that cannot be used."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"the container engine's address {address!r} cannot be used.",
            cause="Only unix:// and tcp:// are supported, not ssh://, npipe:// or fd://.",
            next_step="Forward the socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock "
            "HOST`, then DOCKER_HOST=unix:///tmp/docker.sock",
        )


class ContainerEnded(SetupError):
    """A container no longer runs in the middle of a run, or starts no further process."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"the container ended in the middle of the run ({detail}).",
            cause="Something outside removed it, the machine ran out of memory, or a test of yours "
            "ended it.",
            next_step="What came after this was not judged; run again.",
        )


class ImageNotFound(SetupError):
    """Neither the engine nor a registry has the image."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"image {reference!r} was not found ({detail}).",
            cause="The name or tag is misspelt, the image was not built on this engine, or the "
            "registry wants a login.",
            next_step=f"`docker image inspect {reference}` or `docker pull {reference}` must work; "
            "`docker login` first for a private registry.",
        )


class EngineNeeded(SetupError):
    """An image that only an engine has, in a run that may use none."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"image {reference!r} cannot be read with --dcs-engine=none.",
            cause="Without an engine only files of this machine can be read.",
            next_step=f"`docker save {reference} -o image.tar`, then "
            "--dcs-image=docker-archive:image.tar; or leave --dcs-engine out.",
        )


class LocalUnfit(SetupError):
    """A run that cannot take this machine for the image."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(
            f"--dcs-engine=local cannot be used here: {why}.",
            cause="It takes the machine on which pytest runs for the image, changes it as the "
            "platform would, and judges that.",
            next_step=next_step,
        )


class LocalByFile(SetupError):
    """A file of the checkout asks to take the machine of whoever runs pytest for the image."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"{source} says `local`, which no pytest configuration may.",
            cause="Whoever runs pytest in this folder would have their own machine judged, and "
            "changed for it.",
            next_step="Ask for it where the job runs: --dcs-engine=local on the command line, or "
            "DCS_ENGINE=local in the job's environment.",
        )


class MachineTaken(SetupError):
    """Another run has taken this machine for its image."""

    def __init__(self) -> None:
        super().__init__(
            "another launch is under way on this machine.",
            cause="With --dcs-engine=local there can be one at a time: another run, or another "
            "runtime of this run under pytest-xdist.",
            next_step="Run again when it has ended, and several runtimes without -n.",
        )


class MachineReadOnly(SetupError):
    """The machine does not take what a launch has to put on it."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"{path} cannot be written ({detail}).",
            cause="The root file system is read-only or full, and --dcs-engine=local makes files "
            "on it, which it removes at the end.",
            next_step="Start the job with a writable root file system, with 1 GB to spare.",
        )


class LayersOutOfReach(SetupError):
    """The layers of an image that is seen from inside."""

    def __init__(self) -> None:
        super().__init__(
            "the layers of an image cannot be read from inside.",
            cause="A running image shows its files, not which layer brought them.",
            next_step="Run these rules outside, which needs no container: --dcs-engine=none with "
            "--dcs-image=oci:DIR or docker-archive:FILE.",
        )


class DescriptionUnreadable(SetupError):
    """A file that should describe the image and does not."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"no image's config can be read from {path} ({problem}).",
            cause="--dcs-image-config takes what `docker image inspect IMAGE` or "
            "`skopeo inspect --config --raw docker://IMAGE` prints.",
            next_step="Write it where the image is built, `docker image inspect IMAGE > "
            "image.json`, and hand the file to the job that runs in the image.",
        )


class BrokenArchive(SetupError):
    """Files of this machine that should hold an image and do not."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"no image can be read from {reference!r} ({detail}).",
            cause="The path is misspelt, the file was cut off, or it is of another kind: oci:DIR "
            "is a folder, oci-archive:FILE its tar, docker-archive:FILE what `docker save` writes.",
            next_step="`skopeo inspect` with the same name must work; where there are several "
            "images, name one: oci:DIR:TAG, docker-archive:FILE:acme/ml:1.4",
        )


class PullFailed(SetupError):
    """A registry has refused or not answered."""

    def __init__(self, reference: str, detail: str) -> None:
        super().__init__(
            f"image {reference!r} could not be pulled ({detail}).",
            cause="The registry is out of reach, refuses these credentials, or limits pulls.",
            next_step=f"`docker pull --platform linux/amd64 {reference}` must work; with the image "
            "already on the engine, use --dcs-pull=never.",
        )


class WrongArchitecture(SetupError):
    """The image is for a platform that no cluster runs."""

    def __init__(self, reference: str, platform: str) -> None:
        super().__init__(
            f"image {reference!r} is for {platform}; Databricks clusters run linux/amd64 only.",
            cause="It was built on an arm64 machine, such as an Apple laptop, without --platform.",
            next_step="Build it with `docker build --platform linux/amd64 …`; if the registry has "
            "that variant, fetch it with --dcs-pull=always.",
        )


class InvalidReference(SetupError):
    """The image's name cannot be one."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference!r} is not an image reference.",
            cause="A reference is [registry/]name[:tag][@digest], the name in lower case.",
            next_step="Example: --dcs-image=acme/ml:1.4",
        )


class UnknownRuntime(SetupError):
    """A Databricks Runtime that the catalogue does not have."""

    def __init__(self, text: str, known: Iterable[str]) -> None:
        super().__init__(
            f"{text!r} is not a known Databricks Runtime.",
            cause=f"Known: {', '.join(known)}.",
            next_step="Newer than this plugin? Describe it in dcs-runtimes.toml beside your pytest "
            "configuration (docs/runtimes.md shows the fields).",
        )


class MachineLearningRuntime(SetupError):
    """A Runtime ML key, which cannot be combined with a custom image."""

    def __init__(self, text: str, standard: str) -> None:
        super().__init__(
            f"{text!r} is Databricks Runtime ML, which does not support Container Services.",
            cause="A cluster with this key and an image ends with INVALID_SPARK_IMAGE before the "
            "image is pulled.",
            next_step=f"Use the standard runtime: --dcs-runtime={standard}",
        )


class RuntimeUndeclared(SetupError):
    """Nobody said which runtime the image is for, and a guess will not do."""

    def __init__(self, reference: str, guess: str | None) -> None:
        found = (
            f"A guess from its Python and JDK would be {guess}."
            if guess
            else ("Its Python and JDK fit no known runtime, so it cannot be guessed.")
        )
        super().__init__(
            f"no runtime is declared for {reference!r}.",
            cause=found,
            next_step="Say it: --dcs-runtime=15.4, DCS_RUNTIME, `dcs_runtime` in the pytest "
            'configuration, or LABEL pytest-dcs.runtime="15.4" in the Dockerfile.',
        )


class UnknownProfile(SetupError):
    """A profile that does not exist."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} is not a profile.",
            cause=f"Known: {', '.join(known)}.",
            next_step="Unite several with a comma: --dcs-profile=python,gpu",
        )


class UnknownRule(SetupError):
    """A rule id or prefix that selects nothing."""

    def __init__(self, text: str, close: Iterable[str]) -> None:
        near = ", ".join(close)
        super().__init__(
            f"no rule has the id or prefix {text!r}.",
            cause=f"Close to it: {near}." if near else "Ids look like PY003, prefixes like PY.",
            next_step="`pytest --dcs-list` shows all rules.",
        )


class NothingKnown(SetupError):
    """A text that fits to no rule and no error of clusters."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"nothing is known that fits to {text!r}.",
            cause="It is no rule, no termination code and no text of an error that the rules name.",
            next_step="Take the last line of the driver's log that begins with `Caused by:`, of "
            "Python's traces the last; `pytest --dcs-list` shows all rules.",
        )


class InvalidValue(SetupError):
    """A setting whose value cannot be used."""

    def __init__(self, source: str, value: str, needed: str) -> None:
        super().__init__(
            f"{source} is {value!r}.",
            cause=f"It must be {needed}.",
            next_step="`pytest --help` has a section `Databricks Container Services`.",
        )


class ConflictingHosts(SetupError):
    """Both `--hosts` and an image claim the fixture `host`."""

    def __init__(self) -> None:
        super().__init__(
            "--hosts and --dcs-image both say what the fixture `host` is.",
            cause="With an image, `host` is always a container of that image.",
            next_step="Run the tests of other machines in a pytest run of their own.",
        )


class BrokenFile(SetupError):
    """A file of the user's that cannot be read or does not say what it must."""

    def __init__(self, path: Path, problem: str, next_step: str) -> None:
        super().__init__(
            f"{path.name}: {problem}.", cause=f"The file is {path}.", next_step=next_step
        )


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


class DuplicateEntry(SetupError):
    """The same image and runtime twice in one run."""

    def __init__(self, entry: str) -> None:
        super().__init__(
            f"{entry} would be tested twice.",
            cause="The same image and runtime were given more than once.",
            next_step="Name each image once; for two profiles unite them: --dcs-profile=python,gpu",
        )


class ProbeNotForeseen(SetupError):
    """A test wants a slow probe's result after its image was launched without the probe."""

    def __init__(self, fixture: str) -> None:
        super().__init__(
            f"the image was launched without what {fixture} reads.",
            cause=f"A test asks for {fixture} by getfixturevalue, which nobody can foresee.",
            next_step=f"Name {fixture} among the test's arguments.",
        )


class FileUnreadable(SetupError):
    """A file that an option names cannot be read."""

    def __init__(self, option: str, path: Path, detail: str) -> None:
        super().__init__(
            f"the file {path} cannot be read ({detail}).",
            cause=f"{option} names a file that is not there, or that may not be read.",
            next_step="A relative path counts from where pytest was called, in the pytest "
            "configuration from the root directory.",
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


class InitScriptUnreadable(SetupError):
    """An init script that this machine does not have."""

    def __init__(self, text: str, detail: str) -> None:
        super().__init__(
            f"the init script {text!r} cannot be read ({detail}).",
            cause="A relative path counts from where pytest was called, in the pytest "
            "configuration from the root directory, in a matrix file from the file's folder.",
            next_step="Name a file of this machine, or file:/PATH for one that the image has.",
        )


class InitScriptElsewhere(SetupError):
    """An init script in a place that only a cluster can reach."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"the init script {text!r} is out of reach.",
            cause="Workspace files, volumes and cloud storage are read with a cluster's rights.",
            next_step="Name the file that it was made from: --dcs-init-script=scripts/proxy.sh, "
            "with global: before it for a global init script.",
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
