"""Finds what fits to a line that somebody took out of a log, among rules and symptoms.

Texts are compared by their words and pairs of words, each worth more the fewer texts have it. So
ids, addresses, line ends and quotes that differ from one log to the next take nothing away.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_dcs import rules, symptoms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dcs.rules import Rule
    from pytest_dcs.symptoms import Symptom

ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
WORD = re.compile(r"\w+")
DIFFERING = re.compile(r"\d{1,2}|(?=[0-9a-f]*\d)[0-9a-f]{4,}")
"""Parts of versions and pieces of ids, which differ from one log to the next; not 429."""
CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
QUOTE = re.compile(r'"')
OPENS = re.compile(r"(?:^|[\s(])$")
CLOSES = re.compile(r'^(?:$|[\s.,;:)"])')

PAIR = 0.5
"""What a pair of neighbouring words is worth beside the words themselves."""
PAGE = 0.4
"""What a match with the prose of a page is worth beside one with the text of an error."""
NAMED_CODE = 2.0
"""What a termination code is worth beside a word that is as rare."""
SYMPTOM = 1.15
"""A symptom knows what several rules share, and goes before each of them."""
LEAST_COVERED = 0.6
"""How much of the question, or of a known text, has to match."""
LEAST_WORTH = 3.0
"""The worth of a match below which it is chance."""
WITHIN_REACH = 0.65
"""How near another answer has to come to the best one."""
ALIKE = 0.75
"""How near a rule has to come to the best of a symptom's rules to keep its place among them."""
AS_GOOD = 0.85
"""How near another rule has to come to a symptom to be shown with it."""
BOTH_WAYS = 0.1
"""What it adds that a text and the question cover each other."""
MOST_ANSWERS = 3


@dataclass(frozen=True)
class Answer:
    """What an error means, and the rules that find its cause in an image."""

    symptom: Symptom | None
    rules: tuple[Rule, ...]
    """The likeliest first."""


@dataclass(frozen=True)
class Text:
    """One text that a question is compared with, and whose it is."""

    owner: Symptom | Rule
    features: frozenset[str]
    is_page: bool = False


def answers(question: str) -> list[Answer]:
    """Return what fits to a termination code or the text of an error, the best first."""
    found = scores(question)
    if not found:
        return []
    best = max(found.values())
    within = [owner for owner, score in found.items() if score >= WITHIN_REACH * best]
    made: list[Answer] = []
    shown: set[str] = set()
    for owner in sorted(within, key=lambda each: -found[each]):
        answer = answer_of(owner, found)
        new = tuple(rule for rule in answer.rules if rule.id not in shown)
        if new or (answer.symptom is not None and not answer.rules):
            made.append(replace(answer, rules=new))
            shown |= {rule.id for rule in new}
    return made[:MOST_ANSWERS]


def answer_of(owner: Symptom | Rule, found: dict[Symptom | Rule, float]) -> Answer:
    """Return an answer; beside the rules that a symptom names it has those that fit as well."""
    if isinstance(owner, rules.Rule):
        return Answer(None, (owner,))
    named = [rules.catalogue()[rule_id] for rule_id in owner.rules]
    elsewhere = {
        rule_id for each in found if isinstance(each, symptoms.Symptom) for rule_id in each.rules
    }
    near = [
        each
        for each, score in found.items()
        if isinstance(each, rules.Rule)
        and each.id not in elsewhere
        and score >= AS_GOOD * found[owner]
    ]
    scored = {rule: found.get(rule, 0.0) for rule in (*named, *near)}
    likely = ALIKE * max(scored.values(), default=0.0)
    return Answer(owner, tuple(sorted(scored, key=lambda rule: scored[rule] < likely)))


def scores(question: str) -> dict[Symptom | Rule, float]:
    """Return how well each symptom and rule fits, if at all."""
    asked = features(question)
    found: dict[Symptom | Rule, float] = {}
    for text in known_texts():
        score = score_of(text, asked)
        if score > 0:
            found[text.owner] = max(score, found.get(text.owner, 0.0))
    for symptom in coded(question):
        score = NAMED_CODE * SYMPTOM * rarity(0)
        found[symptom] = max(score, found.get(symptom, 0.0))
    return found


def score_of(text: Text, asked: frozenset[str]) -> float:
    """Return how well a text fits to a question: what matches, and how much of either that is."""
    worth = worth_of(text.features & asked)
    if worth < LEAST_WORTH:
        return 0.0
    of_question = worth / worth_of(asked)
    of_text = 0.0 if text.is_page else worth / worth_of(text.features)
    covered = max(of_question, of_text)
    if covered < LEAST_COVERED:
        return 0.0
    factor = PAGE if text.is_page else 1.0
    if isinstance(text.owner, symptoms.Symptom):
        factor *= SYMPTOM
    return factor * worth * (covered**2 + BOTH_WAYS * of_question * of_text)


def coded(question: str) -> Iterator[Symptom]:
    """Yield what the termination codes in a question mean; one alone may have any case."""
    alone = question.strip().strip("\"'")
    words = [alone.upper()] if CODE.fullmatch(alone.upper()) else CODE.findall(question)
    for word in words:
        symptom = symptoms.of_code(word)
        if symptom is not None and ("_" in word or word == alone.upper()):
            yield symptom


@cache
def known_texts() -> tuple[Text, ...]:
    """Return all texts that a question is compared with."""
    texts = [
        Text(symptom, features(text))
        for symptom in symptoms.all_symptoms()
        for text in symptom.texts
    ]
    texts += [
        Text(symptom, features(f"{symptom.title} {symptom.cause}"), is_page=True)
        for symptom in symptoms.all_symptoms()
    ]
    for rule in rules.catalogue().values():
        texts += [Text(rule, features(text)) for text in quoted(rule.docstring)]
        texts.append(Text(rule, features(f"{rule.name} {rule.docstring}"), is_page=True))
    return tuple(text for text in texts if text.features)


@cache
def occurrences() -> Counter[str]:
    """Return how many texts have a word or a pair."""
    return Counter(feature for text in known_texts() for feature in text.features)


def worth_of(some: Iterable[str]) -> float:
    """Return what words and pairs are worth together."""
    counted = occurrences()
    return sum((PAIR if " " in each else 1.0) * rarity(counted[each]) for each in some)


def rarity(number: int) -> float:
    """Return what a word is worth that stands in this many texts."""
    return math.log(1 + len(known_texts()) / max(number, 1))


def features(text: str) -> frozenset[str]:
    """Return the words of a text and the pairs of neighbours, ids left out."""
    words = WORD.findall(ESCAPE_SEQUENCE.sub("", text).lower())
    words = [word for word in words if not DIFFERING.fullmatch(word)]
    return frozenset((*words, *map(" ".join, pairwise(words))))


def quoted(docstring: str) -> list[str]:
    """Return the texts in double quotes, which may hold quotes themselves."""
    text = " ".join(docstring.split())
    found = []
    start = depth = 0
    for quote in QUOTE.finditer(text):
        before, after = text[: quote.start()], text[quote.end() :]
        if OPENS.search(before[-1:]) and not CLOSES.match(after[:1]):
            start = quote.end() if depth == 0 else start
            depth += 1
        elif depth and CLOSES.match(after[:1]):
            depth -= 1
            if depth == 0:
                found.append(text[start : quote.start()])
    return found
