"""Asking a real registry, with a login of its own and with a token service, before a launch."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs.checks import registry as checks
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.image.config import parse_config
from pytest_dcs.remote.registry import manifests, preflight
from pytest_dcs.remote.registry.pull import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    Credentials,
    of_spec,
)
from pytest_dcs.remote.registry.status import Status
from pytest_dcs.rules import Blocked, RuleBroken
from tests.integration.archives import archive

from . import registries
from .answering import answering
from .pushing import Registry, config_for, loaded, push
from .registries import PASSWORD, USER
from .token_service import TokenService, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import Image
    from pytest_dcs.remote.registry.preflight import Preflight
    from tests.remote.standin import Workspace

pytestmark = pytest.mark.docker

RIGHT = Credentials(USER, PASSWORD)
WRONG = Credentials(USER, "wrong-password")
OCI_INDEX, _ = manifests.INDEXES
OCI_MANIFEST, DOCKER_MANIFEST = manifests.MANIFESTS
ALL_RULES = (
    checks.test_registry_lets_the_nodes_in,
    checks.test_image_is_in_the_registry,
    checks.test_registry_has_linux_amd64,
    checks.test_pulls_suffice_for_the_nodes,
    checks.test_tag_is_not_a_moving_one,
    checks.test_login_lasts,
)


@pytest.fixture(scope="module", params=["basic", "token"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """Run a registry that takes passwords itself, and one that sends to a token service."""
    folder = tmp_path_factory.mktemp("registry")
    if request.param == "basic":
        with registries.running_registry(folder, registries.basic(folder)) as host:
            yield Registry(host, folder, None)
        return
    certificate, key = make_certificate(folder)
    service = TokenService({USER: PASSWORD}, certificate, key)
    with answering(service) as served:
        auth = registries.token(f"http://{served.host}/token", certificate)
        with registries.running_registry(folder, auth) as host:
            yield Registry(host, folder, service)


@pytest.fixture(scope="module")
def pushed(registry: Registry) -> Iterator[tuple[str, Image, Image]]:
    """Push an image; return its name, and the image as it was before and after the push."""
    name = registry.name("acme/ml:1.4")
    with loaded(name) as before:
        push(registry, name)
        engine = DockerEngine()
        after = engine.resolve(name, "never")
        engine.close()
        yield name, before, after


def ask(
    name: str, image: Image, credentials: Credentials | None = RIGHT, workers: int = 0
) -> Preflight:
    login = credentials and {"username": credentials.user, "password": credentials.password}
    spec: Mapping[str, Any] = {
        "docker_image": {"url": name, **({"basic_auth": login} if login else {})},
        "num_workers": workers,
    }
    found = preflight.ask(of_spec(spec, {}), image)
    assert "password" not in repr(found).replace("basic", "")
    return found


def broken(found: Preflight, image: Image) -> list[str]:
    """Return the names of the rules that a registry's answer breaks."""
    names = []
    for check in ALL_RULES:
        try:
            check(found)
        except RuleBroken:
            names.append(check.__name__)
        except Blocked:
            continue
    try:
        checks.test_registry_has_the_tested_image(found, image)
    except RuleBroken:
        names.append("test_registry_has_the_tested_image")
    except Blocked:
        pass
    return names


def test_the_pushed_image_is_the_tested_one_and_breaks_no_rule(
    pushed: tuple[str, Image, Image],
) -> None:
    name, before, after = pushed
    assert before.digest is None
    assert after.digest is not None
    for image in (before, after):
        found = ask(name, image)
        assert (found.status, found.is_tested) == (Status.FOUND, True), found
        assert found.platforms == ("linux/amd64",)
        assert found.digest == after.digest
        assert broken(found, image) == []


def test_an_image_by_its_digest(pushed: tuple[str, Image, Image]) -> None:
    name, _, after = pushed
    found = ask(f"{name}@{after.digest}", after)
    assert (found.status, found.is_tested, found.is_floating) == (Status.FOUND, True, False)


def test_a_wrong_password(pushed: tuple[str, Image, Image]) -> None:
    name, image, _ = pushed
    found = ask(name, image, WRONG)
    assert found.status is Status.BAD_CREDENTIALS
    assert "wrong-password" not in str(found)
    assert broken(found, image) == ["test_registry_lets_the_nodes_in"]


def test_no_login_for_a_private_image(pushed: tuple[str, Image, Image]) -> None:
    name, image, _ = pushed
    found = ask(name, image, None)
    assert found.status is Status.LOGIN_WANTED
    assert broken(found, image) == ["test_registry_lets_the_nodes_in"]


def test_a_token_service_that_refuses_who_has_no_login(
    registry: Registry, pushed: tuple[str, Image, Image]
) -> None:
    if registry.service is None:
        pytest.skip("is about token services")
    name, image, _ = pushed
    registry.service.refuses_the_unknown = True
    try:
        assert ask(name, image, None).status is Status.LOGIN_WANTED
    finally:
        registry.service.refuses_the_unknown = False


def test_a_tag_that_was_never_pushed(pushed: tuple[str, Image, Image]) -> None:
    name, image, _ = pushed
    found = ask(f"{name}-gone", image)
    assert found.status is Status.NOT_FOUND
    assert broken(found, image) == ["test_image_is_in_the_registry"]


def test_another_image_under_the_tag(registry: Registry, pushed: tuple[str, Image, Image]) -> None:
    name, _, after = pushed
    with loaded(registry.name("acme/other:1")) as other:
        found = ask(name, other)
    assert (found.status, found.is_tested) == (Status.FOUND, False)
    assert found.digest == after.digest
    assert broken(found, other) == ["test_registry_has_the_tested_image"]


def test_an_image_for_another_platform(
    registry: Registry, pushed: tuple[str, Image, Image]
) -> None:
    name = registry.name("acme/arm:1")
    with loaded(name, "arm64"):
        push(registry, name)
        found = ask(name, pushed[1])
    assert found.platforms == ("linux/arm64",)
    # Both are true of it; the rule about the platform blocks the other.
    assert broken(found, pushed[1]) == [
        "test_registry_has_linux_amd64",
        "test_registry_has_the_tested_image",
    ]


def test_a_moving_tag_is_advice(registry: Registry) -> None:
    name = registry.name("acme/moving:latest")
    with loaded(name) as image:
        push(registry, name)
        found = ask(name, image)
        assert found.status is Status.FOUND
        assert broken(found, image) == ["test_tag_is_not_a_moving_one"]


def an_index(*digests: tuple[str, str]) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [
                {
                    "mediaType": DOCKER_MANIFEST,
                    "digest": digest,
                    "size": 1,
                    "platform": dict(zip(("os", "architecture"), platform.split("/"), strict=True)),
                }
                for digest, platform in digests
            ],
        }
    ).encode()


def test_the_tested_image_is_found_in_an_index(
    registry: Registry, pushed: tuple[str, Image, Image]
) -> None:
    name, before, after = pushed
    assert after.digest is not None
    document = json.loads(registry.get("acme/ml", f"manifests/{after.digest}", DOCKER_MANIFEST))
    other = registry.put_manifest(
        "acme/ml", "other", json.dumps({**document, "x": 1}).encode(), DOCKER_MANIFEST
    )
    entries = ((other, "linux/arm64"), (after.digest, "linux/amd64"), (other, "unknown/unknown"))
    registry.put_manifest("acme/ml", "index", an_index(*entries), OCI_INDEX)
    for image in (before, after):
        found = ask(f"{name.rpartition(':')[0]}:index", image)
        assert found.is_tested is True
        assert found.platforms == ("linux/arm64", "linux/amd64")
        assert broken(found, image) == []


def test_an_index_without_an_image_for_clusters(
    registry: Registry, pushed: tuple[str, Image, Image]
) -> None:
    name, image, after = pushed
    assert after.digest is not None
    registry.put_manifest("acme/ml", "arm", an_index((after.digest, "linux/arm64")), OCI_INDEX)
    found = ask(f"{name.rpartition(':')[0]}:arm", image)
    assert (found.platforms, found.is_tested) == (("linux/arm64",), None)
    assert "test_registry_has_linux_amd64" in broken_until_known(found)


def broken_until_known(found: Preflight) -> list[str]:
    """Return what is broken where it is not known which image it is."""
    names = []
    for check in ALL_RULES:
        try:
            check(found)
        except RuleBroken:
            names.append(check.__name__)
    return names


@pytest.mark.parametrize(("environment", "is_tested"), [("PATH=/bin", True), ("PATH=/sbin", False)])
def test_what_a_container_sees_decides_whether_it_is_the_same_image(
    registry: Registry, pushed: tuple[str, Image, Image], environment: str, is_tested: bool
) -> None:
    # Another tool packs the same layers anew and writes the config in its own way.
    layer = archive({"file": os.urandom(16)})
    config = config_for(layer, Env=[environment])
    tested = json.loads(json.dumps(config_for(layer)))
    packed = registry.put_blob("acme/ml", gzip.compress(layer, 1))
    written = json.dumps(config, indent=3).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": registry.put_blob("acme/ml", written),
            "size": len(written),
        },
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": packed,
                "size": len(gzip.compress(layer, 1)),
            }
        ],
    }
    registry.put_manifest("acme/ml", "anew", json.dumps(document).encode(), OCI_MANIFEST)
    name, image, _ = pushed
    local = replace(image, id="sha256:" + "0" * 64, config=parse_config(tested))
    found = ask(f"{name.rpartition(':')[0]}:anew", local)
    assert (found.status, found.is_tested, found.platforms) == (
        Status.FOUND,
        is_tested,
        ("linux/amd64",),
    )


def run_rules(
    pytester: pytest.Pytester, name: str, *options: str, **environment: str
) -> pytest.RunResult:
    """Run the rules about registries on an image as a user does, without launching anything."""
    for variable, value in environment.items():
        pytester._monkeypatch.setenv(variable, value)
    return pytester.runpytest_subprocess(
        f"--dcs-image={name}",
        "--dcs-runtime=15.4",
        "--dcs-profile=minimal",
        "--dcs-select=REG",
        "--dcs-remote",
        "--dcs-remote-node-type=i3.xlarge",
        *options,
        timeout=120,
    )


def test_a_run_with_the_right_login_is_green(
    pytester: pytest.Pytester, workspace: Workspace, pushed: tuple[str, Image, Image]
) -> None:
    login = {USER_VARIABLE: USER, PASSWORD_VARIABLE: PASSWORD}
    result = run_rules(pytester, pushed[0], "--log-level=DEBUG", "-rA", **login)
    result.assert_outcomes(passed=7)
    assert result.ret == 0
    result.stdout.no_fnmatch_line(f"*{PASSWORD}*")


def test_a_run_with_the_wrong_login_says_what_to_do_and_shows_no_password(
    pytester: pytest.Pytester, workspace: Workspace, pushed: tuple[str, Image, Image]
) -> None:
    login = {USER_VARIABLE: USER, PASSWORD_VARIABLE: "wrong-password"}
    options = ("--log-level=DEBUG", "-rA", "--showlocals", "--tb=long", "--junitxml=junit.xml")
    result = run_rules(pytester, pushed[0], *options, **login)
    result.assert_outcomes(failed=1, passed=3, skipped=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*REG002*", "*needed a login that may pull the image*"])
    result.stdout.fnmatch_lines(["*blocked by REG002 registry-lets-the-nodes-in*"])
    files = (pytester.path / "junit.xml").read_text()
    assert "wrong-password" not in f"{result.stdout}{result.stderr}{files}"


def test_half_a_login_ends_the_run_before_anything_is_asked(
    pytester: pytest.Pytester, workspace: Workspace, pushed: tuple[str, Image, Image]
) -> None:
    result = run_rules(pytester, pushed[0], **{PASSWORD_VARIABLE: "wrong-password"})
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{PASSWORD_VARIABLE} is set and {USER_VARIABLE} is not*"])
    assert "Traceback" not in f"{result.stdout}{result.stderr}"


def test_a_run_without_a_launch_asks_no_registry(
    pytester: pytest.Pytester, pushed: tuple[str, Image, Image]
) -> None:
    result = pytester.runpytest_subprocess(
        f"--dcs-image={pushed[0]}", "--dcs-runtime=15.4", "--dcs-select=REG", timeout=120
    )
    assert result.parseoutcomes().keys() == {"deselected"}
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
