"""What another run has found on the same image, inside it or on another machine, for this verdict.

A rule that only the other run judged counts as if it was judged here. One that both have judged
with different outcomes counts as the worse of the two, and the verdict shows the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_dcs import __version__, errors, rules, waivers
from pytest_dcs.report import document
from pytest_dcs.report.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_dcs.plan import Entry, Plan
    from pytest_dcs.report.findings import Judgement, Outcome

HERE = "here"
WORST_FIRST: tuple[Outcome, ...] = ("fail", "advice", "waived", "pass")
"""Outcomes of rules that were judged."""
UNJUDGED: tuple[Outcome, ...] = ("not-applicable", "blocked", "error")
"""The others, first what says most."""


@dataclass(frozen=True)
class Part:
    """What one document says of one entry of the plan."""

    label: str
    """Where that was seen, for people: `inside (run.json)`."""
    findings: tuple[Finding, ...]
    own_failures: int = 0
    own_passes: int = 0
    lost: str = ""
    notes: tuple[str, ...] = ()
    inventory: Mapping[str, Any] = field(default_factory=dict)


def read(paths: Iterable[Path], plan: Plan) -> dict[str, list[Part]]:
    """Return what the documents say, by the ids of the plan's entries.

    Raises `DocumentUnreadable` for what is no document, and `NothingToMerge` for one that is about
    something else.
    """
    parts: dict[str, list[Part]] = {}
    for path in paths:
        found = document.read(path)
        titles = [entry.title for entry in plan.entries]
        if not found["entries"]:
            raise errors.NothingToMerge(path, "it has judged no image", titles)
        for plain in found["entries"]:
            matching = [entry for entry in plan.entries if is_same(plain, entry)]
            if not matching:
                raise errors.NothingToMerge(path, mismatch(plain, plan), titles)
            part = part_of(path, found, plain)
            for entry in matching:
                parts.setdefault(entry.id, []).append(part)
    return parts


def is_same(plain: Mapping[str, Any], entry: Entry) -> bool:
    """Tell whether a document's entry is about the same build on the same runtime.

    The name decides only where one side knows neither id nor digest: a tag has many builds.
    """
    if plain["runtime"] != entry.runtime.version:
        return False
    image_id, digest = plain["image_id"], digest_of(plain)
    known = [
        (theirs, ours)
        for theirs, ours in ((image_id, entry.image.id), (digest, entry.image.digest))
        if theirs and ours
    ]
    if known:
        return any(theirs == ours for theirs, ours in known)
    return bool(plain["image"] == entry.image.reference)


def digest_of(plain: Mapping[str, Any]) -> str:
    """Return the registry's digest, empty where the document has only the id in its place."""
    return str(plain["digest"]) if plain["digest"] != plain["image_id"] else ""


def mismatch(plain: Mapping[str, Any], plan: Plan) -> str:
    """Return how an entry differs from all that the plan has."""
    name = f"{plain['image']} ({str(plain['digest'])[:19] or 'of unknown id'})"
    if all(entry.runtime.version != plain["runtime"] for entry in plan.entries):
        return f"it is about {name} on runtime {plain['runtime']}"
    if any(entry.image.reference == plain["image"] for entry in plan.entries):
        return f"it is about another build, {name}"
    return f"it is about {name} on {plain['runtime']}"


def part_of(path: Path, found: Mapping[str, Any], plain: Mapping[str, Any]) -> Part:
    """Return one entry of a document; raises `DocumentUnreadable`."""
    try:
        return part_seen(f"{found['seen']} ({path.name})", found, plain)
    except ValueError as error:
        raise errors.DocumentUnreadable(path, str(error)) from None


def part_seen(label: str, found: Mapping[str, Any], plain: Mapping[str, Any]) -> Part:
    """Return one entry of a document under a label; raises `ValueError` that says why not."""
    try:
        findings = tuple(map(Finding.from_plain, plain["findings"]))
    except (TypeError, KeyError) as error:
        msg = f"a finding has other fields: {error}"
        raise ValueError(msg) from None
    unknown = sorted({each.rule for each in findings} - rules.catalogue().keys())
    if unknown:
        msg = f"pytest-dcs {found['plugin']} wrote it, {__version__} has no rule {unknown[0]}"
        raise ValueError(msg)
    return Part(
        label=label,
        findings=findings,
        own_failures=plain["own_failures"],
        own_passes=plain["own_passes"],
        lost=plain["lost"],
        notes=tuple(map(str, plain.get("notes", ()))),
        inventory=plain["inventory"],
    )


def merge(judgement: Judgement, parts: Sequence[Part], entry: Entry, *, strict: bool) -> None:
    """Add to the judgement of an entry what other runs have found."""
    for part in parts:
        only_there = 0
        for each in part.findings:
            theirs = as_judged_here(each, part, entry, strict=strict)
            ours = judgement.findings.get(theirs.key)
            only_there += ours is None or knows_more(theirs, ours)
            judgement.findings[theirs.key] = together(ours, theirs)
        judgement.own_failures += part.own_failures
        judgement.own_passes += part.own_passes
        if part.lost and not judgement.lost:
            judgement.lost = f"{part.label}: {part.lost}"
        count = f"{only_there} of its {len(part.findings)} findings"
        judgement.notes.append(f"merged {part.label}: {count} are on rules not judged here")
        judgement.notes += [f"{part.label}: {note}" for note in part.notes]
        judgement.inventory = {**part.inventory, **judgement.inventory}
    accept_what_waived_rules_block(judgement)


def as_judged_here(finding: Finding, part: Part, entry: Entry, *, strict: bool) -> Finding:
    """Return a finding as this run's waivers and strictness make it."""
    seen = f"{part.label}, {finding.seen}" if finding.seen else part.label
    finding = replace(finding, entry=entry.id, seen=seen, container="")
    if finding.outcome not in {"fail", "advice"}:
        return finding
    known = waivers.concerning(
        entry.waivers, finding.rule, entry.image.reference, entry.runtime.version
    )
    used = waivers.together(known, finding.items, waivers.today())
    if used:
        message = "; ".join(dict.fromkeys(waiver.text for waiver in used))
        return replace(finding, outcome="waived", message=message)
    return replace(finding, outcome="fail") if strict else finding


def together(ours: Finding | None, theirs: Finding) -> Finding:
    """Return what two runs' findings on one rule come to."""
    if ours is None or knows_more(theirs, ours):
        return theirs
    if ours.outcome == theirs.outcome or theirs.outcome in UNJUDGED:
        return ours
    worse = min(ours, theirs, key=lambda each: WORST_FIRST.index(each.outcome))
    return replace(worse, differs=f"{ours.differs or told(ours)}, {told(theirs)}")


def knows_more(theirs: Finding, ours: Finding) -> bool:
    """Tell whether a rule was judged there and not here, or there is a better reason why not."""
    if ours.outcome not in UNJUDGED:
        return False
    return theirs.outcome not in UNJUDGED or (
        UNJUDGED.index(theirs.outcome) < UNJUDGED.index(ours.outcome)
    )


def told(finding: Finding) -> str:
    """Return an outcome and where it was seen, a failure in capitals."""
    outcome = "FAIL" if finding.outcome == "fail" else finding.outcome
    return f"{outcome} {finding.seen or HERE}"


def accept_what_waived_rules_block(judgement: Judgement) -> None:
    """Turn blocked findings into waived ones where the rule that blocks them is waived here."""
    roots = {each.key: waived_root_of(each.rule, judgement) for each in judgement.having("blocked")}
    for key, root in roots.items():
        if root:
            judgement.findings[key] = replace(
                judgement.findings[key],
                outcome="waived",
                message=f"not checked, since {rules.catalogue()[root]} is waived",
            )


def waived_root_of(rule_id: str, judgement: Judgement) -> str:
    """Return the waived rule that a blocked one builds on, empty where there is none."""
    for required in rules.catalogue()[rule_id].requires:
        finding = judgement.findings.get(required)
        if finding is None:
            continue
        if finding.outcome == "waived":
            return required
        if finding.outcome == "blocked" and (root := waived_root_of(required, judgement)):
            return root
    return ""
