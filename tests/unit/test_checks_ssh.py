from __future__ import annotations

import pytest

from pytest_dcs.checks import ssh

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, finding_of


def test_a_server_that_answers_is_good() -> None:
    ssh.test_sshd_answers(FakeHost({"ssh-keyscan": Result("SSH-2.0-OpenSSH_9.2p1\n")}))


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (Result(rc=255, stderr="sshd: no hostkeys available -- exiting.\n"), "exit status 255"),
        (Result(rc=1, stderr="Cannot bind any address.\n"), "exit status 1: Cannot bind any"),
        (EMPTY_FILE, "no output"),
        (MISSING, "exit status 127"),
    ],
    ids=["settings", "start", "empty", "missing"],
)
def test_a_server_without_an_answer_is_found(result: Result, found: str) -> None:
    message = finding_of(ssh.test_sshd_answers, FakeHost({"ssh-keyscan": result}))
    assert message.startswith(f"/usr/sbin/sshd on loopback: found {found}")
