"""An image's config is read alike from a daemon and from the image itself."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_dcs.image import ImageConfig
from pytest_dcs.image.config import from_inspection, parse_config

INNER = {
    "User": "spark",
    "Env": ["PATH=/bin", "EMPTY=", "EQUALS=a=b", "BARE"],
    "Entrypoint": ["/tini", "--"],
    "Cmd": ["bash"],
    "WorkingDir": "/work",
    "Volumes": {"/b": {}, "/a": {}},
    "Labels": {"pytest-dcs.runtime": "15.4"},
}
CONFIG = ImageConfig(
    os="linux",
    architecture="arm64",
    user="spark",
    environment={"PATH": "/bin", "EMPTY": "", "EQUALS": "a=b", "BARE": ""},
    entrypoint=("/tini", "--"),
    command=("bash",),
    working_directory="/work",
    volumes=("/a", "/b"),
    labels={"pytest-dcs.runtime": "15.4"},
)
ID = "sha256:" + "a" * 64
DIGEST = "sha256:" + "b" * 64


@pytest.mark.parametrize(
    "document",
    [
        {"Os": "linux", "Architecture": "arm64", "Config": INNER},
        {"os": "linux", "architecture": "arm64", "config": INNER},
    ],
    ids=["daemon", "image"],
)
def test_a_full_config(document: dict[str, object]) -> None:
    assert parse_config(document) == CONFIG


@pytest.mark.parametrize("inner", [None, {}, dict.fromkeys(INNER)])
def test_a_config_with_nothing_in_it(inner: object) -> None:
    assert parse_config({"Os": "linux", "Architecture": "amd64", "Config": inner}) == ImageConfig()


@pytest.mark.parametrize(
    ("reference", "repository_digests", "digest"),
    [
        ("acme/ml:1", [f"other/ml@sha256:{'c' * 64}", f"acme/ml@{DIGEST}"], DIGEST),
        ("docker.io/acme/ml:1", [f"acme/ml@{DIGEST}"], DIGEST),
        ("acme/ml:1", [f"other/ml@{DIGEST}"], None),
        ("acme/ml:1", ["<none>@<none>"], None),
        ("acme/ml:1", None, None),
        (ID, [f"acme/ml@{DIGEST}"], None),
    ],
)
def test_the_digest_is_that_of_the_reference_s_own_repository(
    reference: str, repository_digests: list[str] | None, digest: str | None
) -> None:
    document: dict[str, Any] = {
        "Id": ID,
        "RepoDigests": repository_digests,
        "Size": 5,
        "Config": {},
    }
    image = from_inspection(reference, document)
    assert (image.reference, image.id, image.size) == (reference, ID, 5)
    assert image.digest == digest
    assert image.released_as == (digest or ID)
