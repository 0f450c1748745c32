"""`--dcs-merge`: the document of a run inside the image joins the verdict of one outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import __version__
from pytest_dcs.report.findings import INCONCLUSIVE, Finding
from pytest_dcs.rules import Item
from sample_images import layouts
from sample_images.layouts import Layout

from .conftest import STATIC

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_dcs.report.findings import Outcome

IMAGE_ID = "sha256:" + "1f3c" * 16
GOOD = ("--dcs-image=good:1", *STATIC)


def found(rule: str, outcome: Outcome) -> dict[str, Any]:
    items = (Item("/bin/bash", "dash", "bash"),) if outcome == "fail" else ()
    message = "\n".join(map(str, items)) or ("blocked by X" if outcome == "blocked" else "")
    return Finding("localhost-15.4", rule, "a-name", outcome, "", message, items).to_plain()


def document(folder: Path, *findings: dict[str, Any], **more: Any) -> str:
    """Write what a run inside the image has found and return the file's name."""
    entry = {
        "image": "localhost",
        "digest": IMAGE_ID,
        "image_id": IMAGE_ID,
        "runtime": "15.4",
        "profile": "python",
        "verdict": "releasable",
        "lost": "",
        "notes": ["no FUSE here"],
        "own_failures": 0,
        "own_passes": 0,
        "seconds": {},
        "findings": findings,
        "inventory": {},
        **more,
    }
    run = {"plugin": __version__, "run": "r", "started": "s", "engine": "local", "seen": "inside"}
    (folder / "inside.json").write_text(json.dumps({"format": 1, **run, "entries": [entry]}))
    return "inside.json"


def test_what_is_found_inside_counts_outside(dcs: pytest.Pytester) -> None:
    name = document(dcs.path, found("PY004", "pass"), found("SYS004", "fail"))
    result = dcs.runpytest(*GOOD, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "good:1 (sha256:1f3c*) on 15.4: NOT releasable",
            "*FAIL    SYS004 a-name, inside (inside.json): /bin/bash: found dash; needed bash",
            "*note    merged inside (inside.json): 2 of its 2 findings are on rules not judged*",
            "*note    inside (inside.json): no FUSE here",
        ]
    )


def test_a_good_run_inside_leaves_the_verdict_good(dcs: pytest.Pytester) -> None:
    name = document(dcs.path, found("PY004", "pass"))
    result = dcs.runpytest(*GOOD, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["good:1 * on 15.4: releasable"])


def test_a_rule_that_both_judged_differently_is_shown_and_the_worse_counts(
    dcs: pytest.Pytester,
) -> None:
    name = document(dcs.path, found("IMG001", "fail"))
    result = dcs.runpytest(*GOOD, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*FAIL    IMG001 a-name, inside (inside.json): */bin/bash*",
            "*differs IMG001 a-name: pass here, FAIL inside (inside.json)",
        ]
    )


def test_rules_blocked_inside_are_inconclusive(dcs: pytest.Pytester) -> None:
    name = document(dcs.path, found("PY004", "blocked"))
    result = dcs.runpytest(*GOOD, f"--dcs-merge={name}")
    assert result.ret == INCONCLUSIVE
    result.stdout.fnmatch_lines(["*blocked PY004: blocked by X"])


def test_a_run_that_judges_nothing_itself_has_the_verdict_of_the_other(
    dcs: pytest.Pytester,
) -> None:
    name = document(dcs.path, found("PY004", "pass"))
    result = dcs.runpytest(
        "--dcs-image=good:1",
        "--dcs-runtime=15.4",
        "--dcs-select=IMG001",
        "-k",
        "nothing",
        f"--dcs-merge={name}",
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["good:1 * on 15.4: releasable"])


def test_files_and_a_document_make_a_whole_verdict_without_any_engine(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_CACHE", str(dcs.path / "cache"))
    layouts.write(dcs.mkdir("layout"), Layout(layers=2), "linux/amd64")
    name = document(dcs.path, found("PY004", "pass"), image_id="", digest="", image="oci:layout")
    run = ("--dcs-image=oci:layout", "--dcs-runtime=15.4", "--dcs-engine=none")
    result = dcs.runpytest(*run, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["oci:layout * on 15.4: releasable"])
    document(dcs.path, found("PY004", "fail"), image_id="", digest="", image="oci:layout")
    result = dcs.runpytest(*run, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_without_the_document_that_run_proves_nothing(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", *STATIC, "-k", "nothing")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("way", ["environment", "ini"])
def test_the_document_is_named_by_environment_or_ini(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    name = document(dcs.path, found("SYS004", "fail"))
    if way == "environment":
        monkeypatch.setenv("DCS_MERGE", name)
    else:
        dcs.makeini(f"[pytest]\ndcs_merge = {name}\n")
    result = dcs.runpytest(*GOOD)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"dcs: *merge *{name} ({way} *)*"])


def test_a_document_about_another_build_is_a_message(dcs: pytest.Pytester) -> None:
    other = "sha256:" + "0bad" * 16
    name = document(dcs.path, found("PY004", "pass"), image_id=other, digest=other, image="good:1")
    result = dcs.runpytest(*GOOD, f"--dcs-merge={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: dcs: --dcs-merge=inside.json cannot be merged (*another build, good:1 *0bad*",
            "This run judges good:1 (sha256:1f3c*) on 15.4.",
            "Let both runs name the same image and runtime*",
        ]
    )


@pytest.mark.parametrize("content", [None, "no JSON", "{}"])
def test_a_file_that_is_no_document_is_a_message(dcs: pytest.Pytester, content: str | None) -> None:
    if content is not None:
        (dcs.path / "inside.json").write_text(content)
    result = dcs.runpytest(*GOOD, "--dcs-merge=inside.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: *inside.json cannot be read as the document*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_the_document_of_the_merged_run_has_it_all(dcs: pytest.Pytester) -> None:
    name = document(dcs.path, found("IMG001", "fail"), found("SYS004", "pass"))
    dcs.runpytest(*GOOD, f"--dcs-merge={name}", "--dcs-json=whole.json")
    (entry,) = json.loads((dcs.path / "whole.json").read_text())["entries"]
    findings = {each["rule"]: each for each in entry["findings"]}
    assert entry["verdict"] == "NOT releasable"
    assert findings["SYS004"]["seen"] == "inside (inside.json)"
    assert findings["IMG001"]["differs"] == "pass here, FAIL inside (inside.json)"
    assert findings["IMG002"]["seen"] == ""
