"""Who may ask for the machine itself to be judged, and what a run of it says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import local_run
from pytest_dcs.engines import local

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the local engine is for Linux")

ENGINE = """
import pytest
from pytest_dcs import stash
from pytest_dcs.engines import LaunchFailed
from pytest_dcs.engines.local import LocalEngine


class Refusing(LocalEngine):
    def launch(self, image, spec):
        raise LaunchFailed("nothing is started in this test")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    settings = config.stash.get(stash.SETTINGS, None)
    if settings is not None:
        config.stash[stash.ENGINE] = Refusing(settings.image_config_file)
"""
LOCAL = ("--dcs-engine=local", "--dcs-runtime=15.4", "--dcs-select=IMG,SEC,SYS001,SYS015,INI002")


@pytest.fixture
def inside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a pytester whose runs are root's, inside an image that cannot be started."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.delenv(local.CLUSTER_MARK, raising=False)
    pytester.makeconftest(ENGINE)
    return pytester


def test_the_machine_is_judged_without_naming_an_image(inside: pytest.Pytester) -> None:
    result = inside.runpytest(*LOCAL)
    result.stdout.fnmatch_lines(
        [
            f"dcs: {local_run.HEADER}",
            "dcs: localhost (no digest known) on 15.4",
            "localhost (no digest known) on 15.4: NOT releasable",
            "*FAIL    SYS001*nothing is started in this test*",
        ]
    )
    assert result.ret == 1


def test_the_environment_may_ask_for_it(
    inside: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_ENGINE", "local")
    result = inside.runpytest(*LOCAL[1:], "--dcs-image=acme/ml:1.4")
    result.stdout.fnmatch_lines(["dcs: acme/ml:1.4 (no digest known) on 15.4"])


def test_a_config_that_nobody_knows_is_not_judged(inside: pytest.Pytester) -> None:
    result = inside.runpytest(*LOCAL, "-rs")
    result.stdout.fnmatch_lines_random(
        [
            "*the image's config is not known here, see --dcs-image-config*",
            "*the layers of an image cannot be read from inside*",
        ]
    )
    result.stdout.no_fnmatch_line("*IMG002*")


def test_the_config_comes_from_a_file(inside: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    path.write_text(f'[{{"Id": "sha256:{"ab" * 32}", "Config": {{"User": "1000"}}}}]')
    result = inside.runpytest(*LOCAL, f"--dcs-image-config={path}")
    result.stdout.fnmatch_lines(
        ["dcs: localhost (sha256:ababababab*", "*advice  IMG002 user-is-root*"]
    )


def test_a_file_that_is_no_config_stops_the_run(inside: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    path.write_text("no json")
    result = inside.runpytest(*LOCAL, f"--dcs-image-config={path}")
    result.stderr.fnmatch_lines(["ERROR: dcs: no image's config can be read from*", "*inspect*"])
    assert result.ret == 4


def test_on_a_node_only_what_the_platform_leaves_alone_is_asked(
    inside: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(local.CLUSTER_MARK, "15.4")
    monkeypatch.setattr(local, "CLUSTER_FOLDER", tmp_path)
    result = inside.runpytest(*LOCAL, "-rs")
    result.stdout.fnmatch_lines(["SKIPPED [[]2[]]*asked before the platform has been here only*"])
    result.stdout.fnmatch_lines(["*FAIL    SYS001*"])


@pytest.mark.parametrize(
    "ini",
    ["dcs_engine = local", "addopts = --dcs-engine=local"],
    ids=["key", "options"],
)
def test_no_checkout_takes_the_machine_of_who_runs_it(inside: pytest.Pytester, ini: str) -> None:
    inside.makeini(f"[pytest]\n{ini}\n")
    result = inside.runpytest()
    result.stderr.fnmatch_lines(["ERROR: dcs: ini *says `local`*", "*DCS_ENGINE=local*"])
    assert result.ret == 4


def test_what_cannot_be_judged_here_is_refused(
    inside: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, words in {
        ("--dcs-spark-mode=cluster",): "needs further containers",
        ("--dcs-keep",): "no container that --dcs-keep could keep",
        ("--dcs-image=a:1", "--dcs-image=b:1"): "2 images are named",
        ("--dcs-image=oci:layout",): "oci:layout lies in files",
        ("--dcs-image-config=a", "--dcs-image-config=b"): "several files describe the image",
    }.items():
        result = inside.runpytest(*LOCAL, *options)
        result.stderr.fnmatch_lines([f"ERROR: dcs: --dcs-engine=local cannot be used*{words}*"])
        assert result.ret == 4
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    result = inside.runpytest(*LOCAL)
    result.stderr.fnmatch_lines(["*this user is not root*", "*run the job as root*"])
    assert result.ret == 4
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.platform", "darwin")
    result = inside.runpytest(*LOCAL)
    result.stderr.fnmatch_lines(["*this is darwin, and images are of Linux*"])


def test_own_tests_of_layers_are_skipped(inside: pytest.Pytester) -> None:
    inside.makepyfile("def test_layers(dcs_layers): pass")
    result = inside.runpytest(*LOCAL[:2], "-rs", str(inside.path))
    result.stdout.fnmatch_lines(["*the layers of an image cannot be read from inside*"])
    result.assert_outcomes(skipped=1)
