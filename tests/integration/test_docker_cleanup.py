"""Nothing of a run stays behind, however it ends, but for what the user wants to keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.engines import ContainerSpec
from pytest_dcs.engines.docker import DockerEngine

from .forwarder import Forwarder, make_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

PATIENCE = 10.0
"""Seconds after which everything must be gone."""

CHILD = """
import sys, time
from pytest_dcs.engines import ContainerSpec
from pytest_dcs.engines.docker import DockerEngine

run_id, reference, keep = sys.argv[1:]
engine = DockerEngine()
image = engine.resolve(reference, "never")
container = engine.launch(image, ContainerSpec(run_id, keep=keep == "keep"))
container.start(["sleep", "1000"]).write(b"")
print(engine._reaper.pid, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def run_id() -> str:
    return f"test-cleanup-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def cleaned(docker_command: DockerCommand, run_id: str) -> Iterator[None]:
    """Remove what a test has kept on purpose."""
    yield
    for identifier in containers(docker_command, run_id):
        docker_command("rm", "--force", "--volumes", identifier)
    for identifier in networks(docker_command, run_id):
        docker_command("network", "rm", identifier)


def containers(docker_command: DockerCommand, run_id: str) -> list[str]:
    label = f"label=pytest-dcs.run={run_id}"
    return docker_command("ps", "--all", "--quiet", "--filter", label).split()


def networks(docker_command: DockerCommand, run_id: str) -> list[str]:
    label = f"label=pytest-dcs.run={run_id}"
    return docker_command("network", "ls", "--quiet", "--filter", label).split()


def wait_until_gone(docker_command: DockerCommand, run_id: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while containers(docker_command, run_id) or networks(docker_command, run_id):
        assert time.monotonic() < deadline, "left behind"
        time.sleep(0.1)


def start_child(run_id: str, reference: str, *, keep: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, run_id, reference, "keep" if keep else "end"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def read_reaper(child: subprocess.Popen[bytes]) -> int:
    assert child.stdout is not None
    return int(child.stdout.readline())


@pytest.mark.parametrize("killer", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_killed(
    docker_command: DockerCommand, minimal_image: str, run_id: str, killer: signal.Signals
) -> None:
    with start_child(run_id, minimal_image) as child:
        reaper = read_reaper(child)
        assert len(containers(docker_command, run_id)) == len(networks(docker_command, run_id)) == 1
        started = time.monotonic()
        child.send_signal(killer)
        child.communicate()
        # The output has ended: nothing else holds the pipe, as in `pytest | cat`.
        assert time.monotonic() - started < 2
    wait_until_gone(docker_command, run_id)
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{reaper}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{reaper}/cmdline").exists()


@pytest.mark.parametrize("delay", [0.4, 0.5, 0.6, 0.7, 0.8])
def test_a_run_that_is_killed_while_it_starts(
    docker_command: DockerCommand, minimal_image: str, run_id: str, delay: float
) -> None:
    with start_child(run_id, minimal_image) as child:
        time.sleep(delay)
        child.kill()
    time.sleep(1)
    wait_until_gone(docker_command, run_id)


def test_a_whole_process_group_that_is_killed(
    docker_command: DockerCommand, minimal_image: str, run_id: str
) -> None:
    command = [sys.executable, "-c", CHILD, run_id, minimal_image, "end"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
        read_reaper(child)
        os.killpg(child.pid, signal.SIGKILL)
    wait_until_gone(docker_command, run_id)


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
def test_a_run_over_the_network_that_is_killed(
    docker_command: DockerCommand,
    minimal_image: str,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encrypted: bool,
) -> None:
    forwarder = Forwarder(make_certificates(tmp_path) if encrypted else None)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", forwarder.address)
        if encrypted:
            patch.setenv("DOCKER_TLS_VERIFY", "1")
            # The reaper changes its directory: a path that is not absolute must do all the same.
            patch.setenv("DOCKER_CERT_PATH", os.path.relpath(tmp_path))
        child = start_child(run_id, minimal_image)
    with child:
        read_reaper(child)
        child.kill()
    wait_until_gone(docker_command, run_id)
    forwarder.close()


def test_a_run_that_ends(docker_command: DockerCommand, minimal_image: str, run_id: str) -> None:
    engine = DockerEngine()
    image = engine.resolve(minimal_image, "never")
    first = engine.launch(image, ContainerSpec(run_id))
    engine.launch(image, ContainerSpec(run_id))
    first.end()
    assert len(containers(docker_command, run_id)) == len(networks(docker_command, run_id)) == 1
    reaper = engine._reaper
    assert reaper is not None
    engine.close()
    assert not containers(docker_command, run_id)
    assert not networks(docker_command, run_id)
    assert reaper.returncode == 0


@pytest.mark.parametrize(
    "step", ["create_network", "create_container_from_config", "attach_socket", "start"]
)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_ctrl_c_during_the_start(
    docker_command: DockerCommand,
    minimal_image: str,
    run_id: str,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    done: bool,
) -> None:
    engine = DockerEngine()
    image = engine.resolve(minimal_image, "never")
    original = getattr(engine._api, step)

    def interrupted(*arguments: Any, **options: Any) -> None:
        if done:
            answer = original(*arguments, **options)
            if step == "attach_socket":
                answer._response.close()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine._api, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.launch(image, ContainerSpec(run_id))
    assert not containers(docker_command, run_id)
    assert not networks(docker_command, run_id)
    engine.close()


@pytest.mark.usefixtures("cleaned")
def test_a_container_that_is_to_be_kept(
    docker_command: DockerCommand, minimal_image: str, run_id: str
) -> None:
    engine = DockerEngine()
    image = engine.resolve(minimal_image, "never")
    container = engine.launch(image, ContainerSpec(run_id, keep=True))
    container.end()
    engine.close()
    DockerEngine().close()
    assert docker_command("exec", container.name, "echo", "still here") == "still here"
    assert networks(docker_command, run_id)


@pytest.mark.usefixtures("cleaned")
def test_a_container_is_kept_after_a_kill_too(
    docker_command: DockerCommand, minimal_image: str, run_id: str
) -> None:
    with start_child(run_id, minimal_image, keep=True) as child:
        read_reaper(child)
        child.kill()
    time.sleep(5)
    (identifier,) = containers(docker_command, run_id)
    assert docker_command("exec", identifier, "echo", "still here") == "still here"


@pytest.mark.usefixtures("cleaned")
def test_what_an_earlier_run_left_is_swept_once_it_has_expired(
    docker_command: DockerCommand, minimal_image: str, run_id: str
) -> None:
    kept = []
    for expires in (1, int(time.time()) + 1000):
        labels = [f"--label=pytest-dcs.run={run_id}", f"--label=pytest-dcs.expires={expires}"]
        kept.append(docker_command("create", *labels, minimal_image)[:12])
        kept.append(docker_command("network", "create", *labels, f"{run_id}-{expires}")[:12])
    DockerEngine().close()
    assert containers(docker_command, run_id) == [kept[2]]
    assert networks(docker_command, run_id) == [kept[3]]
