"""What is said of GPUs that were not tested, so that nobody takes a verdict for one about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs import gpu_request, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dcs.options import Settings
    from pytest_dcs.plan import Entry
    from pytest_dcs.report.findings import Judgement

FEATURE = "gpu"
UNTESTED = f"{rules.GPU_UNTESTED}no rule that needs one was run"


def untested(judgement: Judgement, entry: Entry) -> str:
    """Return why no GPU was tested of an image that declares the feature; else an empty text.

    Where that blocks rules, as under --dcs-strict, it is said of them already.
    """
    if FEATURE not in entry.features:
        return ""
    catalogue = rules.catalogue()
    found = [
        finding
        for finding in judgement.findings.values()
        if catalogue[finding.rule].probe in rules.GPU_PROBES
    ]
    told = [
        each.headline
        for each in found
        if each.outcome == "not-applicable" and each.message.startswith(rules.GPU_UNTESTED)
    ]
    if told:
        return told[0]
    return "" if found else UNTESTED


def undeclared(entries: Iterable[Entry], settings: Settings) -> Iterator[str]:
    """Yield which images get GPUs although their profile says nothing of them."""
    if settings.gpus.value == gpu_request.NONE:
        return
    for entry in entries:
        if FEATURE not in entry.features:
            yield (
                f"{entry.image.reference} is to get GPUs, and no rule looks at them: its profile "
                f"{entry.profile} does not declare {FEATURE}"
            )
