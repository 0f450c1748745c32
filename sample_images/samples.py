"""The sample images: what each must give, and how much of it is judged."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from pytest_dcs import rules
from pytest_dcs.collect import SPARK_PROBES
from sample_images import build, variants
from sample_images.results import key_of

if TYPE_CHECKING:
    from pytest_dcs.rules import Rule
    from sample_images.variants import Variant

Part = Literal["container", "notebook", "spark", "deep"]
"""What of an image is judged beyond its config."""

EVERYTHING: frozenset[Part] = frozenset({"container", "notebook", "spark", "deep"})
SECONDS: dict[Part, float] = {"container": 2.5, "notebook": 6.0, "spark": 8.0, "deep": 16.0}
"""About how long each part takes."""
RUNTIME = "15.4"
"""What the good images are made for."""
PROFILES = {"gpu": "python,gpu"}
"""Of good images that need more than the profile of their own name."""


@dataclass(frozen=True)
class Sample:
    """An image, what of it is judged, and what must be found in it."""

    id: str
    is_broken: bool
    reference: str
    base: str
    """The good image below it; of a good one itself."""
    profile: str
    runtime: str
    parts: frozenset[Part]
    fails: frozenset[str] = frozenset()
    advice: frozenset[str] = frozenset()
    init_scripts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> tuple[tuple[Part, ...], tuple[str, ...]]:
        """What it is judged together with."""
        return tuple(sorted(self.parts)), self.options

    @property
    def seconds(self) -> float:
        """About how long it takes to judge it."""
        return sum(SECONDS[part] for part in self.parts)

    @property
    def name(self) -> str:
        """What it is called among all samples, however much of them is judged."""
        return "-".join([self.id, *sorted(self.parts)])

    def key(self, image_id: str, product: str) -> str:
        """Return what stands for all that its findings depend on."""
        plain = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(self).items()
        }
        return key_of(image_id, product, plain)


def all_samples(*, full: bool = False) -> dict[str, Sample]:
    """Return the sample images by their ids; `full`: all that takes a container is judged."""
    found = [_good(image) for image in build.GOOD]
    found += [_sample(variant) for variant in variants.all_variants()]
    if full:
        found = [replace(each, parts=EVERYTHING) if each.parts else each for each in found]
    return {each.id: each for each in found}


def _good(image: str) -> Sample:
    reference = f"{variants.REPOSITORY}/{image}"
    return Sample(
        id=image,
        is_broken=False,
        reference=reference,
        base=image,
        profile=PROFILES.get(image, image),
        runtime=RUNTIME,
        parts=EVERYTHING,
    )


def _sample(variant: Variant) -> Sample:
    return Sample(
        id=variant.id,
        is_broken=variant.kind == "broken",
        reference=variant.reference,
        base=variant.base,
        profile=variant.profile,
        runtime=variant.runtime,
        parts=_parts_of(variant),
        fails=frozenset(variant.fails),
        advice=frozenset(variant.advice),
        init_scripts=variant.init_script_names,
        options=variant.option_words,
    )


def _parts_of(variant: Variant) -> frozenset[Part]:
    """Return what is judged of a variant: what is slow only where its entry names it."""
    if variant.is_static:
        return frozenset()
    named = (*variant.fails, *variant.advice, *variant.tempts)
    parts = [parts_of_rule(rules.catalogue()[rule_id]) for rule_id in named]
    return frozenset[Part]({"container"}).union(*parts)


def parts_of_rule(rule: Rule) -> frozenset[Part]:
    """Return what must be judged for a rule beside the container."""
    if rule.probe in rules.GPU_PROBES:
        # No sample is given a GPU: these do not apply, and start nothing.
        return frozenset()
    parts: set[Part] = set()
    if rule.family == "NB":
        parts.add("notebook")
    if rule.probe in SPARK_PROBES or any(each.startswith("SPK") for each in rule.requires):
        parts.add("spark")
    if rule.probe == rules.DEEP_PROBE:
        parts.add("deep")
    return frozenset(parts)
