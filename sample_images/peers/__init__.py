"""What other tools find in the sample images, with the documented requirements in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sample_images.peers import canary, plain_testinfra, structure_test

if TYPE_CHECKING:
    from collections.abc import Callable

    from sample_images.peers.answer import Answer


@dataclass(frozen=True)
class Peer:
    """A tool that tests images."""

    id: str
    title: str
    given: str
    """Which version it is, and what it was given."""
    measure: Callable[[str, frozenset[str]], Answer]
    """What it says of an image that is meant to offer these features."""


PEERS = (
    Peer(
        "structure-test", "container-structure-test", structure_test.given(), structure_test.measure
    ),
    Peer("testinfra", "plain testinfra", plain_testinfra.given(), plain_testinfra.measure),
    Peer("canary", "container-canary, a replay", canary.given(), canary.measure),
)
