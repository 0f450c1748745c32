"""sshd is really started, with a host key of the trial's where the image has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.checks.ssh import START_AND_SCAN
from pytest_dcs.host import make_host

from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch

pytestmark = pytest.mark.docker

SETTINGS = "/etc/ssh/sshd_config"
START = "mkdir -p /run/sshd; /usr/sbin/sshd"


@pytest.fixture(scope="module")
def launch(engine: DockerEngine, standard_image: str) -> Iterator[Launch]:
    """Return a launch in whose container each test tries sshd; what it changes it changes back."""
    with launched(engine, standard_image, "standard") as launch:
        yield launch


@pytest.fixture
def changed(launch: Launch, request: pytest.FixtureRequest) -> Iterator[Launch]:
    launch.shell.run("cp -a /etc/ssh /etc/passwd /etc/hosts.deny /root/")
    completed = launch.shell.run(request.param)
    assert completed.returncode == 0, completed.stderr
    yield launch
    launch.shell.run(
        "pkill sshd; rm -r /etc/ssh; mv /root/ssh /etc/; cp /root/passwd /root/hosts.deny /etc/"
    )


def tried(launch: Launch) -> Any:
    return make_host(launch.shell).run("sh -c %s", START_AND_SCAN)


def test_the_image_answers_with_its_banner(launch: Launch) -> None:
    result = tried(launch)
    assert result.stdout.startswith("SSH-2.0-OpenSSH_"), result.stderr


def test_nothing_of_the_trial_stays(launch: Launch) -> None:
    tried(launch)
    look = "ls -A /tmp /etc/ssh; pgrep -c sshd"
    before = launch.shell.run(look).stdout
    tried(launch)
    assert launch.shell.run(look).stdout == before
    assert before.endswith(b"\n0\n")


@pytest.mark.parametrize(
    "changed",
    [
        "ssh-keygen -A",
        f"echo 'ListenAddress 0.0.0.0:22' >>{SETTINGS}",
        f"echo 'Port 2200' >>{SETTINGS}",
        f"echo 'LogLevel QUIET' >>{SETTINGS}",
        f"ssh-keygen -A; echo 'ListenAddress 127.0.0.1:2200' >>{SETTINGS}; {START}",
    ],
    ids=["host-keys", "address", "port", "quiet", "already-running"],
    indirect=True,
)
def test_good_images_answer(changed: Launch) -> None:
    result = tried(changed)
    assert result.succeeded, result.stderr
    assert result.stdout.startswith("SSH-2.0-OpenSSH_")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (f"echo 'PermitRootLogin never' >>{SETTINGS}", "unsupported option"),
        (f"echo 'ListenAddress 10.20.30.40' >>{SETTINGS}", "Cannot bind any address."),
        ("ssh-keygen -A && chmod 644 /etc/ssh/*_key", "no hostkeys available"),
        ("sed -i /^sshd:/d /etc/passwd", "Privilege separation user sshd does not exist"),
        ("echo 'ALL: ALL' >/etc/hosts.deny", "ssh-keyscan of 127.0.0.1:22022 got no host key"),
    ],
    ids=["settings", "address", "readable-keys", "user", "refusal"],
    indirect=["changed"],
)
def test_a_server_that_does_not_answer_says_why(changed: Launch, said: str) -> None:
    result = tried(changed)
    assert result.failed
    assert said in result.stderr
