"""The plugin as a user runs it, on real images and a real daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .archives import archive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

SHORT = ("--dcs-runtime=15.4", "--dcs-ignore=SPK,PY004,PY007")
"""Without the rules that take seconds."""
USER_HOME = Path.home()
"""Read before pytester changes it: Docker's configuration and the cached Spark are there."""
OURS = "label=pytest-dcs.run"


@pytest.fixture
def dcs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a pytester in an empty folder, with the home that Docker is configured in."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HOME", str(USER_HOME))
    return pytester


@pytest.fixture
def nothing_is_left(docker_command: DockerCommand) -> Iterator[None]:
    """Compare the engine's containers and networks of ours before and after the test."""
    before = ours(docker_command)
    yield
    deadline = time.monotonic() + 20
    while ours(docker_command) - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ours(docker_command) <= before


def ours(docker_command: DockerCommand) -> set[str]:
    containers = docker_command("ps", "-aq", "--filter", OURS).split()
    networks = docker_command("network", "ls", "-q", "--filter", OURS).split()
    return {*containers, *networks}


@pytest.mark.parametrize(
    ("name", "profile"), [("minimal", "minimal"), ("python", "python"), ("standard", "standard")]
)
@pytest.mark.usefixtures("nothing_is_left")
def test_a_good_image_is_releasable_and_its_spark_job_ran(
    dcs: pytest.Pytester, request: pytest.FixtureRequest, name: str, profile: str
) -> None:
    image = request.getfixturevalue(f"{name}_image")
    result = dcs.runpytest_subprocess(
        f"--dcs-image={image}", "--dcs-runtime=15.4", f"--dcs-profile={profile}", "-v"
    )
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["dcs/spark::test_spark_sql* PASSED*", f"{image} (sha256:*) on 15.4: releasable"]
    )


@pytest.mark.usefixtures("nothing_is_left")
def test_one_launch_per_image_and_runtime_under_xdist(
    dcs: pytest.Pytester, minimal_image: str, standard_image: str
) -> None:
    dcs.makepyfile(
        conftest="""
        from pytest_dcs import launch

        start = launch.Launch.start

        def counted(self):
            with open("launches", "a") as file:
                print(self.request.image.reference, file=file)
            start(self)

        launch.Launch.start = counted
        """
    )
    result = dcs.runpytest_subprocess(
        f"--dcs-image={minimal_image}",
        f"--dcs-image={standard_image}",
        *SHORT,
        "-n2",
        "--dcs-profile=minimal",
    )
    assert result.ret == pytest.ExitCode.OK
    launches = (dcs.path / "launches").read_text().split()
    assert sorted(launches) == sorted([minimal_image, standard_image])


def test_a_guessed_runtime_is_said_to_be_guessed(dcs: pytest.Pytester, python_image: str) -> None:
    result = dcs.runpytest_subprocess(f"--dcs-image={python_image}", "--dcs-ignore=SPK,PY")
    result.stdout.fnmatch_lines(["* on 15.4 (guessed from Python 3.11 and Java 17*): releasable"])


def test_a_strict_run_wants_the_runtime_declared(dcs: pytest.Pytester, python_image: str) -> None:
    result = dcs.runpytest_subprocess(f"--dcs-image={python_image}", "--dcs-strict")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no runtime is declared*", "*would be 15.4*", "*--dcs-runtime*"])


def test_own_tests_see_the_container(dcs: pytest.Pytester, minimal_image: str) -> None:
    path = dcs.makepyfile(
        """
        def test_own(host, dcs_runtime):
            assert host.file("/usr/lib/jvm").is_directory
            assert host.check_output("cat /proc/1/comm") in {"docker-init", "catatonit", "sh"}
            assert host.environment()["DATABRICKS_RUNTIME_VERSION"] == dcs_runtime.version
        """
    )
    result = dcs.runpytest_subprocess(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4", path)
    result.assert_outcomes(passed=1)


@pytest.mark.usefixtures("nothing_is_left")
def test_an_image_without_a_shell_is_one_failing_finding(
    dcs: pytest.Pytester, docker_command: DockerCommand, request: pytest.FixtureRequest
) -> None:
    name = "pytest-dcs-test/no-shell"
    docker_command("build", "-q", "-t", name, "-", stdin=b"FROM scratch\nENV A=1\n")
    request.addfinalizer(lambda: docker_command("rmi", name))
    result = dcs.runpytest_subprocess(f"--dcs-image={name}", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 1
    assert "errors" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(["*FAIL    SYS001 *", "*blocked *SYS002*: blocked by SYS001*"])


def test_an_image_for_another_processor_stops_the_run(
    dcs: pytest.Pytester, docker_command: DockerCommand, arm_image: str
) -> None:
    result = dcs.runpytest_subprocess(f"--dcs-image={arm_image}", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: image * is for linux/arm64*", "*--platform*"])


@pytest.fixture(scope="session")
def arm_image(docker_command: DockerCommand) -> Iterator[str]:
    """Load an image whose config names another processor, as a build without --platform gives."""
    name = "pytest-dcs-test/arm:1"
    config = {
        "architecture": "arm64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": []}]
    files = {"config.json": config, "manifest.json": manifest}
    saved = archive({member: json.dumps(content).encode() for member, content in files.items()})
    docker_command("load", stdin=saved)
    yield name
    docker_command("rmi", name)


def test_no_engine_is_a_setup_error(dcs: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dcs.path}/no.sock")
    result = dcs.runpytest_subprocess("--dcs-image=acme/ml:1", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: dcs: no container engine at *no.sock*", "*docker info*"])
    result.stderr.no_fnmatch_line("*Traceback*")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without permission")
def test_no_permission_on_the_socket_is_a_setup_error() -> None:
    # Not in tmp_path, which only its owner may enter.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o755)
        path = Path(folder, "docker.sock")
        server.bind(str(path))
        server.listen()
        path.chmod(0o600)
        completed = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, f"unix://{path}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
    assert completed.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: dcs: no permission to use the container engine" in completed.stderr
    assert "Traceback" not in completed.stderr


AS_NOBODY = """
import os, sys, pytest
arguments = ["-p", "no:cacheprovider", "--dcs-image=acme/ml:1", "--dcs-runtime=15.4"]
os.environ["DOCKER_HOST"] = "unix:///nonexistent.sock"
pytest.main(arguments)  # loads all modules while this process may still read them
os.setgid(65534); os.setuid(65534)
os.environ["DOCKER_HOST"] = sys.argv[1]
sys.exit(pytest.main(arguments))
"""


def test_an_unknown_image_is_a_setup_error(dcs: pytest.Pytester) -> None:
    result = dcs.runpytest_subprocess(
        "--dcs-image=pytest-dcs-test/never-built:1", "--dcs-runtime=15.4", "--dcs-pull=never"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: dcs: image 'pytest-dcs-test/never-built:1' was not found*"]
    )


def test_without_a_package_index_the_run_stops_before_anything_starts(
    dcs: pytest.Pytester, minimal_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCS_CACHE", str(dcs.path / "cache"))
    for name, value in {
        "INDEX_URL": "http://127.0.0.1:9/",
        "RETRIES": "0",
        "NO_INDEX": "1",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    result = dcs.runpytest_subprocess(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: dcs: pyspark 3.5.* could not be fetched*", "*--dcs-ignore=SPK*"]
    )
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_container_that_somebody_removes_is_no_fault_of_the_image(
    dcs: pytest.Pytester, minimal_image: str
) -> None:
    path = dcs.makepyfile(
        """
        import subprocess

        def test_first(dcs_container):
            subprocess.run(["docker", "rm", "-f", dcs_container.name], check=True)

        def test_second(host):
            host.run("true")

        def test_third(host):
            host.run("true")
        """
    )
    result = dcs.runpytest_subprocess(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4", path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*the container ended in the middle of the run*"])
    result.stdout.no_fnmatch_line("*NOT releasable*")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "skipped": 1}


def test_a_spark_job_that_nobody_could_foresee_is_no_fault_of_the_image(
    dcs: pytest.Pytester, minimal_image: str
) -> None:
    path = dcs.makepyfile("def test_own(host, request): request.getfixturevalue('dcs_spark_smoke')")
    result = dcs.runpytest_subprocess(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4", path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        ["*without what dcs_spark_smoke reads*", "Name dcs_spark_smoke among*"]
    )


def test_a_kept_container_can_be_entered_and_swept(
    dcs: pytest.Pytester, minimal_image: str, docker_command: DockerCommand
) -> None:
    before = ours(docker_command)
    result = dcs.runpytest_subprocess(
        f"--dcs-image={minimal_image}", *SHORT, "--dcs-select=SYS001", "--dcs-keep"
    )
    line = next(line for line in result.outlines if "docker exec -it" in line)
    name = line.partition("docker exec -it ")[2].split()[0]
    assert docker_command("exec", name, "echo", "inside") == "inside"
    swept = subprocess.run(
        [sys.executable, "-m", "pytest_dcs", "sweep"], capture_output=True, text=True, check=True
    )
    assert name in swept.stdout
    assert ours(docker_command) <= before


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("fatal", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("moment", ["launch", "check"])
def test_nothing_is_left_behind_when_the_run_is_ended(
    dcs: pytest.Pytester,
    minimal_image: str,
    docker_command: DockerCommand,
    fatal: signal.Signals,
    moment: str,
) -> None:
    path = dcs.makepyfile("def test_own(host): host.run('sleep 60')")
    before = ours(docker_command)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(path)),
            *(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4", "--dcs-profile=minimal"),
        ],
        cwd=dcs.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: bool(ours(docker_command) - before))
    if moment == "check":
        wait_until(lambda: "sleep 60" in docker_top(docker_command))
    process.send_signal(fatal)
    process.wait(timeout=30)


def test_a_failing_run_leaves_nothing_behind(
    dcs: pytest.Pytester, minimal_image: str, nothing_is_left: None
) -> None:
    path = dcs.makepyfile("def test_own(host): assert host.run('exit 3').rc == 0")
    result = dcs.runpytest_subprocess(f"--dcs-image={minimal_image}", "--dcs-runtime=15.4", path)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def docker_top(docker_command: DockerCommand) -> str:
    containers = docker_command("ps", "-q", "--filter", OURS).split()
    texts = []
    for container in containers:
        completed = subprocess.run(
            ["docker", "top", container], capture_output=True, text=True, check=False
        )
        texts.append(completed.stdout)
    return "".join(texts)


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
