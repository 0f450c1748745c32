"""Runtimes, profiles and needs, and how to ask for them."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, field
from functools import total_ordering
from typing import TYPE_CHECKING

from pytest_dcs import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

ML_TOKENS = {"ml", "cpu", "gpu"}
"""What the names of a Runtime ML have more, as `15.4.x-gpu-ml-scala2.12`."""


def release(version: str) -> tuple[int, float]:
    """Return what versions are ordered by: `18`, a long-lived line, comes after all its minors."""
    major, _, minor = version.partition(".")
    return int(major), float(minor or math.inf)


@total_ordering
@dataclass(frozen=True)
class Runtime:
    """One Databricks Runtime; `runtimes.toml` explains the fields. None and empty are unknown."""

    version: str
    name: str
    pyspark: str
    lts: bool = False
    aliases: tuple[str, ...] = ()
    released: datetime.date | None = None
    end_of_support: datetime.date | None = None
    spark: str | None = None
    scala: tuple[str, ...] = ()
    python: str | None = None
    java: int | None = None
    java_selectable: tuple[int, ...] = ()
    jname: tuple[str, ...] = ()
    ubuntu: str | None = None
    spark_version_keys: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    pins: Mapping[str, str] = field(default_factory=dict, hash=False)
    sources: tuple[str, ...] = ()

    def __lt__(self, other: Runtime) -> bool:
        return release(self.version) < release(other.version)

    def __str__(self) -> str:
        return self.version

    @property
    def names(self) -> frozenset[str]:
        """Everything that a user may call this runtime, as `normalise` writes it."""
        versions = (self.version, *self.aliases)
        forms = ("{}", "{}.x", "{}-lts") if self.lts else ("{}", "{}.x")
        plain = (form.format(version) for version in versions for form in forms)
        return frozenset((*plain, normalise(self.name), *map(normalise, self.spark_version_keys)))

    def is_supported(self, today: datetime.date) -> bool:
        """Tell whether Databricks is known to support this runtime on a day."""
        return self.end_of_support is not None and today <= self.end_of_support


@dataclass(frozen=True)
class Need:
    """Something that some runtimes need of an image; `features.toml` explains the fields."""

    name: str
    since: str
    why: str
    until: str | None = None
    unknown_from: str | None = None
    known_until: str | None = None
    sources: tuple[str, ...] = ()

    def of(self, runtime: Runtime) -> bool | None:
        """Tell whether a runtime has the need; None where that is unknown."""
        version = release(runtime.version)
        if self.known_until and version > release(self.known_until):
            return None
        if version < release(self.since):
            is_unknown = self.unknown_from and version >= release(self.unknown_from)
            return None if is_unknown else False
        return not (self.until and version > release(self.until))

    @property
    def span(self) -> str:
        """The runtimes that have the need, for people."""
        end = f" up to {self.until}" if self.until else ""
        unknown = f", unknown beyond {self.known_until}" if self.known_until else ""
        return f"from {self.since}{end}{unknown}"


@dataclass(frozen=True)
class Catalogue:
    """All that is known of runtimes, profiles and needs."""

    runtimes: Mapping[str, Runtime]
    """By version, newest last."""
    profiles: Mapping[str, frozenset[str]]
    """The features of each profile."""
    needs: Mapping[str, Need]

    def find(self, text: str) -> Runtime:
        """Return the runtime that a text means: `15.4`, `15.4 LTS`, `15.4.x-scala2.12`.

        Raises `UnknownRuntime`, and `MachineLearningRuntime` for a Runtime ML.
        """
        wanted = normalise(text)
        standard = "-".join(token for token in wanted.split("-") if token not in ML_TOKENS)
        for runtime in self.runtimes.values():
            if wanted in runtime.names:
                return runtime
            if standard in runtime.names and "ml" in wanted.split("-"):
                is_key = standard in runtime.spark_version_keys
                raise errors.MachineLearningRuntime(text, standard if is_key else runtime.version)
        raise errors.UnknownRuntime(text, self.runtimes)

    def needs_of(self, runtime: Runtime) -> frozenset[str]:
        """Return the needs that a runtime is known to have."""
        return frozenset(name for name, need in self.needs.items() if need.of(runtime))

    def features(self, profile: str) -> frozenset[str]:
        """Return the features of a profile, or of several, as in `python,gpu`.

        Raises `UnknownProfile`.
        """
        united: frozenset[str] = frozenset()
        for name in map(str.strip, profile.split(",")):
            if name not in self.profiles:
                raise errors.UnknownProfile(name, self.profiles)
            united |= self.profiles[name]
        return united

    def guess(
        self,
        python_minor: str | None,
        java_major: int | None,
        *,
        today: datetime.date | None = None,
    ) -> Runtime | None:
        """Return the newest supported LTS runtime with this Python and Java, None where none fits.

        One that has this Java by default goes before one where JNAME has to select it. What is
        None, because the image has no Python or no Java, is not compared.
        """
        if python_minor is None and java_major is None:
            return None
        day = today or datetime.datetime.now(tz=datetime.timezone.utc).date()
        candidates = [
            runtime
            for runtime in reversed(tuple(self.runtimes.values()))
            if runtime.lts
            and runtime.is_supported(day)
            and python_minor in {None, runtime.python}
            and java_major in {None, runtime.java, *runtime.java_selectable}
        ]
        by_default = (runtime for runtime in candidates if java_major in {None, runtime.java})
        return next(by_default, candidates[0] if candidates else None)


def normalise(text: str) -> str:
    """Return a runtime's name in lower case, its parts joined by hyphens."""
    return re.sub(r"[\s_-]+", "-", text.strip().lower())
