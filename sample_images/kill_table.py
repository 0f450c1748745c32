"""The table of what finds each broken image: our rules, and other tools beside them.

`python -m sample_images.kill_table [--fresh] > docs/kill-table.md`

It builds and judges the images as `sample_images.corpus` does, and asks every tool about each.
Answers are kept until the image, the tool or what it was given changes, so a run that was ended
goes on where it stood. What was measured goes into the user's cache, and the table is made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from pytest_dcs import rules, runtimes
from sample_images import build, corpus, peers
from sample_images.kill_table_page import OURS, Measured, Row, Verdict, document
from sample_images.peers import PEERS
from sample_images.peers.answer import Answer
from sample_images.results import LANES, Kept, in_lanes, key_of, key_of_files
from sample_images.samples import all_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sample_images.judging import Judged
    from sample_images.peers import Peer
    from sample_images.samples import Part, Sample

Answers = dict[str, dict[str, Answer]]
"""What tools say: by the sample's id, by the tool's."""

FOUND = ("fail", "advice")
PARTS: dict[str, frozenset[Part]] = {
    f"{OURS}, all rules about config and container": frozenset({"container"}),
    f"{OURS}, with a notebook": frozenset({"container", "notebook"}),
    f"{OURS}, with the reference Spark job": frozenset({"container", "spark"}),
    f"{OURS}, with both Spark jobs": frozenset({"container", "spark", "deep"}),
}


def ask_peers(
    samples: Iterable[Sample], *, fresh: bool = False, say: Callable[[str], object] = str
) -> Answers:
    """Return what all tools say of samples that have something to look into.

    Raises `NotBuilt`.
    """
    asked = [sample for sample in samples if sample.parts]
    ids, catalogue = corpus.image_ids(asked), runtimes.load()
    code = key_of_files(Path(peers.__file__).parent)
    kept = Kept("peers", fresh=fresh)
    answers: Answers = defaultdict(dict)

    def ask(task: tuple[Sample, Peer]) -> tuple[Sample, Peer, Answer]:
        sample, peer = task
        features = catalogue.features(sample.profile)
        name = f"{peer.id}-{sample.id}"
        key = key_of(ids[sample.reference], sorted(features), code, peer.given)
        before = kept.read(name, key)
        if before is not None:
            return sample, peer, Answer(tuple(before["red"]), before["seconds"])
        answer = peer.measure(sample.reference, features)
        kept.write(name, key, asdict(answer))
        say(f"  {peer.id:<16} {sample.id:<40} {answer.seconds:6.1f} s")
        return sample, peer, answer

    for sample, peer, answer in in_lanes(ask, product(asked, PEERS)):
        answers[sample.id][peer.id] = answer
    return answers


def put_together(
    samples: Sequence[Sample], judged: Mapping[str, Judged], answers: Answers
) -> Measured:
    """Return what the table says of broken samples, and of good ones, all that they stand on."""
    broken = [sample for sample in samples if sample.is_broken]
    good = [sample for sample in samples if not sample.is_broken]
    return Measured(
        rows=tuple(row(sample, judged, answers) for sample in broken),
        good={
            OURS: [each.id for each in good if corpus.faults(each, judged[each.id])],
            **{
                peer.id: [each.id for each in good if answers[each.id][peer.id].red]
                for peer in PEERS
            },
        },
        good_images=len(good),
        seconds=dict(seconds(samples, judged, answers)),
        lanes=LANES,
    )


def row(sample: Sample, judged: Mapping[str, Judged], answers: Answers) -> Row:
    """Return what was found in a broken sample and not in the good one below."""
    below = found_in(judged.get(sample.base))
    found = [rule for rule in rules.catalogue() if rule in found_in(judged[sample.id]) - below]
    return Row(
        id=sample.id,
        rules=tuple(found),
        must_fail=any(rules.catalogue()[rule].level == "fail" for rule in found),
        verdicts={
            peer: Verdict(answer.red, answers[sample.base][peer].red)
            for peer, answer in answers.get(sample.id, {}).items()
        },
    )


def found_in(judged: Judged | None) -> set[str]:
    """Return the rules that found something; nothing in a good image that does not exist."""
    if judged is None:
        return set()
    return {rule for outcome in FOUND for rule in judged.outcome(outcome)}


def seconds(
    samples: Sequence[Sample], judged: Mapping[str, Judged], answers: Answers
) -> Iterable[tuple[str, float]]:
    """Yield the median seconds for an image, by what takes them."""
    for title, parts in PARTS.items():
        times = [judged[sample.id].seconds for sample in samples if sample.parts == parts]
        if times:
            yield title, median(times)
    for peer in PEERS:
        times = [each[peer.id].seconds for each in answers.values()]
        yield peer.title, median(times)


def load(path: Path) -> Measured:
    """Return what a run has measured."""
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    plain["rows"] = tuple(
        Row(
            id=each["id"],
            rules=tuple(each["rules"]),
            must_fail=each["must_fail"],
            verdicts={
                peer: Verdict(tuple(verdict["red"]), tuple(verdict["below"]))
                for peer, verdict in each["verdicts"].items()
            },
        )
        for each in plain["rows"]
    )
    return Measured(**plain)


def measure(*, fresh: bool) -> tuple[Path, list[str]]:
    """Build, judge and ask; returns where the result is, and what is not as it was promised."""
    corpus.build_images([])
    samples = list(all_samples().values())
    judged = corpus.judge(samples, fresh=fresh, say=corpus.say)
    answers = ask_peers(samples, fresh=fresh, say=corpus.say)
    measured = put_together(samples, judged, answers)
    path = Kept("tables").folder / "kill-table.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    return path, [each.id for each in samples if corpus.faults(each, judged[each.id])]


def main() -> int:
    """Measure what changed, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_images.kill_table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fresh", action="store_true", help="measure all again")
    arguments = parser.parse_args()
    try:
        with redirect_stdout(sys.stderr):
            path, odd = measure(fresh=arguments.fresh)
    except (build.BuildFailed, corpus.NotBuilt) as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.write(document(load(path)))
    if odd:
        print(f"not what their entries promise: {', '.join(odd)}", file=sys.stderr)
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
