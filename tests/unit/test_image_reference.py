"""References are read as Docker reads them."""

from __future__ import annotations

import pytest

from pytest_dcs.errors import InvalidReference
from pytest_dcs.image.reference import Reference, is_image_id

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("acme/ml:1.4", "docker.io/acme/ml:1.4"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("docker.io/acme/ml", "docker.io/acme/ml:latest"),
        ("localhost/ml", "localhost/ml:latest"),
        ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"),
        ("acme.azurecr.io/ml:V1.4_x-y", "acme.azurecr.io/ml:V1.4_x-y"),
        ("Registry/ml", "Registry/ml:latest"),
        ("[::1]:5000/ml", "[::1]:5000/ml:latest"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian:12@{DIGEST}"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_a_reference_has_docker_s_defaults(text: str, normal: str) -> None:
    assert str(Reference.parse(text)) == normal


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "Debian",
        "acme/ML",
        "debian:",
        "debian:-x",
        "debian:" + "x" * 129,
        "debian@sha256:123",
        "a//b",
        "/debian",
        "debian/",
        "a..b",
        "https://acme.azurecr.io/ml",
        "acme/ml:1.4 ",
        "acme/ml:1.4\n",
        "ml:é",
        "x" * 256,
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match="is not an image reference"):
        Reference.parse(text)


def test_an_image_id_is_no_reference() -> None:
    assert is_image_id(DIGEST)
    assert not is_image_id(DIGEST[:-1])
    assert not is_image_id("debian")
