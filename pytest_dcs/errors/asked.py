"""What the user asks for and cannot be done as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.errors.base import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


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


class LaunchUnfit(SetupError):
    """A launch on a real cluster is asked for, and cannot or must not be made so."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(
            f"nothing is launched: {why}.",
            cause="--dcs-remote launches an image of this machine or of a registry on a real "
            "cluster, which costs money.",
            next_step=next_step,
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
