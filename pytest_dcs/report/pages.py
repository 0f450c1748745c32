"""The catalogue in words: the list of rules, a rule's page, the launch, the document of all."""

from __future__ import annotations

import re
import sys
import textwrap
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dcs import rules, runtimes, steps
from pytest_dcs.report import answers
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from pytest_dcs.rules import Rule
    from pytest_dcs.steps import Step

RULE_OR_PREFIX = re.compile(rf"(?i:{'|'.join(rules.FAMILIES)})\d*|[A-Za-z]{{1,4}}\d{{1,4}}")
NOT_CHECKED = Path(rules.__file__).with_name("not_checked.toml")

LAUNCH = "launch"
"""What --dcs-explain takes in place of a rule or an error."""

EFFECTS = {
    "blocks-start": "the cluster does not start",
    "disables-feature": "a feature is silently off",
    "wrong-result": "results are silently wrong",
    "leak": "data leaks",
}


def show(text: str) -> None:
    """Write a text to the terminal."""
    sys.stdout.write(text.rstrip() + "\n")


def listing() -> str:
    """Return one line per rule, by family, with ids that --dcs-select takes."""
    lines = []
    for family, members in by_family():
        lines.append(f"{rules.FAMILIES[family]} ({family})")
        lines += [f"  {each.id:<7} {each.level:<7} {each.name}" for each in members]
    return "\n".join(lines)


def explain(text: str) -> str:
    """Return the pages of the rules with an id or prefix, the launch, or what fits to an error.

    Raises `UnknownRule` for what looks like an id, and `NothingKnown` for any other text.
    """
    if text.lower() == LAUNCH:
        return launch()
    if RULE_OR_PREFIX.fullmatch(text):
        return "\n\n".join(map(page, rules.matching(text)))
    return answers.explain(text)


def page(rule: Rule) -> str:
    """Return all that is known of a rule."""
    facts = [
        ("level", rule.level),
        ("effect", EFFECTS[rule.effect]),
        ("asked of", f"images that declare {rule.feature}" if rule.feature else "all images"),
        ("runtimes", span(rule)),
        ("looks at", rule.where),
        ("blocked by", ", ".join(rule.requires)),
        ("since", rule.since),
        ("check", rule.check),
    ]
    table = [f"  {name:<11}{value}" for name, value in facts if value]
    sources = [f"  {source}" for source in rule.sources]
    return "\n".join(
        [str(rule), "", *table, "", rule.why, "", "Fix:", rule.fix, "", "Sources:", *sources]
    )


def launch() -> str:
    """Return the steps of a launch, each with its rules and with what is assumed."""
    lines = [
        "How an image is launched, as a node of Databricks Container Services does it.",
        "What no source settles is assumed, and --dcs-without=NAME does otherwise.",
    ]
    for number, step in enumerate(steps.all_steps(), 1):
        lines += ["", *step_lines(number, step)]
    return "\n".join(lines)


def step_lines(number: int, step: Step) -> list[str]:
    """Return one step of the launch."""
    names = {step.name, *(assumption.name for assumption in step.assumptions)}
    judged = [str(rule) for rule in rules.catalogue().values() if rule.step in names]
    lines = [f"{number:>2}  {step.title} ({step.name})", *paragraph(step.does, "    ")]
    lines += [f"    rule      {rule}" for rule in judged]
    lines += [f"    source    {source}" for source in step.sources]
    for assumption in step.assumptions:
        lines += [f"    assumed   {assumption.name}"]
        lines += paragraph(assumption.says, "              ")
        lines += paragraph(f"Without it: {assumption.without}", "              ")
    if step.optional:
        lines += [f"    left out  by --dcs-without={step.name}"]
    return lines


def paragraph(text: str, indent: str) -> list[str]:
    """Return a text in lines of at most a hundred characters."""
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)


def document() -> str:
    """Return the catalogue as a Markdown document."""
    lines = [
        "# Rules",
        "",
        "Made by `python -m pytest_dcs rules`; the text of each rule is its check's docstring.",
    ]
    for family, members in by_family():
        lines += ["", f"## {family}: {rules.FAMILIES[family]}"]
        for each in members:
            lines += ["", *section(each)]
    lines += ["", *not_checked()]
    return "\n".join(lines) + "\n"


def not_checked() -> list[str]:
    """Return the part of the document on known faults that no rule checks."""
    faults = read_toml(NOT_CHECKED)["fault"]
    return [
        *("## What no rule checks", "", "| fault | why not |", "|---|---|"),
        *(f"| [{each['what']}]({each['source']}) | {each['why']} |" for each in faults),
    ]


def section(rule: Rule) -> list[str]:
    """Return one rule's part of the document."""
    asked = f"images that declare `{rule.feature}`" if rule.feature else "all images"
    if rule.need:
        asked += f", on runtimes {span(rule)}"
    blocked = f" Blocked by {', '.join(rule.requires)}." if rule.requires else ""
    return [
        f"### {rule.id} {rule.name}",
        "",
        f"*{rule.level}*: {EFFECTS[rule.effect]}. Asked of {asked}.{blocked}",
        "",
        rule.why,
        "",
        f"**Fix:** {rule.fix}",
        "",
        *(f"- <{source}>" for source in rule.sources),
    ]


def span(rule: Rule) -> str:
    """Return the runtimes that a rule is about."""
    return runtimes.load().needs[rule.need].span if rule.need else "all"


def by_family() -> list[tuple[str, list[Rule]]]:
    """Return the rules in groups of their families."""
    groups = groupby(rules.catalogue().values(), key=lambda rule: rule.family)
    return [(family, list(members)) for family, members in groups]
