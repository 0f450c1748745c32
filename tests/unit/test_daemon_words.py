"""A daemon's words are held against the image only where they are about the image."""

from __future__ import annotations

import pytest

from pytest_dcs import errors
from pytest_dcs.engines import words

RUNC = (
    "OCI runtime create failed: container_linux.go:380: starting container process caused: "
    'exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown'
)
RUNC_1_1 = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
    'exec: "/bin/sh": permission denied: unknown'
)
TINI = "[FATAL tini (7)] exec /bin/sh failed: No such file or directory\n"


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        (RUNC, 'exec: "/bin/sh": stat /bin/sh: no such file or directory'),
        (RUNC_1_1, 'exec: "/bin/sh": permission denied'),
        (TINI, "exec /bin/sh failed: No such file or directory"),
        ("plain words", "plain words"),
    ],
)
def test_words_lose_the_names_of_the_engine_s_parts(detail: str, shown: str) -> None:
    assert words.readable(detail) == shown


@pytest.mark.parametrize("detail", [RUNC, RUNC_1_1, "exec user process caused: exec format error"])
def test_faults_of_the_image(detail: str) -> None:
    assert words.is_image_fault(detail)


@pytest.mark.parametrize(
    "detail",
    [
        'exec: "docker-init": executable file not found in $PATH',
        "could not find an available, non-overlapping IPv4 address pool among the defaults",
        "mkdir /var/lib/docker/overlay2/x: no space left on device",
        "open /sys/fs/cgroup/pids/docker/cgroup.procs: no such file or directory",
    ],
)
def test_faults_of_the_engine(detail: str) -> None:
    assert not words.is_image_fault(detail)


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("manifest for acme/ml:2 not found: manifest unknown", errors.ImageNotFound),
        (
            (
                "pull access denied for acme/ml, repository does not exist or may require "
                "'docker login': denied: requested access to the resource is denied"
            ),
            errors.ImageNotFound,
        ),
        ("no matching manifest for linux/amd64 in the manifest list", errors.WrongArchitecture),
        (
            (
                "image with reference acme/ml was found but does not match the specified platform: "
                "wanted linux/amd64, actual: linux/arm64"
            ),
            errors.WrongArchitecture,
        ),
        ("toomanyrequests: You have reached your pull rate limit.", errors.PullFailed),
        ("unauthorized: authentication required", errors.PullFailed),
        ("dial tcp: lookup acme.azurecr.io: no such host", errors.PullFailed),
        ("x509: certificate signed by unknown authority", errors.PullFailed),
    ],
)
def test_refusals_of_a_pull(detail: str, kind: type[errors.SetupError]) -> None:
    assert type(words.pull_error("acme/ml", detail)) is kind
