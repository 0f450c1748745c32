"""Known and dated exceptions: `dcs-waivers.toml`, and the waivers of a matrix entry."""

from __future__ import annotations

import datetime
import fnmatch
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_dcs import rules
from pytest_dcs.toml_files import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WARN_DAYS = 14
"""How long before its end a waiver is announced to run out."""

STALE = "waiver"
"""The subject of what a strict run finds where a rule passes in spite of a waiver."""

EXAMPLE = """Each waiver is
[[waive]]
rule = "PY006"
reason = "why it is known and acceptable"
until = 2027-03-01
and optionally image (a glob), runtime, only (a list of subjects)."""


@dataclass(frozen=True)
class Waiver:
    """One rule that may fail until a day, and why."""

    rule: str
    reason: str
    until: datetime.date
    image: str = "*"
    runtime: str | None = None
    only: tuple[str, ...] = ()
    """Subjects of items; empty waives all of them."""

    def concerns(self, rule_id: str, image: str, runtime: str) -> bool:
        """Tell whether this waiver is about a rule on an image and runtime."""
        return (
            self.rule == rule_id
            and fnmatch.fnmatchcase(image, self.image)
            and self.runtime in {None, runtime}
        )

    def covers(self, item: rules.Item, today: datetime.date) -> bool:
        """Tell whether something that was found is waived today."""
        return today <= self.until and self.names(item)

    def names(self, item: rules.Item) -> bool:
        """Tell whether this waiver is about something that was found, ended or not."""
        return not self.only or item.subject in self.only

    def to_plain(self) -> dict[str, Any]:
        """Return the waiver in types that can be sent to an xdist worker."""
        return {**asdict(self), "until": self.until.isoformat(), "only": list(self.only)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Waiver:
        """Return the waiver that `to_plain` made into plain data."""
        until = datetime.date.fromisoformat(plain["until"])
        return cls(**{**plain, "until": until, "only": tuple(plain["only"])})

    @property
    def text(self) -> str:
        """What is shown wherever the waiver takes effect."""
        return f"waived until {self.until}: {self.reason}"


def concerning(
    waivers: Sequence[Waiver], rule_id: str, image: str, runtime: str
) -> tuple[Waiver, ...]:
    """Return the waivers that are about a rule on an image and runtime."""
    return tuple(waiver for waiver in waivers if waiver.concerns(rule_id, image, runtime))


def together(
    waivers: Sequence[Waiver], items: Sequence[rules.Item], today: datetime.date
) -> tuple[Waiver, ...]:
    """Return the waivers that cover all that was found, none where something is not covered."""
    used: dict[Waiver, None] = {}
    for item in items:
        waiver = next((each for each in waivers if each.covers(item, today)), None)
        if waiver is None:
            return ()
        used[waiver] = None
    return tuple(used)


def needless_subjects(waivers: Sequence[Waiver], items: Sequence[rules.Item]) -> tuple[str, ...]:
    """Return what waivers name in `only` and what was not found."""
    found = {item.subject for item in items}
    named = dict.fromkeys(subject for waiver in waivers for subject in waiver.only)
    return tuple(subject for subject in named if subject not in found)


def load(path: Path) -> tuple[Waiver, ...]:
    """Return the waivers of a file, none where there is no file; raises `BrokenFile`."""
    if not path.is_file():
        return ()
    document = Fields(path, "the file", read_toml(path), EXAMPLE)
    entries = document.tables("waive")
    document.nothing_else()
    return parse(path, entries)


def parse(path: Path, entries: Sequence[Mapping[str, Any]], where: str = "") -> tuple[Waiver, ...]:
    """Return the waivers of some `[[waive]]` tables; raises `BrokenFile` naming entry and field."""
    return tuple(
        parse_one(Fields(path, f"{where}waiver {number}", entry, EXAMPLE))
        for number, entry in enumerate(entries, 1)
    )


def parse_one(fields: Fields) -> Waiver:
    """Return the waiver that one table describes."""
    waiver = Waiver(
        rule=fields.text("rule"),
        reason=fields.text("reason"),
        until=fields.date("until"),
        image=fields.text("image", "*"),
        runtime=fields.text("runtime", "") or None,
        only=fields.texts("only"),
    )
    fields.nothing_else()
    declared = rules.catalogue().get(waiver.rule)
    if declared is None:
        problem = f"field 'rule' names {waiver.rule!r}, which is not a rule (a full id, no prefix)"
        fields.refuse(problem)
    if not declared.waivable:
        fields.refuse(f"{waiver.rule} cannot be waived: without it nothing can be judged")
    if not waiver.reason.strip():
        fields.refuse("field 'reason' is empty")
    return waiver


def today() -> datetime.date:
    """Return the day that waivers are held against."""
    return datetime.datetime.now(tz=datetime.timezone.utc).date()


def is_ending(waiver: Waiver) -> bool:
    """Tell whether a waiver runs out within the next days."""
    return today() + datetime.timedelta(days=WARN_DAYS) >= waiver.until
