"""Whether the nodes will find the tested image: everything that the registry tells beforehand."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_dcs.image import CLUSTER_PLATFORM
from pytest_dcs.image.config import parse_config
from pytest_dcs.remote.registry import budget, habits, manifests
from pytest_dcs.remote.registry.bounded import within
from pytest_dcs.remote.registry.client import Client, Refused, as_object, digest_of
from pytest_dcs.remote.registry.status import Status

if TYPE_CHECKING:
    from pytest_dcs.image import Image
    from pytest_dcs.remote.registry.budget import Budget
    from pytest_dcs.remote.registry.client import Answer
    from pytest_dcs.remote.registry.pull import Pull

REFUSED = frozenset({Status.BAD_CREDENTIALS, Status.LOGIN_WANTED, Status.DENIED})
NEEDED = "/".join(CLUSTER_PLATFORM)
LONGEST = 180.0
"""Seconds for all requests together; each has shorter limits for its usual troubles."""
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)
"""What a document that is no config of an image ends with."""


@dataclass(frozen=True)
class Preflight:
    """What a registry says of an image that nodes are to pull; its repr shows no password."""

    pull: Pull
    status: Status
    detail: str = ""
    """What the registry said, or why it could not be asked; empty where the image is there."""
    digest: str = ""
    """What the name leads to; empty where the registry does not say."""
    platforms: tuple[str, ...] = ()
    """What the image is there for, as in `linux/amd64`; empty: not known, see `unread`."""
    is_tested: bool | None = None
    """Whether it is the image that was tested; None: not known, see `unread`."""
    unread: str = ""
    """Why the platforms or the identity of the image that was found are not known."""
    failed: bool = False
    """Whether that is because the registry did not answer."""
    left: Budget | None = None
    """How many pulls are left; None where the registry names no limit."""

    @property
    def is_refused(self) -> bool:
        """Whether the registry does not let the nodes have the image."""
        return self.status in REFUSED

    @property
    def is_missing(self) -> bool:
        """Whether the registry has no such image."""
        return self.status is Status.NOT_FOUND

    @property
    def is_floating(self) -> bool:
        """Whether the name leads to another image tomorrow, as far as its words say so."""
        return habits.is_floating(self.pull.reference)


def ask(pull: Pull, image: Image) -> Preflight:
    """Ask the registry what the nodes would get, and compare it with the tested image.

    It never raises for what a registry does. One HEAD tells most; where the digest is not the
    tested one, up to two GETs look for the image in it, which count as a pull.
    """
    if pull.unknowable:
        return Preflight(pull, Status.UNKNOWABLE, pull.unknowable)
    try:
        return within(LONGEST, lambda: answered(pull, image))
    except TimeoutError:
        detail = f"{pull.reference.registry} does not finish its answers in {LONGEST:.0f} s"
        return Preflight(pull, Status.UNREACHABLE, detail)


def answered(pull: Pull, image: Image) -> Preflight:
    """Return what the registry answers, however long that takes."""
    name = pull.reference.digest or str(pull.reference.tag)
    with closing(Client(pull)) as client:
        try:
            head = client.manifest("HEAD", name, manifests.TYPES)
        except Refused as refused:
            return Preflight(pull, refused.why, refused.detail, left=refused.left)
        digest = head.headers.get("Docker-Content-Digest", "")
        if not (manifests.DIGEST.fullmatch(digest) or type_of(head) in manifests.TYPES):
            detail = f"{client.host} is no registry: it answers with {type_of(head) or 'no type'}"
            return Preflight(pull, Status.UNREACHABLE, detail)
        found = Preflight(pull, Status.FOUND, digest=digest, left=budget.read(head.headers))
        if digest and digest in {image.digest, image.id}:
            return replace(found, platforms=(image.config.platform,), is_tested=True)
        try:
            return looked_into(found, client, name, image)
        except Refused as refused:
            return replace(
                found, unread=refused.detail, failed=True, left=refused.left or found.left
            )


def looked_into(found: Preflight, client: Client, name: str, image: Image) -> Preflight:
    """Return what was found with the platforms and the identity of its image for clusters."""
    answer = client.manifest("GET", name, manifests.TYPES)
    found = replace(found, digest=digest_of(answer.body))
    document = as_object(answer.body)
    if type_of(answer) in manifests.INDEXES or "manifests" in document:
        entries = [*manifests.entries(document)]
        found = replace(found, platforms=tuple(dict.fromkeys(each.platform for each in entries)))
        wanted = next((each.digest for each in entries if each.platform == NEEDED), None)
        if wanted is None:
            return replace(found, platforms=found.platforms or ("no platform that is named",))
        if wanted in {image.digest, image.id}:
            return replace(found, is_tested=True)
        document = as_object(client.manifest("GET", wanted, manifests.MANIFESTS).body)
    config = manifests.config_of(document)
    if config == image.id:
        platforms = found.platforms or (image.config.platform,)
        return replace(found, platforms=platforms, is_tested=True)
    if not config:
        return replace(found, unread="its manifest is of a kind that names no config")
    try:
        seen = parse_config(as_object(client.blob(config)))
    except UNREADABLE:
        return replace(found, unread=f"{config} is no config of an image")
    platforms = found.platforms or (seen.platform,)
    # A build tool may write the same image anew: only what a container sees counts.
    known = image.config_known and bool(image.config.layers)
    same = replace(seen, history=()) == replace(image.config, history=())
    return replace(
        found,
        platforms=platforms,
        is_tested=same if known else None,
        unread="" if known else "the layers of the tested image are not known",
    )


def type_of(answer: Answer) -> str:
    """Return the media type of an answer, without parameters."""
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
