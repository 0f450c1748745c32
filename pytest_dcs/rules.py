"""A rule is one requirement: its fields, how a check declares it, and how rules are selected."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest

from pytest_dcs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from testinfra.backend.base import CommandResult

    Skipped = Exception
else:
    Skipped = pytest.skip.Exception

Level = Literal["fail", "advice"]
Effect = Literal["blocks-start", "disables-feature", "wrong-result", "leak"]
Where = Literal["image", "container", "cluster"]
Check = TypeVar("Check", bound="Callable[..., None]")

ID_PATTERN = re.compile(r"[A-Z]{1,3}\d{3}")
FAMILIES = {
    "IMG": "Image config and manifest",
    "SYS": "System packages, users and files",
    "JVM": "Java",
    "PY": "Python environment",
    "R": "R",
    "GPU": "GPU",
    "FUS": "FUSE and storage",
    "INI": "Init scripts",
    "NB": "Notebook",
    "SPK": "Spark",
    "DAT": "Data correctness",
    "SEC": "Leaks",
    "REG": "Registry",
    "RUN": "Remote launch",
}
"""The families of rules, in the order in which they are checked and shown."""

REMOTE_FAMILIES = frozenset({"REG", "RUN"})
"""Families that are asked only where a remote cluster is launched."""

ENTRY_FIXTURE = "_dcs_entry"
"""The fixture that gives a test its image and runtime."""

SMOKE_FILE_FIXTURE = "dcs_smoke_file"
"""The parameter that gives a check one of the user's own smoke files."""

DEEP_PROBE = "dcs_spark_deep_smoke"
"""The fixture of the probe that is run on demand only."""

IMAGE_FIXTURE = "dcs_image"
"""The fixture of the image and of its config."""

LAYERS_FIXTURE = "dcs_layers"
"""The fixture of the image's layers, which take a while to read and need no container."""

GPU_PROBES = frozenset({"dcs_gpu_smoke", "dcs_gpu_spark_smoke"})
"""The fixtures of the probes that need a GPU, which most machines that judge images have not."""

REMOTE_PROBE = "dcs_remote"
"""The fixture of the launch on a real cluster."""

REMOTE_FIXTURES = frozenset(
    {REMOTE_PROBE, "dcs_remote_spec", "dcs_remote_differences", "dcs_registry"}
)
"""The fixtures that need a run with --dcs-remote."""

GPU_UNTESTED = "GPU not tested: "
"""How a rule begins to say why it has not tried the GPU."""

CHECKS_PACKAGE = "pytest_dcs.checks"
ANSWER_LINES = 3
"""How much of a command's output a finding quotes; of a Python traceback the last line says all."""
SHELL_RULE = "SYS001"
"""Every rule about a container builds on the one that there is a container."""


STRIPPED = (
    """This Python run drops docstrings (PYTHONOPTIMIZE=2), and with them all explanations.

Fix: see `pytest --dcs-explain` without it.
"""
    if sys.flags.optimize > 1
    else ""
)


class NotApplicable(Skipped):
    """The rule asks nothing of this image and runtime."""


class Blocked(Skipped):
    """Another finding keeps the rule from being checked."""


@dataclass(frozen=True)
class Item:
    """One thing that is not as it must be."""

    subject: str
    found: str
    needed: str

    def __str__(self) -> str:
        return f"{self.subject}: found {self.found}; needed {self.needed}"


class RuleBroken(AssertionError):
    """The image does not meet a rule.

    Checks raise it through `require`, because a bare `assert` is dropped by `PYTHONOPTIMIZE` and
    a gate that drops its assertions is green for every image.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__("\n".join(map(str, items)))
        self.items = tuple(items)


def require(condition: object, subject: str, *, found: object, needed: str) -> None:
    """Raise `RuleBroken` with one item unless the condition holds."""
    if not condition:
        raise RuleBroken([Item(subject, str(found), needed)])


def require_none(items: Iterable[Item]) -> None:
    """Raise `RuleBroken` with all items unless there is none."""
    broken = list(items)
    if broken:
        raise RuleBroken(broken)


def answer(result: CommandResult) -> str:
    """Return what a command said last, and how it ended if not well: the `found` of an item."""
    lines = (result.stderr.strip() or result.stdout.strip() or "no output").splitlines()
    is_traceback = any(line.startswith("Traceback ") for line in lines)
    said = lines[-1] if is_traceback else "; ".join(lines[-ANSWER_LINES:])
    return f"exit status {result.rc}: {said}" if result.rc else said


@dataclass(frozen=True)
class Rule:
    """One requirement of the platform; the check's docstring says why and how to fix it."""

    id: str
    name: str
    level: Level
    effect: Effect
    feature: str | None
    """The rule is asked of images that declare this feature; None: of all."""
    need: str | None
    """The entry of `features.toml` that says which runtimes have the need; None: all."""
    where: Where
    """`image`: config and layers, without a container. `container`: a container before the platform
    has been in it: what the rule reads or does is the platform's own on a node. `cluster`: any
    container, that on a node of a cluster too."""
    requires: tuple[str, ...]
    """Rules whose failure blocks this one."""
    since: str
    """The version of pytest-dcs that brought the rule."""
    sources: tuple[str, ...]
    waivable: bool
    docstring: str
    check: str
    """The check's node id within the built-in checks, `dcs/python::test_virtualenv_builds`."""
    probe: str | None = None
    """The fixture of the slow probe that the check reads."""
    step: str | None = None
    """The step or assumption of the launch, by its name in `steps.toml`, that the rule judges."""

    @property
    def family(self) -> str:
        """The letters of the id."""
        return self.id.rstrip("0123456789")

    @property
    def why(self) -> str:
        """The reason, and the platform's own error text."""
        return self.docstring.partition("Fix:")[0].strip()

    @property
    def fix(self) -> str:
        """What to write into the Dockerfile."""
        return self.docstring.partition("Fix:")[2].strip()

    def __str__(self) -> str:
        return f"{self.id} {self.name}"


def rule(
    id: str,  # noqa: A002 - the catalogue's own word
    name: str,
    *,
    level: Level,
    effect: Effect,
    where: Where,
    sources: Sequence[str],
    feature: str | None = None,
    need: str | None = None,
    requires: Sequence[str] = (),
    step: str | None = None,
    since: str = "0.1",
    waivable: bool = True,
) -> Callable[[Check], Check]:
    """Declare that a pytest function checks a rule.

    Raises `ValueError` where the docstring has no `Fix:` paragraph or the id has no form.
    """

    def declare(check: Check) -> Check:
        docstring = inspect.getdoc(check) or STRIPPED
        if "\nFix:" not in docstring or not ID_PATTERN.fullmatch(id):
            msg = f"{id} ({check.__name__}): a rule needs an id like PY003 and a paragraph `Fix:`"
            raise ValueError(msg)
        module = check.__module__.rpartition(".")[2]
        probes = [name for name in inspect.signature(check).parameters if is_probe(name)]
        declared = Rule(
            id=id,
            name=name,
            level=level,
            effect=effect,
            feature=feature,
            need=need,
            where=where,
            requires=tuple(requires),
            since=since,
            sources=tuple(sources),
            waivable=waivable,
            docstring=docstring,
            check=f"dcs/{module}::{check.__name__}",
            probe=probes[0] if probes else None,
            step=step,
        )
        check.dcs_rule = declared  # type: ignore[attr-defined]
        # A user may override a fixture by one that does not ask for the entry; the check still is
        # about one.
        for mark in (pytest.mark.dcs(id), pytest.mark.usefixtures(ENTRY_FIXTURE)):
            check = mark(check)
        return check

    return declare


def is_probe(fixture: str) -> bool:
    """Tell by its name whether a fixture reads a slow probe, or is the session for own code."""
    return fixture.endswith("_smoke") or fixture in {"dcs_spark", LAYERS_FIXTURE, REMOTE_PROBE}


def rule_of(function: object) -> Rule | None:
    """Return the rule that a test function declares, if any."""
    declared = getattr(function, "dcs_rule", None)
    return declared if isinstance(declared, Rule) else None


@cache
def catalogue() -> Mapping[str, Rule]:
    """Return all built-in rules by id, in the order of their families and numbers."""
    package: Any = importlib.import_module(CHECKS_PACKAGE)
    found: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(package.__path__):
        for member in vars(importlib.import_module(f"{CHECKS_PACKAGE}.{info.name}")).values():
            declared = rule_of(member)
            if declared is None:
                continue
            if found.setdefault(declared.id, declared) is not declared:
                msg = f"two checks declare {declared.id}"
                raise ValueError(msg)
    order = list(FAMILIES)
    return dict(sorted(found.items(), key=lambda each: (order.index(each[1].family), each[0])))


def matching(text: str) -> list[Rule]:
    """Return the rules with this id or prefix; raises `UnknownRule` when there is none."""
    matches = [each for each in catalogue().values() if each.id.startswith(text.upper())]
    if not matches or not text:
        near = difflib.get_close_matches(text.upper(), catalogue(), n=3)
        raise errors.UnknownRule(text, near)
    return matches


def is_selected(rule_id: str, select: Sequence[str], ignore: Sequence[str]) -> bool:
    """Tell whether a rule is to run: of all prefixes that match its id, the longest decides."""
    chosen = max((len(text) for text in select if rule_id.startswith(text)), default=-1)
    left_out = max((len(text) for text in ignore if rule_id.startswith(text)), default=-1)
    if chosen < 0 and select:
        return False
    return chosen > left_out or left_out < 0
