"""What is known of registries: tags that move on, and passwords that end by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from pytest_dcs.image.reference import Reference

DATA = Path(__file__).with_name("habits.toml")


@dataclass(frozen=True)
class ShortLived:
    """Users of some registries whose password is a token."""

    user: str
    hosts: tuple[str, ...]
    hours: int
    """How long a token lasts."""
    source: str


@dataclass(frozen=True)
class Habits:
    """All that the data says."""

    floating_tags: frozenset[str]
    short_lived: tuple[ShortLived, ...]


@cache
def load() -> Habits:
    """Return what `habits.toml` says."""
    document = read_toml(DATA)
    return Habits(
        floating_tags=frozenset(document["floating_tags"]),
        short_lived=tuple(
            ShortLived(**{**table, "hosts": tuple(table["hosts"])})
            for table in document["short_lived"]
        ),
    )


def is_floating(reference: Reference) -> bool:
    """Tell whether a name leads to another image tomorrow, as far as its words say so."""
    return reference.digest is None and (reference.tag or "").lower() in load().floating_tags


def lifetime(registry: str, user: str) -> int | None:
    """Return after how many hours a user's password ends, None where that is not known."""
    return next(
        (
            each.hours
            for each in load().short_lived
            if each.user == user and any(fnmatchcase(registry, host) for host in each.hosts)
        ),
        None,
    )
