"""What differs between two runs beside their findings, and what is too little to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.report import drift
from pytest_dcs.report.drift import Drift
from pytest_dcs.report.entries import machine_of, measured_in

from . import runs

if TYPE_CHECKING:
    from collections.abc import Mapping


def drift_of(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    mine, theirs = runs.entry(inventory=now), runs.entry(inventory=before)
    found = drift.drift(mine, theirs, None)
    return [(row.kind, row.name, row.now, row.before) for row in found]


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"java": "17.0.16"}, {}, ("version", "java", "17.0.16", "17.0.15")),
        (
            {"python_packages": {"numpy": "1.26.4", "pandas": "1.5.3"}},
            {},
            ("python package", "numpy", "1.26.4", "1.23.5"),
        ),
        (
            {"python_packages": {"numpy": "1.23.5"}},
            {},
            ("python package", "pandas", "", "1.5.3"),
        ),
        ({"system_packages": {"acl": "2.4"}}, {}, ("system package", "acl", "2.4", "2.3.1-3")),
        (
            {"environment": {"PATH": "/usr/bin", "EMPTY": ""}},
            {},
            ("ENV", "EMPTY", "(empty)", ""),
        ),
        ({"platform_paths": ["/databricks/jars"]}, {}, ("path", "/databricks/jars", "there", "")),
        ({"image_bytes": 1_060_000_000}, {}, ("size", "image", "1060 MB", "1000 MB")),
        ({"image_bytes": 900_000_000}, {}, ("size", "image", "900 MB", "1000 MB")),
        ({"layers": 11}, {}, ("size", "layers", "11", "10")),
    ],
)
def test_what_differs_is_told(
    now: Mapping[str, Any], before: Mapping[str, Any], expected: tuple[str, str, str, str]
) -> None:
    assert drift_of(now, before) == [expected]


@pytest.mark.parametrize(
    ("now", "before"),
    [
        ({"image_bytes": 1_040_000_000}, {}),
        ({"image_bytes": 100_000_000}, {"image_bytes": 91_000_000}),
        ({"python_packages": {"numpy": "2"}}, {"python_packages": None}),
    ],
)
def test_little_and_what_was_not_read_is_not_told(
    now: Mapping[str, Any], before: dict[str, Any]
) -> None:
    mine, theirs = runs.entry(inventory=now), runs.entry(inventory=before)
    unread = [name for name, value in before.items() if value is None]
    for name in unread:
        del theirs["inventory"][name]
    assert drift.drift(mine, theirs, None) == ()


def test_gpus_are_measured_by_what_they_get_done() -> None:
    measured = {"to_device_gb_s": [20.0], "kernel_compile_s": 0.5, "matmul_tflop_s": {"fp32": 8}}
    found = measured_in(runs.entry(inventory={"measurements": {**measured, "tries": 3}}))
    assert found.rates == {"GPU to_device_gb_s 0": 20.0, "GPU matmul_tflop_s fp32": 8.0}
    assert found.seconds["GPU kernel_compile_s"] == 0.5
    usual = drift.Usual(found, 1.5)
    less = runs.entry(inventory={"measurements": {**measured, "matmul_tflop_s": {"fp32": 5}}})
    rows = list(drift.speed_rows(measured_in(less), usual))
    assert rows == [Drift("speed", "GPU matmul_tflop_s fp32", "5", "8")]
    assert machine_of(runs.entry(inventory={"gpus": ["A GPU"]})) == "2 x Some CPU, A GPU"
