"""Whole runs with --dcs-remote: each life of a cluster ends in its verdict and exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import ENGINE, junit_properties
from tests.remote.launching import LAUNCH, Launcher, document, finding, launch, printing
from tests.remote.standin import lives

if TYPE_CHECKING:
    from tests.remote.standin import Workspace
    from tests.remote.standin.clock import Clock
    from tests.remote.standin.lives import Life

pytestmark = pytest.mark.usefixtures("virtual_time")
PASSWORD = "hunter2-in-the-registry"
INCONCLUSIVE = 75
SCRIPTS = {"init_scripts": [{"workspace": {"destination": "/Shared/setup.sh"}}]}
__all__ = ["launch"]


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_a_good_image_passes_and_leaves_nothing(launch: Launcher, mode: str) -> None:
    result = launch(f"--dcs-remote-mode={mode}", "-v")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*--dcs-remote LAUNCHES REAL CLUSTERS, WHICH COSTS MONEY*",
            f"dcs: to be launched in *: cluster dcs-* with good:1 on 15.4.x-*, mode {mode}, *",
            "*cluster dcs-* PENDING*",
            "*test_cluster_starts_with_the_image*PASSED*",
            "good:1 * on 15.4: releasable",
            "*cluster 1123-* was ready; *; removed",
            "*merged cluster: 1 of its 1 findings are on rules not judged here",
        ]
    )
    assert len(launch.workspace.clusters) == 1
    assert launch.workspace.files.left() == []
    assert not list(launch.journals.glob("*"))


@pytest.mark.parametrize(
    ("life", "status", "said"),
    [
        (
            lives.creation_failure(),
            1,
            "FAIL    RUN001 *found DOCKER_CONTAINER_CREATION_EXCEPTION: Container setup failed*",
        ),
        (lives.pull_failure(), 75, "blocked RUN001: no verdict: DOCKER_IMAGE_PULL_FAILURE: *"),
        (lives.stock_out(), 75, "blocked RUN001: no verdict: AWS_INSUFFICIENT_*no capacity*"),
        (
            lives.stock_out("GCP_INSUFFICIENT_CAPACITY", "CLIENT_ERROR"),
            75,
            "blocked RUN001: no verdict: GCP_INSUFFICIENT_CAPACITY: *no capacity*",
        ),
        (
            lives.unknown_code(),
            75,
            "blocked RUN001: no verdict: SECURITY_AGENTS_FAILED_INITIAL_VERIFICATION: *",
        ),
        (lives.failing("WOLVES"), 75, "blocked RUN001: no verdict: WOLVES: *nobody can say*"),
        (lives.failing("USER_REQUEST"), 75, "blocked RUN001: *somebody or something else*"),
        (lives.failing("INIT_CONTAINER_NOT_FINISHED"), 75, "blocked RUN001: no verdict: *"),
        (lives.never_up(), 75, "blocked RUN001: no verdict: *not the image, as far as anybody*"),
        (lives.hanging(), 75, "blocked RUN003: no verdict: *"),
        (lives.unknown_state(), 0, "*was ready*"),
        (lives.slow(5), 0, "*was ready*"),
        (
            lives.failing("AWS_AUTHORIZATION_FAILURE", message="UnauthorizedOperation"),
            4,
            "stopped dcs: no verdict on the image: AWS_AUTHORIZATION_FAILURE: Unauthorized*",
        ),
        (lives.driver_death(after=0), 75, "*without the image does not run either: *"),
    ],
)
@pytest.mark.parametrize("mode", ["jobs", "interactive"])
def test_each_life_has_its_verdict(
    launch: Launcher, life: Life, status: int, said: str, mode: str
) -> None:
    launch.workspace.script(life)
    result = launch(f"--dcs-remote-mode={mode}")
    result.stdout.fnmatch_lines([f"*{said}"])
    assert result.ret == status


@pytest.mark.parametrize("mode", ["jobs", "interactive"])
@pytest.mark.parametrize("life", [lives.driver_death(after=0), lives.sick_driver()])
def test_a_driver_that_dies_with_the_image_only_is_the_images_fault(
    launch: Launcher, life: Life, mode: str
) -> None:
    launch.workspace.script(life, with_image=True)
    result = launch(f"--dcs-remote-mode={mode}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*FAIL    RUN001 *; the same cluster without the image runs*"])
    with_image, without = launch.workspace.clusters
    assert "docker_image" in with_image.spec
    assert "docker_image" not in without.spec


def test_nothing_is_compared_where_that_is_turned_off(
    launch: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_REMOTE_CONTROL", "false")
    launch.workspace.script(lives.driver_death(after=0))
    result = launch()
    assert result.ret == INCONCLUSIVE
    result.stdout.fnmatch_lines(["*nothing was launched to compare with*"])
    assert len(launch.workspace.clusters) == 1


@pytest.mark.parametrize(
    ("statuses", "status", "said"),
    [
        ((), 1, "FAIL    RUN002 *: init script /Shared/setup.sh: found FAILED_EXECUTION*"),
        (("FAILED_FETCH",), 75, "blocked RUN001: *not for the image: /Shared/setup.sh*"),
    ],
)
def test_an_init_script_is_judged_by_how_it_ended(
    launch: Launcher, statuses: tuple[str, ...], status: int, said: str
) -> None:
    file = launch.file("cluster.json", {"node_type_id": "i3.xlarge", **SCRIPTS})
    launch.workspace.script(lives.init_script_failure(*statuses))
    result = launch(f"--dcs-remote-cluster={file}")
    result.stdout.fnmatch_lines([f"*{said}"])
    assert result.ret == status


def test_what_only_the_cluster_finds_makes_the_verdict(launch: Launcher) -> None:
    found = finding("PY004", "fail", "virtualenv: found none")
    launch.bundle = printing(document(found, finding("IMG001", "advice", "platform: odd")))
    result = launch()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*FAIL    PY004 virtualenv-builds, cluster: virtualenv: found none",
            "*advice  RUN004 *found advice: platform: odd on the cluster; needed pass, as here",
        ]
    )


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("no document at all", "*printed no document*"),
        ({"format": 99, "entries": []}, "*cannot be read: its format is 99*"),
        (document(runtime="16.4"), "*have judged runtime 16.4"),
    ],
)
def test_checks_without_a_usable_document_are_no_verdict(
    launch: Launcher, printed: object, said: str
) -> None:
    launch.bundle = printing(printed)
    result = launch()
    assert result.ret == INCONCLUSIVE
    result.stdout.fnmatch_lines([f"*blocked RUN003: no verdict: {said}"])


def test_a_python_file_that_fails_on_the_driver_is_the_images_fault(launch: Launcher) -> None:
    launch.workspace.nodes.task = lambda _: (  # type: ignore[attr-defined]
        1,
        "ModuleNotFoundError: No module named 'zlib'",
    )
    result = launch()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*No module named 'zlib'*", "*FAIL    RUN003 *: the run on dcs-*"])


def test_an_answer_that_is_lost_makes_no_second_cluster(launch: Launcher) -> None:
    launch.workspace.fault("POST", "*/clusters/create", "dropped")
    assert launch("--dcs-remote-mode=interactive").ret == pytest.ExitCode.OK
    assert len(launch.workspace.clusters) == 1


def test_a_workspace_without_container_services_is_said_before_a_launch(launch: Launcher) -> None:
    launch.workspace.state.conf["enableDcs"] = "false"
    result = launch()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*Container Services is turned off*", "*", "*curl -X PATCH*"])
    assert not launch.workspace.clusters


def test_a_cluster_that_the_workspace_refuses_is_a_set_up_error(launch: Launcher) -> None:
    file = launch.file("cluster.json", {"node_type_id": "z1.colossal"})
    result = launch(f"--dcs-remote-cluster={file}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*stopped dcs: no verdict on the image: *z1.colossal*"])


def test_a_cluster_that_is_left_behind_is_never_green(
    launch: Launcher, workspace: Workspace
) -> None:
    workspace.fault("POST", "*/clusters/delete", "status", status=500, times=10_000)
    workspace.fault("POST", "*/clusters/permanent-delete", "status", status=500, times=10_000)
    result = launch.pytester.runpytest(*LAUNCH, "--dcs-remote-mode=interactive")
    workspace.may_leave |= {each.id for each in workspace.alive}
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*: releasable", "*ERROR: dcs: NOT REMOVED: cluster dcs-*"])


REGISTRY_WITHOUT_THE_IMAGE = """
import pytest

@pytest.fixture(scope="session")
def dcs_registry(dcs_remote_spec):
    from pytest_dcs.remote.registry import preflight, pull
    from pytest_dcs.remote.registry.status import Status

    wanted = pull.of_spec(dcs_remote_spec, {})
    return preflight.Preflight(wanted, Status.NOT_FOUND, "manifest unknown")
"""
VOLUME = {"init_scripts": [{"volumes": {"destination": "/Volumes/main/default/setup.sh"}}]}


@pytest.mark.parametrize(
    ("arguments", "broken"),
    [
        (("--dcs-select=SYS001",), "SYS001"),
        (("--dcs-select=REG",), "REG001"),
        (("--dcs-remote-cluster=cluster.json",), "RUN005"),
    ],
)
def test_what_is_found_for_nothing_spares_the_launch(
    launch: Launcher, arguments: tuple[str, ...], broken: str
) -> None:
    launch.pytester.makeconftest(f"{ENGINE}\n{REGISTRY_WITHOUT_THE_IMAGE}")
    launch.file("cluster.json", {"node_type_id": "i3.xlarge", **VOLUME})
    result = launch(*arguments)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [f"*FAIL    {broken} *", f"*blocked *RUN001*: blocked by {broken} *"]
    )
    assert not launch.workspace.clusters


def test_no_password_is_shown_anywhere(
    launch: Launcher, monkeypatch: pytest.MonkeyPatch, virtual_time: Clock
) -> None:
    monkeypatch.setenv("DCS_REMOTE_REGISTRY_USER", "robot")
    monkeypatch.setenv("DCS_REMOTE_REGISTRY_PASSWORD", PASSWORD)
    launch.workspace.script(lives.creation_failure())
    result = launch(
        "--junitxml=junit.xml",
        "--dcs-json=run.json",
        "--dcs-remote-record=wire.jsonl",
        "--log-level=DEBUG",
        "--showlocals",
        "--tb=long",
        "-rA",
    )
    assert launch.workspace.clusters[0].spec["docker_image"]["basic_auth"]["username"] == "robot"
    folder = launch.pytester.path
    written = [(folder / name).read_text() for name in ("junit.xml", "run.json", "wire.jsonl")]
    assert all(written)
    for text in (result.stdout.str(), result.stderr.str(), *written):
        assert PASSWORD not in text
    result.stdout.fnmatch_lines(["*advice  RUN006 registry-password-is-a-secret*"])


def test_junit_files_name_what_was_launched(launch: Launcher) -> None:
    launch.workspace.script(lives.creation_failure())
    launch("--junitxml=junit.xml")
    found = junit_properties(launch.pytester.path / "junit.xml")
    of_start = found["test_cluster_starts_with_the_image[good:1-15.4]"]
    assert of_start["dcs_termination_code"] == "DOCKER_CONTAINER_CREATION_EXCEPTION"
    assert of_start["dcs_cluster_id"] == launch.workspace.clusters[0].id
    assert of_start["dcs_job_run"] == str(launch.workspace.runs[0].id)
    assert of_start["dcs_removed"] == "true"


def test_own_tests_can_ask_for_the_launch(launch: Launcher) -> None:
    launch.pytester.makepyfile(
        """
        def test_it(dcs_remote):
            assert dcs_remote.outcome.ready
            assert dcs_remote.cause is None
        """
    )
    result = launch("test_own_tests_can_ask_for_the_launch.py")
    assert result.ret == pytest.ExitCode.OK
    assert len(launch.workspace.clusters) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--dcs-runtime=9.1",), "*the checks need Python 3.10, and runtime 9.1 has no newer one"),
        (("--dcs-profile=minimal",), "*mode interactive: a job would need Python*"),
    ],
)
def test_an_image_that_cannot_run_the_checks_has_to_start_only(
    launch: Launcher, arguments: tuple[str, ...], said: str
) -> None:
    result = launch.pytester.runpytest(
        *(each for each in LAUNCH if "runtime" not in each),
        *(arguments if "runtime" in arguments[0] else ("--dcs-runtime=15.4", *arguments)),
        "-rs",
    )
    result.stdout.fnmatch_lines([said])
    assert result.ret == pytest.ExitCode.OK
    assert len(launch.workspace.clusters) == 1


def test_several_images_have_a_cluster_each(launch: Launcher) -> None:
    result = launch("--dcs-image=labelled:1", "--dcs-json=run.json")
    assert result.ret == pytest.ExitCode.OK
    assert len({cluster.spec["cluster_name"] for cluster in launch.workspace.clusters}) == 2
    entries = json.loads((launch.pytester.path / "run.json").read_text())["entries"]
    assert [entry["verdict"] for entry in entries] == ["releasable", "releasable"]
