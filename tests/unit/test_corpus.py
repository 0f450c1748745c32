from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import rules
from sample_images import build, corpus, judging, results
from sample_images.judging import Judged, batches, options_of
from sample_images.results import Kept, in_lanes, key_of_files
from sample_images.samples import EVERYTHING, Sample, all_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SAMPLE = Sample(
    id="bash-missing",
    is_broken=True,
    reference="pytest-dcs/broken:bash-missing",
    base="minimal",
    profile="minimal",
    runtime="15.4",
    parts=frozenset({"container"}),
    fails=frozenset({"SYS002"}),
)
SOUND = replace(SAMPLE, id="odd", is_broken=False, fails=frozenset())
AS_PROMISED = Judged({"SYS001": ("pass", ""), "SYS002": ("fail", "no bash")}, 2.0)

each_sample = pytest.mark.parametrize("sample", all_samples().values(), ids=all_samples())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "default_cache_directory", lambda: tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take the engine's and the product's place; return what has been judged."""
    judged: list[str] = []

    def judge(batch: Sequence[Sample]) -> list[tuple[Sample, Judged]]:
        judged.extend(sample.id for sample in batch)
        return [(sample, AS_PROMISED) for sample in batch]

    monkeypatch.setattr(judging, "judge", judge)
    monkeypatch.setattr(corpus, "image_ids", lambda samples: {s.reference: "1" for s in samples})
    return judged


def value_of(options: list[str], name: str) -> tuple[str, ...]:
    found = [option.partition("=")[2] for option in options if option.startswith(f"{name}=")]
    return tuple(found[0].split(",")) if found else ()


@each_sample
def test_every_rule_that_a_sample_names_is_judged_on_it(sample: Sample) -> None:
    options = options_of(sample.parts)
    select, ignore = value_of(options, "--dcs-select"), value_of(options, "--dcs-ignore")
    for rule_id in sample.fails | sample.advice:
        assert rules.is_selected(rule_id, select, ignore)
        assert rules.catalogue()[rule_id].probe != rules.DEEP_PROBE or "--dcs-deep" in options


@each_sample
def test_all_rules_about_config_and_container_are_judged_on_every_sample(sample: Sample) -> None:
    options = options_of(sample.parts)
    select, ignore = value_of(options, "--dcs-select"), value_of(options, "--dcs-ignore")
    for rule in rules.catalogue().values():
        is_slow = rule.family == "NB" or (rule.probe or "").startswith("dcs_spark")
        if rule.where == "image" or (sample.parts and not is_slow):
            assert rules.is_selected(rule.id, select, ignore), rule


def test_what_is_slow_is_left_out_where_no_entry_names_it() -> None:
    ignore = value_of(options_of(frozenset({"container"})), "--dcs-ignore")
    for rule in rules.catalogue().values():
        is_slow = rule.family == "NB" or (rule.probe or "").startswith("dcs_spark")
        assert rules.is_selected(rule.id, (), ignore) is not is_slow


def test_the_full_cross_judges_everything_of_all_that_can_be_started() -> None:
    parts = {sample.id: sample.parts for sample in all_samples(full=True).values()}
    assert set(parts.values()) == {EVERYTHING, frozenset()}
    assert options_of(EVERYTHING) == ["--dcs-deep"]
    assert parts["bash-missing"] == EVERYTHING


def test_a_batch_is_of_one_kind_and_what_takes_longest_comes_first() -> None:
    samples = list(all_samples().values())
    found = batches(samples)
    assert sorted(each.id for batch in found for each in batch) == sorted(s.id for s in samples)
    assert all(len({sample.kind for sample in batch}) == 1 for batch in found)
    assert all(sum(s.seconds for s in batch) < 2 * judging.BATCH_SECONDS for batch in found)
    assert "deep" in found[0][0].parts
    assert "spark" not in found[-1][0].parts


@pytest.mark.parametrize(
    ("sample", "findings", "told"),
    [
        (SAMPLE, {"SYS002": ("fail", "x"), "SYS001": ("pass", "")}, []),
        (SAMPLE, {"SYS002": ("fail", "x")}, ["no rule passes"]),
        (
            SAMPLE,
            {"SYS002": ("pass", ""), "SYS003": ("pass", "")},
            ["SYS002 pass, but fail is promised: "],
        ),
        (SAMPLE, {"SYS003": ("pass", "")}, ["SYS002 not run, but fail is promised: "]),
        (
            SAMPLE,
            {"SYS001": ("pass", ""), "SYS002": ("fail", "x"), "SYS003": ("advice", "no ip")},
            ["SYS003 advice, but nothing is promised: no ip"],
        ),
        (
            SAMPLE,
            {"SYS001": ("pass", ""), "SYS002": ("fail", "x"), "SYS003": ("error", "lost")},
            ["SYS003 error, but nothing is promised: lost"],
        ),
        (SAMPLE, {"A": ("pass", ""), "SYS002": ("fail", "x"), "SYS003": ("blocked", "x")}, []),
        (
            SOUND,
            {"SYS001": ("pass", ""), "SYS003": ("blocked", "why")},
            ["SYS003 blocked, but nothing is promised: why"],
        ),
        (SOUND, {"SYS001": ("pass", ""), "FUS001": ("blocked", "no right to mount")}, []),
        (
            SOUND,
            {"SYS001": ("pass", ""), "FUS001": ("fail", "no mount")},
            ["FUS001 fail, but nothing is promised: no mount"],
        ),
    ],
)
def test_findings_are_compared_with_the_promise(
    sample: Sample, findings: judging.Findings, told: list[str]
) -> None:
    assert corpus.faults(sample, Judged(findings, 1.0)) == told


def test_a_run_without_findings_is_no_success() -> None:
    assert corpus.faults(SAMPLE, Judged({}, 0.0, "there is no report")) == ["there is no report"]


def test_what_is_judged_is_not_judged_again(runs: list[str]) -> None:
    assert corpus.judge([SAMPLE]) == {SAMPLE.id: AS_PROMISED}
    again = corpus.judge([SAMPLE])
    assert runs == [SAMPLE.id]
    assert again[SAMPLE.id].outcome("fail") == {"SYS002": "no bash"}


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(corpus, "image_ids", lambda _: {SAMPLE.reference: "2"}),
        lambda patch: patch.setattr(corpus, "key_of_product", lambda: "another product"),
        lambda patch: patch.setenv("CI", "true"),
    ],
    ids=["image", "product", "pipeline"],
)
def test_what_has_changed_is_judged_again(
    runs: list[str],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    corpus.judge([SAMPLE])
    change(monkeypatch)
    corpus.judge([SAMPLE])
    assert runs == [SAMPLE.id, SAMPLE.id]


def test_what_was_judged_while_the_product_changed_is_not_kept(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "key_of_product", lambda: f"after {len(runs)} images")
    corpus.judge([SAMPLE])
    monkeypatch.setattr(corpus, "key_of_product", lambda: "after 0 images")
    corpus.judge([SAMPLE])
    assert len(runs) == 2


def test_a_changed_entry_is_judged_again(runs: list[str]) -> None:
    corpus.judge([SAMPLE])
    corpus.judge([replace(SAMPLE, init_scripts=("proxy.sh",))])
    assert len(runs) == 2


def test_all_is_judged_again_when_asked_for(runs: list[str]) -> None:
    corpus.judge([SAMPLE])
    corpus.judge([SAMPLE], fresh=True)
    assert len(runs) == 2


def test_what_is_not_as_promised_is_not_kept(runs: list[str]) -> None:
    lines: list[str] = []
    corpus.judge([SOUND], say=lines.append)
    corpus.judge([SOUND], say=lines.append)
    assert len(runs) == 2
    assert "SYS002 fail, but nothing is promised: no bash" in lines[-1]


def test_a_run_that_was_ended_goes_on_where_it_stood(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(SAMPLE, id="slow", parts=frozenset({"container", "notebook"}))
    judge = judging.judge

    def interrupted(batch: Sequence[Sample]) -> list[tuple[Sample, Judged]]:
        if batch[0].id == SAMPLE.id:
            raise KeyboardInterrupt
        return judge(batch)

    monkeypatch.setattr(results, "LANES", 1)
    monkeypatch.setattr(judging, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corpus.judge([SAMPLE, slow])
    monkeypatch.setattr(judging, "judge", judge)
    corpus.judge([SAMPLE, slow])
    assert runs == ["slow", SAMPLE.id]


def test_after_an_error_nothing_more_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    monkeypatch.setattr(results, "LANES", 1)
    with pytest.raises(ValueError, match="0"):
        list(in_lanes(work, range(100)))
    assert len(begun) < 5


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_file_that_was_cut_off_counts_as_none(cache: Path, content: str) -> None:
    kept = Kept("judged")
    kept.write("a", "key", 1)
    assert kept.read("a", "key") == 1
    cache.joinpath("corpus", "judged", "a.json").write_text(content)
    assert kept.read("a", "key") is None


def test_files_are_told_by_name_and_content(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.joinpath("__pycache__").mkdir(parents=True)
    module = folder / "a.py"
    module.write_text("1")
    keys = [key_of_files(folder)]
    folder.joinpath("__pycache__", "a.pyc").write_text("compiled")
    assert key_of_files(folder) == keys[0]
    module.write_text("2")
    keys.append(key_of_files(folder))
    module.rename(folder / "b.py")
    keys.append(key_of_files(folder))
    assert len(set(keys)) == 3


def test_a_report_is_read_by_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(SAMPLE, id="odd", reference="pytest-dcs/good:odd")

    def run(batch: Sequence[Sample], report: Path) -> str:
        case = (
            '<testcase time="1.5"><properties><property name="dcs_image" value="{}"/>'
            '<property name="dcs_rule" value="SYS002"/>'
            '<property name="dcs_outcome" value="{}"/>'
            '<property name="dcs_found" value="no bash"/></properties></testcase>'
        )
        cases = case.format(SAMPLE.reference, "fail") + case.format(other.reference, "pass")
        report.write_text(f'<testsuites><testsuite time="4">{cases}</testsuite></testsuites>')
        return ""

    monkeypatch.setattr(judging, "_run_pytest", run)
    judged = dict(judging.judge([SAMPLE, other]))
    assert judged[SAMPLE] == Judged({"SYS002": ("fail", "no bash")}, 2.0)
    assert judged[other] == Judged({"SYS002": ("pass", "no bash")}, 2.0)


def test_an_image_that_ends_the_run_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(batch: Sequence[Sample], report: Path) -> str:
        if SAMPLE in batch:
            return "there is no report"
        report.write_text("<testsuites><testsuite time='1'/></testsuites>")
        return ""

    monkeypatch.setattr(judging, "_run_pytest", run)
    judged = dict(judging.judge([SAMPLE, SOUND]))
    assert judged[SAMPLE].problem == "there is no report"
    assert not judged[SOUND].problem


def test_an_image_that_was_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "run", lambda _: "pytest-dcs/minimal:latest sha256:1\n")
    layout = replace(SAMPLE, reference="oci:/nowhere/layout")
    with pytest.raises(corpus.NotBuilt, match=r"no image oci:/nowhere/layout, pytest-dcs/broken:b"):
        corpus.image_ids([SAMPLE, layout])
    minimal = replace(SAMPLE, reference="pytest-dcs/minimal")
    assert corpus.image_ids([minimal]) == {"pytest-dcs/minimal": "sha256:1"}


def test_settings_of_this_shell_do_not_change_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judging._is_setting("DCS_IGNORE")
    assert judging._is_setting("PYTEST_ADDOPTS")
    assert not judging._is_setting("DCS_CACHE")
    assert not judging._is_setting("PATH")


def test_a_matrix_file_names_the_init_scripts() -> None:
    entry = judging._matrix_entry(replace(SAMPLE, init_scripts=("file:/opt/a.sh",)))
    assert f"init_scripts = {json.dumps(['file:/opt/a.sh'])}" in entry
