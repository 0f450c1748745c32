"""The recipes for pipelines: their services can read them, and they ask for what the plugin has."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pytest_dcs import __main__ as commands
from pytest_dcs import options

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTS = Path(__file__).parents[2] / "docs"
RECIPES = sorted((DOCUMENTS / "recipes").glob("*.yml"))
TIME_LIMIT = 60

NOT_JUDGED = 75
FAKE = '#!/bin/sh\necho "$0 $*" >> "$CALLS"\nexit "$STATUS"\n'
FAKE_SUDO = '#!/bin/sh\n[ "$1" = --preserve-env ] && shift\nexec "$@"\n'


@dataclass(frozen=True)
class Service:
    """Whose pipeline it is: its published schema, and a word that every job needs."""

    name: str
    checker: tuple[str, ...]
    word: str


SERVICES = (
    Service("github-actions", ("vendor.github-workflows",), "runs-on"),
    Service("gitlab-ci", ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"), "script"),
    Service(
        "azure-pipelines",
        (
            *("vendor.azure-pipelines", "--data-transform", "azure-pipelines"),
            *("--regex-variant", "nonunicode"),  # its patterns are not of the stricter kind
        ),
        "steps",
    ),
)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that the documents show."""

    name: str
    service: Service
    text: str

    @property
    def scripts(self) -> list[str]:
        """What its jobs hand to a shell, in order."""
        return list(scripts(yaml.safe_load(self.text)))

    def script_with(self, word: str) -> str:
        """Return the one script in which a word stands."""
        (found,) = (script for script in self.scripts if word in script)
        return found


def blocks(document: str) -> list[str]:
    text = (DOCUMENTS / document).read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


def of_recipe(path: Path) -> Pipeline:
    (service,) = (each for each in SERVICES if path.name.startswith(each.name))
    return Pipeline(path.name, service, path.read_text(encoding="utf-8"))


NIGHTLY = [of_recipe(path) for path in RECIPES]
GATES = [
    Pipeline(f"ci.md-{service.name}", service, text)
    for service, text in zip(SERVICES, blocks("ci.md"), strict=False)
]
GITHUB, GITLAB, AZURE = (
    [each for each in NIGHTLY if each.service is service] for service in SERVICES
)
FROM_INSIDE = [each for each in NIGHTLY if "-inside" in each.name]

every_pipeline = pytest.mark.parametrize("pipeline", NIGHTLY + GATES, ids=lambda each: each.name)


def scripts(node: Any) -> Iterator[str]:
    """Yield all texts of a pipeline that a shell runs."""
    if isinstance(node, list):
        for each in node:
            yield from scripts(each)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in {"run", "bash", "script", "before_script"}:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts(value)


def as_azure_reads(node: Any) -> Any:
    """Return a pipeline with its truths and numbers as text, but for its steps.

    Azure reads all as text, and its schema knows types in steps only.
    """
    if isinstance(node, list):
        return [as_azure_reads(each) for each in node]
    if isinstance(node, dict):
        return {
            key: value if key == "steps" else as_azure_reads(value) for key, value in node.items()
        }
    return json.dumps(node) if isinstance(node, bool | int) else node


def checked(service: Service, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold a pipeline against the schema that its service publishes."""
    path = folder / "pipeline.yml"
    if service.name == "azure-pipelines":
        text = json.dumps(as_azure_reads(yaml.safe_load(text)))
    path.write_text(text, encoding="utf-8")
    return subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--verbose", "--builtin-schema"),
            *(*service.checker, str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def ended(script: str, status: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a service does, with a pytest and a python3 that exit with a status."""
    for place in ("bin", "venv/bin", ".venv/bin"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for name, text in {"pytest": FAKE, "python3": FAKE, "sudo": FAKE_SUDO}.items():
            program = folder / place / name
            program.write_text(text, encoding="utf-8")
            program.chmod(0o755)
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "IMAGE": "acme/ml:latest",
            "PIPELINE_WORKSPACE": str(folder),
            "GITHUB_OUTPUT": str(folder / "outputs"),
            "CALLS": str(folder / "calls"),
            "STATUS": str(status),
        },
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def test_each_service_has_a_recipe_with_docker_and_one_from_inside() -> None:
    names = {path.name for path in RECIPES}
    assert names == {f"{each.name}{kind}.yml" for each in SERVICES for kind in ("", "-inside")}
    assert [each.name for each in GATES] == ["ci.md-github-actions", "ci.md-gitlab-ci"]


@every_pipeline
def test_a_pipeline_fits_the_schema_of_its_service(pipeline: Pipeline, tmp_path: Path) -> None:
    done = checked(pipeline.service, pipeline.text, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@every_pipeline
def test_a_misspelt_word_does_not_fit_the_schema(pipeline: Pipeline, tmp_path: Path) -> None:
    word = pipeline.service.word
    wrong = re.sub(rf"^( *){word}:", rf"\1{word}x:", pipeline.text, count=1, flags=re.MULTILINE)
    done = checked(pipeline.service, wrong, tmp_path)
    assert done.returncode == 1
    assert f"('{word}x' was unexpected)" in done.stdout


@every_pipeline
def test_a_shell_can_read_every_script(pipeline: Pipeline) -> None:
    assert pipeline.scripts
    for script in pipeline.scripts:
        done = subprocess.run(
            ["bash", "-n"],
            input=script,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@every_pipeline
def test_every_option_exists_and_takes_its_value(pipeline: Pipeline) -> None:
    known = {each.flag: each for each in options.OPTIONS.values() if each.on_command_line}
    words = [
        word
        for script in pipeline.scripts
        for word in shlex.split(script.replace("\\\n", " "), comments=True)
        if word.startswith("--dcs-")
    ]
    assert words
    for word in words:
        flag, separator, value = word.partition("=")
        assert flag in known
        assert (known[flag].kind == "flag") == (not separator), word
        assert value in (known[flag].choices or {value}), word


@every_pipeline
def test_every_variable_of_the_plugin_exists(pipeline: Pipeline) -> None:
    named = set(re.findall(r"\bDCS_[A-Z_]+", pipeline.text))
    assert named <= {each.variable for each in options.OPTIONS.values()}


@pytest.mark.parametrize("pipeline", FROM_INSIDE, ids=lambda each: each.name)
def test_every_command_exists(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    named = re.findall(r"python3? -m pytest_dcs (\S+)", "\n".join(pipeline.scripts))
    assert named == ["bundle"]
    for command in named:
        with pytest.raises(SystemExit) as end:
            commands.main([command, "--help"])
        assert end.value.code == 0, capsys.readouterr().err


@pytest.mark.parametrize("pipeline", NIGHTLY, ids=lambda each: each.name)
@pytest.mark.parametrize("status", [0, 1, 4])
def test_the_verdict_is_the_status_of_the_job(
    pipeline: Pipeline, status: int, tmp_path: Path
) -> None:
    done = ended(pipeline.script_with("--dcs-baseline"), status, tmp_path)
    assert done.returncode == status
    assert done.stdout == ""
    assert "--junitxml=dcs.xml" in (tmp_path / "calls").read_text(encoding="utf-8")


@pytest.mark.parametrize("pipeline", GITHUB, ids=lambda each: each.name)
def test_a_night_without_verdict_at_github_ends_in_a_step_of_its_own(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    done = ended(pipeline.script_with("--dcs-baseline"), NOT_JUDGED, tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("::warning title=Not judged::")
    assert (tmp_path / "outputs").read_text(encoding="utf-8") == f"status={NOT_JUDGED}\n"

    last = yaml.safe_load(pipeline.text)["jobs"]["image"]["steps"][-1]
    assert last["if"] == f"steps.judge.outputs.status == '{NOT_JUDGED}'"
    assert ended(last["run"], 0, tmp_path).returncode == NOT_JUDGED


@pytest.mark.parametrize("pipeline", GITLAB, ids=lambda each: each.name)
def test_a_night_without_verdict_at_gitlab_is_allowed_to_fail(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    done = ended(pipeline.script_with("--dcs-baseline"), NOT_JUDGED, tmp_path)
    assert done.returncode == NOT_JUDGED
    job = yaml.safe_load(pipeline.text)["nightly image"]
    assert job["allow_failure"] == {"exit_codes": [NOT_JUDGED]}


@pytest.mark.parametrize("pipeline", AZURE, ids=lambda each: each.name)
def test_a_night_without_verdict_at_azure_succeeds_with_issues(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    done = ended(pipeline.script_with("--dcs-baseline"), NOT_JUDGED, tmp_path)
    assert done.returncode == 0
    warning, result = done.stdout.splitlines()
    assert warning.startswith("##vso[task.logissue type=warning]Not judged: ")
    assert result == "##vso[task.complete result=SucceededWithIssues;]"


@pytest.mark.parametrize("pipeline", FROM_INSIDE, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("status", "of_job"), [(0, 0), (1, 0), (NOT_JUDGED, 0), (4, 4), (127, 127)]
)
def test_what_was_found_inside_is_left_to_the_next_job(
    pipeline: Pipeline, status: int, of_job: int, tmp_path: Path
) -> None:
    done = ended(pipeline.script_with("> findings.json ||"), status, tmp_path)
    assert done.returncode == of_job
    assert (tmp_path / "findings.json").exists()


def test_the_page_shows_pieces_of_the_recipes_and_leads_to_all_of_them() -> None:
    shown = blocks("nightly-recipes.md")
    assert shown
    for block in shown:
        assert any(block in each.text for each in NIGHTLY), block
    page = (DOCUMENTS / "nightly-recipes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(recipes/([^)]+)\)", page)) == {path.name for path in RECIPES}
