"""Which GPUs are asked for, why there may be none, and what rules and verdict make of it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs import errors, gpu_device, gpu_request, launch_request, rules
from pytest_dcs.checks import gpu_device as checks
from pytest_dcs.engines import ContainerSpec, words
from pytest_dcs.engines.docker_grants import device_request, grants
from pytest_dcs.gpu_request import GpuRequest
from pytest_dcs.report import gpu
from pytest_dcs.report.findings import Finding, Judgement
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken, catalogue
from pytest_dcs.stages import Smoke, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dcs.engines import Container
    from pytest_dcs.plan import Entry
    from pytest_dcs.report.findings import Outcome

GPU_RULES = {
    "GPU030": (checks.test_driver_answers, "driver"),
    "GPU031": (checks.test_devices_are_seen, "devices"),
    "GPU032": (checks.test_memory_copies_back, "memory"),
    "GPU033": (checks.test_kernel_computes, "kernel"),
    "GPU034": (checks.test_framework_multiplies, "framework"),
    "GPU035": (checks.test_memory_is_given_back, "release"),
    "GPU036": (checks.test_two_processes, "two-processes"),
    "GPU037": (checks.test_gpus_add_up, "nccl"),
    "GPU038": (checks.test_parts_are_seen, "mig"),
}


NO_TOOLKIT = 'could not select device driver "" with capabilities: [[gpu compute utility]]'
RUNC = (
    "failed to create task for container: OCI runtime create failed: runc create failed: unable to "
    "start container process: error during container init: error running hook #0: stderr: "
)
OLD_DRIVER = "requirement error: unsatisfied condition: cuda>=12.1, please update your driver"
IN_THE_WAY = "mount error: file creation failed: /merged/usr/bin/nvidia-smi: file exists"
NO_CDI_DEVICE = "could not apply modification: unresolvable CDI devices nvidia.com/gpu=all"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("none", None),
        ("", None),
        ("all", GpuRequest()),
        ("2", GpuRequest(count=2)),
        ("device=0", GpuRequest(devices=("0",))),
        ("device=0,1:0", GpuRequest(devices=("0", "1:0"))),
        ("device=GPU-8932f937-d72c", GpuRequest(devices=("GPU-8932f937-d72c",))),
        ("device=MIG-GPU-8932f937/1/0", GpuRequest(devices=("MIG-GPU-8932f937/1/0",))),
    ],
)
def test_gpus_are_asked_for_as_docker_takes_them(text: str, asked: GpuRequest | None) -> None:
    assert gpu_request.parse(text, "option --dcs-gpus") == asked


@pytest.mark.parametrize(
    "text", ["0", "-1", "many", "device=", "device=0,", "device=a", "all,1", "count=2", "1.5"]
)
def test_other_words_are_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(errors.InvalidValue, match="all, a number above 0, device=0,1"):
        gpu_request.parse(text, "option --dcs-gpus")


@pytest.mark.parametrize(
    ("asked", "visible"),
    [
        (GpuRequest(), ""),
        (GpuRequest(count=2), "0,1"),
        (GpuRequest(devices=("1", "GPU-8932f937")), "1,GPU-8932f937"),
    ],
)
def test_without_an_engine_a_variable_selects_them(asked: GpuRequest, visible: str) -> None:
    assert asked.visible == visible


def test_a_container_gets_only_what_is_asked_for() -> None:
    assert grants(ContainerSpec(run_id="run")) == {}
    assert set(grants(ContainerSpec(run_id="run", gpus=GpuRequest()))) == {"device_requests"}


@pytest.mark.parametrize(
    ("asked", "count", "devices"),
    [(GpuRequest(), -1, []), (GpuRequest(count=2), 2, []), (GpuRequest(devices=("1",)), 0, ["1"])],
)
def test_an_engine_is_asked_for_the_driver_of_cuda_and_of_nvml(
    asked: GpuRequest, count: int, devices: list[str]
) -> None:
    request = device_request(asked)
    assert (request.count, request.device_ids) == (count, devices)
    assert request.capabilities == [["gpu", "compute", "utility"]]


@pytest.mark.parametrize(
    ("detail", "refusal"),
    [
        (NO_TOOLKIT, f"the engine has no NVIDIA Container Toolkit ({NO_TOOLKIT})"),
        (
            f"{RUNC}nvidia-container-cli: {OLD_DRIVER}: unknown",
            f"nvidia-container-cli: {OLD_DRIVER}",
        ),
        (f"{RUNC}nvidia-container-cli: {IN_THE_WAY}", f"nvidia-container-cli: {IN_THE_WAY}"),
        (NO_CDI_DEVICE, NO_CDI_DEVICE),
        ('exec: "/bin/sh": stat /bin/sh: no such file or directory', ""),
        ("fuse: device not found, try 'modprobe fuse' first", ""),
    ],
)
def test_why_an_engine_gives_no_gpus_is_told_from_faults_of_the_image(
    detail: str, refusal: str
) -> None:
    assert words.gpu_refusal(detail) == refusal


@pytest.mark.parametrize(
    ("gpus", "features", "refusal", "reason"),
    [
        (None, {"gpu", "python"}, "", "see --dcs-gpus"),
        (GpuRequest(), {"gpu"}, "", "the profile does not declare python"),
        (GpuRequest(), {"gpu", "python"}, "no toolkit", "no toolkit"),
        (GpuRequest(), {"gpu", "python"}, "", ""),
    ],
)
def test_the_gpus_are_not_tried_for_a_reason(
    gpus: GpuRequest | None, features: set[str], refusal: str, reason: str
) -> None:
    container = cast("Container", SimpleNamespace(gpu_refusal=refusal))
    found = gpu_device.reason_not_to_try(gpus, container, frozenset(features))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_the_fixtures_have_one_name() -> None:
    assert {launch_request.GPU, launch_request.GPU_SPARK} == rules.GPU_PROBES


def smoke_of(stage: str, outcome: Any, detail: str, left_out: bool = False) -> Smoke:
    facts = {"left_out": [stage]} if left_out else {}
    return Smoke((Stage("start-of-all", "passed"), Stage(stage, outcome, detail)), "", facts)


each_rule = pytest.mark.parametrize(
    ("check", "stage"), GPU_RULES.values(), ids=lambda value: getattr(value, "__name__", value)
)


def test_every_rule_about_a_gpu_reads_a_stage_of_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(GPU_RULES) == {
        rule.id for rule in catalogue().values() if rule.probe == launch_request.GPU
    }
    monkeypatch.syspath_prepend(Path(gpu_device.__file__).parent / "probes")
    probe = importlib.import_module("gpu_device")
    monkeypatch.delitem(sys.modules, "gpu_device")
    assert {stage for _, stage in GPU_RULES.values()} == set(probe.STAGES)


@each_rule
def test_a_stage_that_passed_breaks_no_rule(check: Callable[[Smoke], None], stage: str) -> None:
    check(smoke_of(stage, "passed", ""))


@each_rule
def test_a_stage_that_failed_breaks_its_rule(check: Callable[[Smoke], None], stage: str) -> None:
    with pytest.raises(RuleBroken, match=f"stage {stage}: found why; needed"):
        check(smoke_of(stage, "failed", "why"))


@each_rule
def test_a_stage_that_was_left_out_asks_nothing(check: Callable[[Smoke], None], stage: str) -> None:
    with pytest.raises(NotApplicable, match="why"):
        check(smoke_of(stage, "not-run", "why", left_out=True))


@each_rule
def test_a_stage_that_was_not_reached_is_blocked(
    check: Callable[[Smoke], None], stage: str
) -> None:
    with pytest.raises(Blocked, match="was not run: why"):
        check(smoke_of(stage, "not-run", "why"))


@pytest.mark.parametrize("rule_id", GPU_RULES)
def test_a_rule_builds_on_the_driver(rule_id: str) -> None:
    required = [rule_id]
    for each in required:
        required += catalogue()[each].requires
    assert "GPU030" in required


def entry_of(*features: str) -> Entry:
    image = SimpleNamespace(reference="acme/ml:1.4")
    return cast(
        "Entry",
        SimpleNamespace(features=frozenset(features), image=image, profile=",".join(features)),
    )


def judgement_of(rule: str, outcome: Outcome, message: str = "") -> Judgement:
    finding = Finding("entry", rule, "name", outcome, message=message)
    return Judgement({finding.key: finding})


@pytest.mark.parametrize(
    ("judgement", "note"),
    [
        (judgement_of("GPU030", "not-applicable", "GPU not tested: why"), "GPU not tested: why"),
        (judgement_of("GPU037", "not-applicable", "there is one GPU"), ""),
        (judgement_of("GPU030", "blocked", "GPU not tested: why"), ""),
        (judgement_of("GPU030", "pass"), ""),
        (judgement_of("GPU039", "not-applicable", "GPU not tested: why"), "GPU not tested: why"),
        (judgement_of("PY001", "pass"), "GPU not tested: no rule that needs one was run"),
    ],
)
def test_a_verdict_says_that_no_gpu_was_tested(judgement: Judgement, note: str) -> None:
    assert gpu.untested(judgement, entry_of("python", "gpu")) == note
    assert gpu.untested(judgement, entry_of("python")) == ""


def test_gpus_for_an_image_that_declares_none_are_noted() -> None:
    settings: Any = SimpleNamespace(gpus=SimpleNamespace(value="all"))
    entries = [entry_of("python"), entry_of("python", "gpu")]
    (line,) = gpu.undeclared(entries, settings)
    assert line.startswith("acme/ml:1.4 is to get GPUs, and no rule looks at them")
    settings.gpus.value = gpu_request.NONE
    assert not [*gpu.undeclared(entries, settings)]
