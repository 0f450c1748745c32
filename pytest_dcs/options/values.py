"""What the text that a user gave for an option means."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pytest_dcs import errors, gpu_request
from pytest_dcs.options.declared import LAST, STDOUT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

GLOBAL_SCRIPT = "global:"
DRIVER_VERSION = re.compile(r"\d{3}(\.\d+){0,2}")
SCRIPT_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How the name of an init script begins that is no file of this machine."""
TRUTH = {"1": True, "true": True, "yes": True, "on": True}
TRUTH |= {"": False, "0": False, "false": False, "no": False, "off": False}


def as_list(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return the words of one or several texts, separated by commas or blanks."""
    texts = [value] if isinstance(value, str) else value
    return tuple(word for text in texts for word in re.split(r"[,\s]+", text) if word)


def as_flag(value: str | bool, source: str) -> bool:
    """Return the truth of a flag; raises `InvalidValue`."""
    try:
        return TRUTH[str(value).lower()]
    except KeyError:
        raise errors.InvalidValue(source, str(value), "true or false") from None


def as_seconds(value: str | float, source: str) -> float:
    """Return a positive number of seconds; raises `InvalidValue`."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise errors.InvalidValue(source, str(value), "a number of seconds above 0")
    return seconds


def as_gpus(value: str, source: str) -> str:
    """Return the words for some GPUs; raises `InvalidValue`."""
    gpu_request.parse(value, source)
    return value.strip() or gpu_request.NONE


def as_driver(value: str, source: str) -> str:
    """Return the version of a driver; raises `InvalidValue`."""
    version = value.strip()
    if version and not DRIVER_VERSION.fullmatch(version):
        needed = "a version of NVIDIA's driver, as `nvidia-smi` shows it: 550.54.15"
        raise errors.InvalidValue(source, value, needed)
    return version


def as_gpu_types(value: str | list[str] | tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return the names of types of GPUs; raises `InvalidValue` for one that is not known."""
    names = tuple(name.upper() for name in as_list(value))
    if names:
        from pytest_dcs import gpu

        known = gpu.capabilities()
        for name in names:
            if name not in known:
                raise errors.InvalidValue(source, name, f"one of {', '.join(known)}")
    return names


def as_settings(value: str | list[str] | tuple[str, ...], source: str) -> tuple[str, ...]:
    """Return texts of the form KEY=VALUE, of which an environment variable has one a line.

    Raises `InvalidValue` for one that has another form.
    """
    texts = value.splitlines() if isinstance(value, str) else value
    for text in texts:
        if not re.match(r"\S+=", text):
            raise errors.InvalidValue(source, text, "KEY=VALUE, as in spark.executor.cores=1")
    return tuple(texts)


def as_paths(
    value: str | list[Path] | tuple[str, ...], source: str, config: pytest.Config
) -> tuple[str, ...]:
    """Return absolute paths."""
    texts = value.split(os.pathsep) if isinstance(value, str) else value
    return tuple(str(base_of(source, config) / text) for text in texts if str(text))


def as_file(value: str, source: str, config: pytest.Config) -> str:
    """Return an absolute path; what names no file stays as it is."""
    return value if value in {"", STDOUT} else str(base_of(source, config) / value)


def as_baseline(value: str, source: str, config: pytest.Config) -> str:
    """Return `last`, the name of an image, or the absolute path of what can only be a file."""
    path = base_of(source, config) / value
    is_file = bool(value) and value != LAST and (value.endswith(".json") or path.is_file())
    return str(path) if is_file else value


def base_of(source: str, config: pytest.Config) -> Path:
    """Return the folder that relative paths start from: where pytest was called, or its root."""
    is_typed = source.startswith(("option ", "environment "))
    return config.invocation_params.dir if is_typed else config.rootpath


def as_scripts(
    value: str | list[str] | tuple[str, ...], source: str, config: pytest.Config
) -> tuple[str, ...]:
    """Return the names of init scripts with absolute paths, wherever tests change to."""
    texts = as_list(value) if isinstance(value, str) else value
    return tuple(anchored_script(text, base_of(source, config)) for text in texts)


def anchored_script(text: str, folder: Path) -> str:
    """Return the name of an init script with an absolute path, if it is a file of this machine."""
    name = text.removeprefix(GLOBAL_SCRIPT)
    if SCRIPT_SCHEME.match(name):
        return text
    return f"{text[: len(text) - len(name)]}{folder / name}"
