"""Help that finds you: each error that is known, pasted as a log has it, leads to what it means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors, rules, search, symptoms
from pytest_dcs.report import answers, pages

if TYPE_CHECKING:
    from pytest_dcs.symptoms import Symptom

SYMPTOMS = symptoms.all_symptoms()
TEXTS = [(text, symptom) for symptom in SYMPTOMS for text in symptom.texts]
CODES = [(code, symptom) for symptom in SYMPTOMS for code in symptom.codes if "*" not in code]
QUOTES = [
    (rule, text)
    for rule in rules.catalogue().values()
    for text in search.quoted(rule.docstring)
    if len(re.findall(r"\w+", text)) > 1
]

LOG = """26/11/23 20:11:02 ERROR DriverDaemon$: XXX Fatal uncaught exception. Terminating driver.
\x1b[31m{}\x1b[0m
\tat java.base/java.lang.ProcessBuilder.start(ProcessBuilder.java:1143)
\tat com.databricks.backend.daemon.driver.DriverDaemon$.create(DriverDaemon.scala:912)
"""


def first(question: str) -> search.Answer:
    return search.answers(question)[0]


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(("text", "symptom"), TEXTS, ids=[text[:40] for text, _ in TEXTS])
def test_the_text_of_a_symptom_leads_to_it(text: str, symptom: Symptom) -> None:
    assert first(text).symptom is symptom


@pytest.mark.parametrize(("text", "symptom"), TEXTS, ids=[text[:40] for text, _ in TEXTS])
def test_a_text_is_found_in_the_middle_of_a_log(text: str, symptom: Symptom) -> None:
    assert first(LOG.format(text)).symptom is symptom


@pytest.mark.parametrize(("code", "symptom"), CODES, ids=[code for code, _ in CODES])
def test_a_termination_code_leads_to_what_it_means(code: str, symptom: Symptom) -> None:
    for question in (code, code.lower(), f"Cluster terminated. Reason: {code} (CLIENT_ERROR)"):
        if "_" in code or question in {code, code.lower()}:
            assert first(question).symptom is symptom


@pytest.mark.parametrize(("rule", "text"), QUOTES, ids=[f"{r.id} {t[:30]}" for r, t in QUOTES])
def test_the_text_that_a_rule_quotes_leads_to_it(rule: rules.Rule, text: str) -> None:
    likeliest = first(text).rules[0]
    assert likeliest == rule or text in plain(likeliest.docstring)


@pytest.mark.parametrize(
    ("question", "rule"),
    [
        ("Cannot run program virtualenv", "PY004"),
        ('"Cannot run program \\"virtualenv\\""', "PY004"),
        ("Cannot run program\n  'virtualenv'\n(in directory '/local_disk0/x-7f3a')", "PY004"),
        ("grpcio >= 1.62.0 must be installed", "PY012"),
        ("no module named grpc", "PY012"),
        ("bash: line 3: setfacl: command not found", "SYS007"),
        ("Python in worker has different version 3.11 than that in driver 3.10", "PY005"),
        (
            "Unable to start python kernel for ReplId-7f3a1-5b2c9-1, exited with exit code 1",
            "NB003",
        ),
        ("/databricks/init/x.sh: /bin/bash^M: bad interpreter: No such file", "INI002"),
        ("INIT_SCRIPT_FAILURE(CLIENT_ERROR): instance_id:i-0a12b3c4d5e6f7a8b", "INI001"),
        ("exec /bin/sh: exec format error", "IMG001"),
    ],
)
def test_what_people_type_and_paste_leads_to_the_rule(question: str, rule: str) -> None:
    assert first(question).rules[0].id == rule


def test_a_group_of_codes_is_known_by_its_pattern() -> None:
    assert first("AZURE_QUOTA_EXCEEDED_EXCEPTION").symptom == first("RATE_LIMITED").symptom
    misconfigured = first("cloud_provider_resource_stockout_due_to_misconfig").symptom
    assert misconfigured is not None
    assert misconfigured.fault == "settings"


@pytest.mark.parametrize(
    "question",
    ["", "  ", "hello world", "SOME_OTHER_CODE", "error", "\x1b[0m", "0f3a9c1e-77d2-4b1a", "…"],
)
def test_what_nothing_fits_to_has_no_answer(question: str) -> None:
    assert search.answers(question) == []
    with pytest.raises(errors.NothingKnown):
        answers.explain(question)


def test_there_are_a_few_answers_at_most_and_no_rule_twice() -> None:
    for question in ("No such file or directory", "virtualenv", "driver", "java.lang"):
        found = search.answers(question)
        shown = [rule.id for answer in found for rule in answer.rules]
        assert len(found) <= search.MOST_ANSWERS
        assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    ("docstring", "texts"),
    [
        ('Why: "one thing", "another".', ["one thing", "another"]),
        ('It says "cannot run "a b" (in "/c"): error=2". Then more.',
         ['cannot run "a b" (in "/c"): error=2']),
        ('A line that is\nwrapped: "first\nsecond".', ["first second"]),
        ('A list, `CMD ["bash"]`, is no quote.', []),
        ('An open one: "and no more', []),
    ],
)  # fmt: skip
def test_quotes_are_found_with_quotes_in_them(docstring: str, texts: list[str]) -> None:
    assert search.quoted(docstring) == texts


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda each: each.title)
def test_a_symptom_has_a_cause_a_next_step_sources_and_rules_that_exist(symptom: Symptom) -> None:
    assert symptom.title
    assert symptom.cause
    assert symptom.next_step
    assert symptom.fault in answers.FAULTS
    assert symptom.codes or symptom.texts
    assert symptom.sources
    assert all(re.fullmatch(r"https://\S+", source) for source in symptom.sources)
    assert set(symptom.rules) <= set(rules.catalogue())
    assert [each.title for each in SYMPTOMS].count(symptom.title) == 1


def test_an_answer_says_where_to_look_why_and_what_to_do() -> None:
    text = pages.explain('Cannot run program "virtualenv"')
    lines = text.splitlines()
    assert lines[0] == "The driver found no virtualenv to run"
    labels = [line.split()[0] for line in lines if re.match(r"  \w", line)]
    assert labels[:6] == ["look", "cause", "next", "rule", "fix", "rule"]
    assert "  rule     PY004 virtualenv-builds" in lines
    assert "pytest --dcs-image=IMAGE --dcs-select=PY004" in text
    assert max(map(len, lines)) <= answers.WIDTH


def test_an_answer_without_a_rule_names_none() -> None:
    text = pages.explain("docker_image_pull_failure")
    assert "not the image" in text
    assert "--dcs-select" not in text


def test_rules_prefixes_and_the_launch_are_still_explained() -> None:
    assert pages.explain("PY004").startswith("PY004 virtualenv-builds\n")
    assert pages.explain("fus").count("Sources:") == 2
    assert "How an image is launched" in pages.explain("launch")
    with pytest.raises(errors.UnknownRule):
        pages.explain("PY999")
