"""Where the init scripts of a run are looked for, and what is said where they are not."""

from __future__ import annotations

import pytest

from .conftest import STATIC

GOOD = "--dcs-image=good:1"
MATRIX = '[[image]]\nimage = "good:1"\nruntimes = ["15.4"]\ninit_scripts = ["scripts/proxy.sh"]\n'


def test_an_option_counts_from_where_pytest_was_called(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dcs.mkdir("below")
    folder.joinpath("proxy.sh").write_text("echo\n")
    monkeypatch.chdir(folder)
    result = dcs.runpytest(GOOD, *STATIC, "--dcs-init-script=proxy.sh", f"--rootdir={dcs.path}")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([f"*init_script {folder}/proxy.sh (option --dcs-init-script)*"])


def test_an_environment_variable_counts_from_there_too(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    dcs.path.joinpath("proxy.sh").write_text("echo\n")
    monkeypatch.setenv("DCS_INIT_SCRIPT", "global:proxy.sh")
    result = dcs.runpytest(GOOD, *STATIC)
    result.stdout.fnmatch_lines([f"*init_script global:{dcs.path}/proxy.sh (environment *"])


def test_an_ini_key_counts_from_the_root_directory(
    dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    dcs.makeini("[pytest]\ndcs_init_script = global:proxy.sh file:/opt/init.sh 'a b.sh'\n")
    dcs.path.joinpath("proxy.sh").write_text("echo\n")
    dcs.path.joinpath("a b.sh").write_text("echo\n")
    monkeypatch.chdir(dcs.mkdir("below"))
    result = dcs.runpytest(GOOD, *STATIC, f"--rootdir={dcs.path}", "-c", f"{dcs.path}/tox.ini")
    assert result.ret == pytest.ExitCode.OK


def test_a_matrix_counts_from_its_own_folder(dcs: pytest.Pytester) -> None:
    folder = dcs.mkdir("images")
    folder.joinpath("dcs-images.toml").write_text(MATRIX)
    result = dcs.runpytest("--dcs-image=images/dcs-images.toml", "--dcs-select=IMG")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'*/images/scripts/proxy.sh' cannot be read (No such file*"])
    folder.joinpath("scripts").mkdir()
    folder.joinpath("scripts", "proxy.sh").write_text("echo\n")
    result = dcs.runpytest("--dcs-image=images/dcs-images.toml", "--dcs-select=IMG")
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nowhere.sh",
            "the init script '*/nowhere.sh' cannot be read (No such file or directory).",
        ),
        (".", "the init script '*' cannot be read (Is a directory)."),
        ("file:init.sh", "the init script 'file:init.sh' cannot be read (*not absolute)."),
        ("dbfs:/init.sh", "the init script 'dbfs:/init.sh' is out of reach."),
        ("global:/Volumes/a/b.sh", "the init script 'global:/Volumes/a/b.sh' is out of reach."),
    ],
)
def test_a_script_that_cannot_be_had_stops_the_run(
    dcs: pytest.Pytester, name: str, message: str
) -> None:
    result = dcs.runpytest(GOOD, *STATIC, f"--dcs-init-script={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: dcs: {message}"])
    assert len(result.stderr.str().strip().splitlines()) >= 3
    result.stderr.no_fnmatch_line("*Traceback*")
