"""What an error of a cluster means, in words: for the terminal, and as a page of the documents."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pytest_dcs import errors, rules, search, symptoms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_dcs.rules import Rule
    from pytest_dcs.search import Answer
    from pytest_dcs.symptoms import Fault, Symptom

WIDTH = 100
LABEL = 9
FIXES = 3
"""How many rules are shown with their fixes."""

FAULTS: dict[Fault, str] = {
    "image": "the image",
    "script": "the init script, and what it needs of the image",
    "settings": "the settings of the cluster or the workspace, not the image",
    "platform": "Databricks or the cloud, not the image",
    "either": "the image, or the platform",
}

INTRODUCTION = """\
# When a cluster fails

Made by `python -m pytest_dcs symptoms`; the facts are those of `pytest --dcs-explain`.

    pytest --dcs-explain='Cannot run program "virtualenv"'

takes what a cluster shows, a termination code or a line of a log, and answers with the cause, the
rules that find it in an image, and the fix. Ids, paths and line ends in the text do not matter. It
needs no engine, and neither image nor cluster. A text with both kinds of quotes is easier to hand
over by `python -m pytest_dcs explain -`, which reads standard input.

Where a cluster shows it: the termination code stands in the cluster's event log and in
`termination_reason.code` of the clusters API, what went before it in the driver's logs (standard
error, and log4j for Spark) and below the path of the cluster's log delivery. Of a long trace take
the last line that begins with `Caused by:`; of Python's the last line.

Then see whether it is the image: `pytest --dcs-image=IMAGE --dcs-select=RULE`. If the rules pass,
start the same cluster once without `docker_image`: if that fails too, it is not the image.
"""


def explain(text: str) -> str:
    """Return what fits to an error or a termination code; raises `NothingKnown`."""
    found = search.answers(text)
    if not found:
        raise errors.NothingKnown(textwrap.shorten(text, 60, placeholder=" …"))
    asked_for = list(dict.fromkeys(rule.id for answer in found for rule in answer.rules))
    lines = [line for answer in found for line in (*lines_of(answer), "")]
    if asked_for:
        ids = ",".join(asked_for)
        lines.append(f"In an image:  pytest --dcs-image=IMAGE --dcs-select={ids}")
        lines.append(f"All of a rule:  pytest --dcs-explain={asked_for[0]}")
    return "\n".join(lines)


def lines_of(answer: Answer) -> list[str]:
    """Return one answer."""
    symptom = answer.symptom
    if symptom is None:
        rule = answer.rules[0]
        return [
            str(rule),
            *labelled("why", rule.why),
            *labelled("fix", rule.fix),
            *docs(rule.sources),
        ]
    lines = [symptom.title, *labelled("look at", FAULTS[symptom.fault])]
    lines += labelled("cause", symptom.cause)
    lines += labelled("next", symptom.next_step)
    for rule in answer.rules[:FIXES]:
        lines += [*labelled("rule", str(rule)), *labelled("fix", rule.fix)]
    if answer.rules[FIXES:]:
        lines += labelled("also", ", ".join(rule.id for rule in answer.rules[FIXES:]))
    return [*lines, *docs(symptom.sources)]


def labelled(label: str, text: str) -> list[str]:
    """Return a text in lines behind a label."""
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=f"  {label:<{LABEL}}",
        subsequent_indent=" " * (LABEL + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def docs(sources: Sequence[str]) -> list[str]:
    """Return the sources, one a line."""
    return [
        f"  {'docs' if number == 0 else '':<{LABEL}}{source}"
        for number, source in enumerate(sources)
    ]


def document() -> str:
    """Return all symptoms as a Markdown document."""
    everything = symptoms.all_symptoms()
    lines = [INTRODUCTION, "## Termination codes", "", "| code | look at | |", "|---|---|---|"]
    lines += [row for symptom in everything for row in rows_of(symptom)]
    lines += ["", "## What is known", ""]
    for symptom in everything:
        lines += section(symptom)
    return "\n".join(lines).rstrip() + "\n"


def rows_of(symptom: Symptom) -> list[str]:
    """Return a row of the table for each code of a symptom."""
    return [f"| `{code}` | {FAULTS[symptom.fault]} | {symptom.title} |" for code in symptom.codes]


def section(symptom: Symptom) -> list[str]:
    """Return one symptom's part of the document."""
    texts = [f"    {text}" for text in symptom.texts]
    named: list[Rule] = [rules.catalogue()[rule_id] for rule_id in symptom.rules]
    found_by = ", ".join(f"[{rule}](rules.md#{anchor(rule)})" for rule in named)
    return [
        f"### {symptom.title}",
        "",
        *([*texts, ""] if texts else []),
        f"Look at {FAULTS[symptom.fault]}. {symptom.cause}",
        "",
        f"**Next:** {symptom.next_step}",
        "",
        *([f"**Rules:** {found_by}", ""] if found_by else []),
        *(f"- <{source}>" for source in symptom.sources),
        "",
    ]


def anchor(rule: Rule) -> str:
    """Return the place of a rule in the document of rules."""
    return f"{rule.id.lower()}-{rule.name}"
