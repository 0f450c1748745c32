"""An image in files is judged by what needs no container, and the verdict says so."""

from __future__ import annotations

import json

import pytest

from pytest_dcs.report.findings import INCONCLUSIVE
from sample_images import layouts
from sample_images.layouts import Layout

RUNTIME = ("--dcs-runtime=15.4", "--dcs-profile=minimal")


@pytest.fixture
def layout(dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a good image into the folder of the run, whose cache is there too."""
    monkeypatch.setenv("DCS_CACHE", str(dcs.path / "cache"))
    folder = dcs.mkdir("layout")
    layouts.write(folder, Layout(layers=2), "linux/amd64")
    return "--dcs-image=oci:layout"


def test_rules_that_need_a_container_make_the_verdict_inconclusive(
    dcs: pytest.Pytester, layout: str
) -> None:
    result = dcs.runpytest(layout, *RUNTIME)
    assert result.ret == INCONCLUSIVE
    result.stdout.fnmatch_lines(
        [
            "oci:layout (sha256:*) on 15.4: inconclusive",
            "*oci:layout lies in files, and this needs*",
        ]
    )


def test_without_an_engine_the_other_rules_are_not_asked_for(
    dcs: pytest.Pytester, layout: str
) -> None:
    result = dcs.runpytest(layout, *RUNTIME, "--dcs-engine=none")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["oci:layout (sha256:*) on 15.4: releasable", "*need a container and were not run*"]
    )


def test_an_image_in_files_can_fail(dcs: pytest.Pytester, layout: str) -> None:
    layouts.write(dcs.path / "layout", Layout(), "linux/arm64")
    result = dcs.runpytest(layout, *RUNTIME, "--dcs-engine=none")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*FAIL*IMG001*"])


def test_workers_find_the_files_too(dcs: pytest.Pytester, layout: str) -> None:
    result = dcs.runpytest(layout, *RUNTIME, "--dcs-engine=none", "-n2")
    assert result.ret == pytest.ExitCode.OK


def test_a_matrix_names_files_beside_itself(dcs: pytest.Pytester, layout: str) -> None:
    del layout
    folder = dcs.mkdir("matrix")
    dcs.path.joinpath("layout").rename(folder / "layout")
    folder.joinpath("images.toml").write_text(
        '[[image]]\nimage = "oci:layout"\nruntimes = ["15.4"]\nprofile = "minimal"\n'
    )
    result = dcs.runpytest("--dcs-image=matrix/images.toml", "--dcs-engine=none")
    assert result.ret == pytest.ExitCode.OK


def test_own_tests_of_the_container_are_not_run(dcs: pytest.Pytester, layout: str) -> None:
    dcs.makepyfile(test_own="def test_bash(host):\n    assert host.exists('bash')\n")
    result = dcs.runpytest(layout, *RUNTIME, "test_own.py", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*lies in files, and this needs a container*"])


def test_a_runtime_is_not_guessed_from_files(dcs: pytest.Pytester, layout: str) -> None:
    result = dcs.runpytest(layout)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--dcs-runtime*"])


def test_files_that_are_no_image_are_an_error(dcs: pytest.Pytester, layout: str) -> None:
    dcs.path.joinpath("layout", "index.json").write_text(json.dumps({"manifests": []}))
    result = dcs.runpytest(layout, *RUNTIME)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no image can be read from 'oci:layout'*"])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_damaged_layer_is_a_set_up_error(dcs: pytest.Pytester, layout: str) -> None:
    for blob in dcs.path.joinpath("layout", "blobs", "sha256").iterdir():
        if not blob.read_bytes().startswith(b"{"):
            blob.write_bytes(b"damaged")
    result = dcs.runpytest(layout, *RUNTIME, "--dcs-engine=none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*no image can be read from*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_without_an_engine_only_files_can_be_named(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest("--dcs-image=good:1", *RUNTIME, "--dcs-engine=none")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'good:1' cannot be read with --dcs-engine=none*"])
