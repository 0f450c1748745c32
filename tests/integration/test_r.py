"""An R session works on good images, and on bad ones the right stage fails for its cause."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import r
from pytest_dcs.launch_request import R_SESSION

from .conftest import sample
from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch
    from pytest_dcs.stages import Smoke

pytestmark = pytest.mark.docker

PATIENCE = 120.0
PROFILE = "/etc/R/Rprofile.site"
SERVER = "/etc/Rserve.conf"
LIBRARY = "/usr/lib/R/site-library"
FIRST_ON_PATH = "/usr/local/bin/R"


@pytest.fixture(scope="module")
def launch(engine: DockerEngine) -> Iterator[Launch]:
    """Return a launch in which each test starts sessions of its own."""
    with launched(engine, sample("rbase"), "rbase") as launch:
        yield launch


def session(launch: Launch, *without: str) -> Smoke:
    return r.start(launch.container, without=frozenset(without)).result(PATIENCE)


@contextmanager
def changed(launch: Launch, command: str, back: str) -> Iterator[None]:
    """Change the container and change it back."""
    completed = launch.shell.run(command)
    assert completed.returncode == 0, completed.stderr
    try:
        yield
    finally:
        assert launch.shell.run(back).returncode == 0


@contextmanager
def file_with(launch: Launch, path: str, *lines: str) -> Iterator[None]:
    """Put a program or settings in the place of the image's."""
    text = "\\n".join(lines).replace("'", "'\\''")
    kept = f"[ ! -e {path} ] || mv {path} {path}.of-the-image"
    back = f"rm {path}; [ ! -e {path}.of-the-image ] || mv {path}.of-the-image {path}"
    with changed(launch, f"{kept}; printf '{text}\\n' >{path} && chmod 755 {path}", back):
        yield


def failed(smoke: Smoke) -> list[str]:
    return [stage.name for stage in smoke.stages if stage.outcome == "failed"]


def test_all_stages_pass_on_a_good_image(launch: Launch) -> None:
    smoke = session(launch)
    assert [(stage.name, stage.outcome) for stage in smoke.stages] == [
        (name, "passed") for name in r.STAGES
    ], smoke.stages
    assert smoke.facts["r"].count(".") == 2


def test_nothing_of_a_session_stays(launch: Launch) -> None:
    session(launch)
    look = f"ls -A /tmp {LIBRARY}; pgrep -c '^(R|Rserve)$'"
    before = launch.shell.run(look).stdout
    session(launch)
    assert launch.shell.run(look).stdout == before
    assert before.endswith(b"\n0\n")


def test_the_launch_runs_a_session_for_r_images(engine: DockerEngine) -> None:
    with launched(engine, sample("rbase"), "rbase", R_SESSION) as launch:
        assert launch.r_smoke().passed
        assert "r-session" in launch.seconds


def test_without_the_step_r_is_not_started(engine: DockerEngine) -> None:
    image, without = sample("minimal"), frozenset({"r-session"})
    with launched(engine, image, "rbase", R_SESSION, without=without) as launch:
        assert launch.r_smoke() == r.nothing()


def test_without_stock_rserve_its_stage_is_left_out(launch: Launch) -> None:
    with file_with(launch, SERVER, "qap disable"):
        smoke = session(launch, "stock-rserve")
    assert smoke.stage("rserve").outcome == "not-run"
    assert smoke.facts["left_out"] == ["rserve"]
    assert smoke.stage("r-install").outcome == "passed"


def test_a_missing_r_is_named(launch: Launch) -> None:
    with changed(launch, "mv /usr/bin/R /usr/bin/R.away", "mv /usr/bin/R.away /usr/bin/R"):
        smoke = session(launch)
    assert failed(smoke) == ["start"]
    assert "R: not found" in smoke.stage("start").detail


def test_a_wrapper_that_drops_arguments_is_found(launch: Launch) -> None:
    with file_with(launch, FIRST_ON_PATH, "#!/bin/sh", "exec /usr/bin/R $1 $2 $3 $4"):
        smoke = session(launch)
    assert "r-session" in failed(smoke)
    assert "and got none" in smoke.stage("r-session").detail


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("library(teamtheme)", "there is no package called"),
        ('stop("no licence\\nserver \\"eu\\"")', "server"),
        ('cat("bye"); quit(save = "no")', "ended without a report"),
        ("tools::pskill(Sys.getpid(), 11)", "died"),
    ],
    ids=["package", "quotes", "end", "crash"],
)
def test_a_profile_that_ends_r_is_found(launch: Launch, line: str, said: str) -> None:
    with file_with(launch, PROFILE, line.replace("\\", "\\\\")):
        smoke = session(launch)
    assert failed(smoke) == ["start"]
    assert said in smoke.stage("start").detail


def test_what_a_profile_prints_is_no_report(launch: Launch) -> None:
    with file_with(launch, PROFILE, 'cat("{\\"stages\\": []}"); options(warn = 2, OutDec = ",")'):
        smoke = session(launch)
    assert smoke.passed
    assert len(smoke.stages) == len(r.STAGES)


def test_each_package_that_does_not_load_is_named(launch: Launch) -> None:
    away = f"cd {LIBRARY} && mv htmltools /root/ && mv hwriter/R/hwriter.rdb /root/"
    back = f"mv /root/htmltools {LIBRARY}/ && mv /root/hwriter.rdb {LIBRARY}/hwriter/R/"
    with changed(launch, away, back):
        smoke = session(launch)
    assert failed(smoke) == ["r-packages"]
    detail = smoke.stage("r-packages").detail
    assert "there is no package called" in detail
    assert "hwriter" in detail


def test_a_package_that_an_image_may_lack_is_not_asked_for(launch: Launch) -> None:
    back = f"mv /root/hwriter {LIBRARY}/"
    with changed(launch, f"mv {LIBRARY}/hwriter /root/", back):
        assert session(launch).passed


def test_packages_of_another_library_are_not_found(launch: Launch) -> None:
    away = f"mkdir -p /opt/r && mv {LIBRARY}/htmltools /opt/r/"
    with (
        file_with(launch, FIRST_ON_PATH, "#!/bin/sh", 'R_LIBS=/opt/r exec /usr/bin/R "$@"'),
        changed(launch, away, f"mv /opt/r/htmltools {LIBRARY}/"),
    ):
        assert session(launch).passed
        assert failed(session(launch)) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["auth required", "plaintext enable"], "Rserve asks for a login before: answer <- 6 * 7"),
        (["qap.oc enable"], "Rserve greets with"),
    ],
    ids=["login", "other-protocol"],
)
def test_settings_of_another_service_are_found(launch: Launch, lines: list[str], said: str) -> None:
    with file_with(launch, SERVER, *lines):
        smoke = session(launch)
    assert failed(smoke) == ["rserve"]
    assert said in smoke.stage("rserve").detail


def test_a_server_without_its_port_is_given_up(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(r, "SECONDS", 2.0)
    with file_with(launch, SERVER, "qap disable", "http.port 8099"):
        smoke = session(launch)
    assert failed(smoke) == ["rserve"]
    assert "Rserve took no first driver on port 1100" in smoke.stage("rserve").detail
    assert smoke.stage("r-install").outcome == "passed"


def test_a_server_that_ends_with_its_first_driver_is_found(launch: Launch) -> None:
    with file_with(launch, PROFILE, '.Rserve.served <- function() quit(save = "no")'):
        smoke = session(launch)
    assert failed(smoke) == ["rserve"]
    assert "Rserve took no second driver" in smoke.stage("rserve").detail


def test_a_session_that_hangs_is_killed(launch: Launch) -> None:
    with file_with(launch, PROFILE, "Sys.sleep(4321)"):
        smoke = r.start(launch.container, without=frozenset()).result(2.0)
    assert failed(smoke) == ["start"]
    assert "did not end within 2 s" in smoke.stage("start").detail
    assert launch.shell.run("pgrep -x R").returncode == 1


def test_an_installation_that_fails_says_why(launch: Launch) -> None:
    with changed(launch, "mv /usr/share/R /root/", "mv /root/R /usr/share/"):
        smoke = session(launch)
    assert failed(smoke) == ["r-install"]
    assert smoke.stage("r-install").detail.startswith("R CMD INSTALL ended with status 1\nError")
