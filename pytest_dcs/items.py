"""What a pytest item is about: its rule, its image and runtime, the probes that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs import rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_dcs.plan import Entry
    from pytest_dcs.rules import Rule


def rule_of(item: pytest.Item) -> Rule | None:
    """Return the rule that an item checks, if any."""
    return rules.rule_of(getattr(item, "function", None))


def entry_of(item: pytest.Item) -> Entry | None:
    """Return the image and runtime that an item is about, if any."""
    callspec = getattr(item, "callspec", None)
    entry: Entry | None = callspec.params.get(rules.ENTRY_FIXTURE) if callspec else None
    return entry


def probes_of(items: Iterable[pytest.Item], entry: Entry) -> frozenset[str]:
    """Return the fixtures by which the items of an entry read slow probes, or run Spark."""
    return frozenset(
        fixture
        for item in items
        if entry_of(item) == entry and applies(item)
        for fixture in getattr(item, "fixturenames", ())
        if rules.is_probe(fixture)
    )


def applies(item: pytest.Item) -> bool:
    """Tell whether an item's rule is asked of its image's features, and of where that is seen."""
    rule, entry = rule_of(item), entry_of(item)
    if rule is None or entry is None:
        return True
    if rule.probe == rules.LAYERS_FIXTURE and entry.image.seen_from != "outside":
        return False
    if rule.where == "container" and entry.image.seen_from == "node":
        return False
    return rule.feature in {None, *entry.features}
