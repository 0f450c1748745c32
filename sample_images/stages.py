"""The table of what each step of a launch and each stage of a probe alone catches.

`python -m sample_images.stages > docs/stages.md`
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_dcs.rules import FAMILIES, REMOTE_FAMILIES, catalogue
from sample_images import variants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.rules import Rule
    from sample_images.variants import Variant

HEAD = """# What only a step or a stage catches

Made by `python -m sample_images.stages`. Each rule below judges a step of the launch
(`pytest --dcs-explain launch`) or a stage of a probe that runs in the container. Beside it stand
the sample images, and init scripts, in which it alone finds a failure: all else passes on them. The
tests build and judge every one of them; their recipes are in
[sample_images/broken.toml](../sample_images/broken.toml).
"""


def document() -> str:
    """Return the table as a Markdown document."""
    return HEAD + "".join(line + "\n" for family in FAMILIES for line in section(family))


def section(family: str) -> Iterator[str]:
    """Yield one family's part of the table, if it has any."""
    judging = [rule for rule in catalogue().values() if rule.family == family and is_dynamic(rule)]
    if judging:
        yield from ("", f"## {family}: {FAMILIES[family]}", "")
        yield from ("| rule | only it finds | how people come to it |", "|---|---|---|")
    for rule in judging:
        for variant in caught_alone(rule):
            yield f"| {rule} | `{variant.id}` | {variant.describe} |"


def is_dynamic(rule: Rule) -> bool:
    """Whether a rule judges a step of the launch here or a stage of a probe."""
    if rule.family in REMOTE_FAMILIES:
        return False
    return rule.where != "image" and bool(rule.step or rule.probe)


def caught_alone(rule: Rule) -> list[Variant]:
    """Return the images in which this rule, and no other, finds something."""
    return [
        variant
        for variant in variants.load("broken")
        if rule.id in (variant.fails if rule.level == "fail" else variant.advice)
        and set(variant.fails) <= {rule.id}
    ]


if __name__ == "__main__":
    sys.stdout.write(document())
