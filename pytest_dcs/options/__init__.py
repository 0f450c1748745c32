"""What the user asked for: command line > environment > pytest configuration > default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pytest_dcs import errors
from pytest_dcs.options.declared import (
    ACTIONS,
    FAIL_ON_FAILURE,
    INI_TYPES,
    JOBS_MODE,
    LAST,
    LOCAL_ENGINE,
    LOCAL_IMAGE,
    NO_ENGINE,
    OPTIONS,
    STDOUT,
    WRITE_WAIVERS,
    Kind,
    Option,
)
from pytest_dcs.options.values import (
    GLOBAL_SCRIPT,
    SCRIPT_SCHEME,
    anchored_script,
    as_baseline,
    as_driver,
    as_file,
    as_flag,
    as_gpu_types,
    as_gpus,
    as_list,
    as_paths,
    as_scripts,
    as_seconds,
    as_settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

__all__ = [
    "FAIL_ON_FAILURE",
    "GLOBAL_SCRIPT",
    "JOBS_MODE",
    "LAST",
    "LOCAL_IMAGE",
    "NO_ENGINE",
    "OPTIONS",
    "SCRIPT_SCHEME",
    "STDOUT",
    "WRITE_WAIVERS",
    "Settings",
    "Sourced",
    "add_options",
    "anchored_script",
    "default_cache_directory",
    "read_settings",
]

Value = TypeVar("Value")


@dataclass(frozen=True)
class Sourced(Generic[Value]):
    """A value and where it came from."""

    value: Value
    source: str

    def __str__(self) -> str:
        value = ", ".join(self.value) if isinstance(self.value, tuple) else self.value
        return f"{value} ({self.source})"


@dataclass(frozen=True)
class Settings:
    """All that a run was asked to do."""

    image: Sourced[tuple[str, ...]]
    runtime: Sourced[tuple[str, ...]]
    profile: Sourced[str]
    select: Sourced[tuple[str, ...]]
    ignore: Sourced[tuple[str, ...]]
    deep: Sourced[bool]
    init_script: Sourced[tuple[str, ...]]
    open_network: Sourced[bool]
    without: Sourced[tuple[str, ...]]
    smoke: Sourced[tuple[str, ...]]
    jar: Sourced[tuple[str, ...]]
    spark_conf: Sourced[tuple[str, ...]]
    spark_mode: Sourced[Literal["local", "cluster"]]
    engine: Sourced[Literal["docker", "local", "none"]]
    image_config: Sourced[tuple[str, ...]]
    gpus: Sourced[str]
    """In the words of `gpu_request`."""
    gpu_driver: Sourced[str]
    """Empty where it is not known."""
    gpu_type: Sourced[tuple[str, ...]]
    strict: Sourced[bool]
    timeout: Sourced[float]
    """Seconds for one command in the container."""
    keep: Sourced[bool]
    merge: Sourced[tuple[str, ...]]
    pull: Sourced[Literal["missing", "always", "never"]]
    json: Sourced[str]
    """An absolute path, `-` or empty."""
    history: Sourced[str]
    """An absolute path or empty."""
    baseline: Sourced[str]
    """`last`, an absolute path, an image or empty."""
    fail_on: Sourced[Literal["failure", "regression", "any"]]
    remote: Sourced[bool]
    remote_mode: Sourced[Literal["jobs", "interactive"]]
    remote_cluster: Sourced[str]
    """An absolute path, with `#KEY` behind it where it names one of several; or empty."""
    remote_node_type: Sourced[str]
    remote_by_digest: Sourced[bool]
    remote_record: Sourced[str]
    """An absolute path or empty."""
    remote_control: Sourced[bool]
    remote_timeout: Sourced[float]
    """Seconds for one cluster, from its request to the end of the checks."""
    tests: Sourced[tuple[str, ...]]
    waivers: Sourced[tuple[str, ...]]
    runtimes: Sourced[tuple[str, ...]]
    spark_tuning: Sourced[bool]
    cache: Sourced[tuple[str, ...]]

    @property
    def active(self) -> bool:
        """Whether there is an image to test."""
        return bool(self.image.value) or self.is_local

    @property
    def is_local(self) -> bool:
        """Whether this machine is taken for the image."""
        return self.engine.value == LOCAL_ENGINE

    @property
    def image_config_file(self) -> Path | None:
        """The file that describes the image, if there is one."""
        return Path(self.image_config.value[0]) if self.image_config.value else None

    @property
    def is_kept(self) -> bool:
        """Whether what the run reads is for more than its verdict."""
        return any(each.value for each in (self.json, self.history, self.baseline))

    @property
    def is_compared(self) -> bool:
        """Whether the run is kept or held against earlier ones."""
        return self.is_kept or self.fail_on.value != FAIL_ON_FAILURE

    @property
    def waivers_file(self) -> Path:
        """The file of waivers, which need not exist."""
        return Path(self.waivers.value[0])

    @property
    def runtimes_file(self) -> Path | None:
        """The file of the user's own runtimes, if there is one."""
        path = Path(self.runtimes.value[0])
        return path if path.exists() or self.runtimes.source != "default" else None

    @property
    def cache_directory(self) -> Path:
        """Where downloads are kept between runs."""
        return Path(self.cache.value[0]) if self.cache.value else default_cache_directory()


def default_cache_directory() -> Path:
    """Return where downloads are kept where nobody says otherwise."""
    import platformdirs

    return platformdirs.user_cache_path("pytest-dcs")


def add_options(parser: pytest.Parser) -> None:
    """Add all options and ini keys to pytest's own."""
    group = parser.getgroup("dcs", "Databricks Container Services")
    for option in OPTIONS.values():
        if option.on_command_line:
            arguments: dict[str, Any] = {"action": "store", "default": None, "help": option.help}
            arguments |= ACTIONS.get(option.kind, {})
            if option.metavar:
                arguments["metavar"] = option.metavar
            if option.choices:
                arguments["choices"] = option.choices
            group.addoption(option.flag, dest=option.ini, **arguments)
        if option.only_on_command_line:
            continue
        # None tells a key that is not there from one that is empty.
        parser.addini(option.ini, option.help, type=INI_TYPES[option.kind], default=None)
    group.addoption("--dcs-list", action="store_true", help="List all rules and exit")
    group.addoption(
        "--dcs-explain",
        metavar="TEXT",
        help="Explain a rule, the launch, a termination code or the text of an error, and exit",
    )
    group.addoption(
        WRITE_WAIVERS,
        action="store_true",
        help="Write a waiver of 30 days for whatever fails: adopt the gate for an image as it is",
    )


def read_settings(config: pytest.Config) -> Settings:
    """Return the settings of this run; raises `InvalidValue`."""
    return Settings(**{name: resolve(option, config) for name, option in OPTIONS.items()})


def resolve(option: Option, config: pytest.Config) -> Sourced[Any]:
    """Return the value of the strongest source that gives one."""
    read: dict[Kind, Callable[[Any, str], Any]] = {
        "list": lambda value, _: as_list(value),
        "rules": lambda value, _: tuple(word.upper() for word in as_list(value)),
        "scripts": lambda value, source: as_scripts(value, source, config),
        "text": lambda value, _: str(value),
        "flag": as_flag,
        "number": as_seconds,
        "settings": as_settings,
        "gpus": as_gpus,
        "driver": as_driver,
        "gpu_types": as_gpu_types,
        "paths": lambda value, source: as_paths(value, source, config),
        "file": lambda value, source: as_file(value, source, config),
        "baseline": lambda value, source: as_baseline(value, source, config),
    }
    sources = [(config.getoption(option.ini, None), f"option {option.flag}")]
    if not option.only_on_command_line:
        sources.append((os.environ.get(option.variable), f"environment {option.variable}"))
        sources.append((config.getini(option.ini), f"ini {option.ini}"))
    sources.append((option.default, "default"))
    value, source = next(found for found in sources if found[0] is not None)
    result = read[option.kind](value, source)
    if option.choices and result not in option.choices:
        raise errors.InvalidValue(source, str(value), f"one of {', '.join(option.choices)}")
    return Sourced(result, source)
