"""The engine is found where the Docker command line finds it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors
from pytest_dcs.engines.endpoint import DEFAULT_ADDRESS, Endpoint, Tls, choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., None]:
    """Write a context the way `docker context create` does."""

    def make(name: str, endpoint: dict[str, Any], certificates: tuple[str, ...] = ()) -> None:
        key = hashlib.sha256(name.encode()).hexdigest()
        meta = tmp_path / "contexts" / "meta" / key
        meta.mkdir(parents=True)
        document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
        (meta / "meta.json").write_text(json.dumps(document))
        if certificates:
            folder = tmp_path / "contexts" / "tls" / key / "docker"
            folder.mkdir(parents=True)
            for file in certificates:
                (folder / file).touch()

    return make


def test_without_any_setting_the_default_socket(tmp_path: Path) -> None:
    assert choose({"DOCKER_CONFIG": str(tmp_path)}) == Endpoint(DEFAULT_ADDRESS)


def test_the_home_directory_has_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "gone"}')
    with pytest.raises(errors.UnknownContext, match="no Docker context 'gone'"):
        choose({})


def test_docker_host_wins_over_contexts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "gone"}')
    environment = {
        "DOCKER_CONFIG": str(tmp_path),
        "DOCKER_CONTEXT": "gone",
        "DOCKER_HOST": "tcp://builder:2375",
    }
    assert choose(environment) == Endpoint("tcp://builder:2375")


def test_docker_context_wins_over_the_configuration(
    tmp_path: Path, make_context: Callable[..., None]
) -> None:
    make_context("one", {"Host": "unix:///run/one.sock"})
    make_context("two", {"Host": "unix:///run/two.sock"})
    (tmp_path / "config.json").write_text('{"currentContext": "one"}')
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    assert choose(environment).address == "unix:///run/one.sock"
    assert choose({**environment, "DOCKER_CONTEXT": "two"}).address == "unix:///run/two.sock"
    assert choose({**environment, "DOCKER_CONTEXT": "default"}).address == DEFAULT_ADDRESS


def test_a_context_is_found_without_a_configuration_file(
    tmp_path: Path, make_context: Callable[..., None]
) -> None:
    make_context("one", {"Host": "unix:///run/one.sock"})
    environment = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "one"}
    assert choose(environment).address == "unix:///run/one.sock"


def test_a_context_brings_its_certificates(
    tmp_path: Path, make_context: Callable[..., None]
) -> None:
    make_context("far", {"Host": "tcp://far:2376"}, ("ca.pem", "cert.pem", "key.pem"))
    make_context("lax", {"Host": "tcp://lax:2376", "SkipTLSVerify": True})
    make_context("plain", {"Host": "tcp://plain:2375", "SkipTLSVerify": False})
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    tls = choose({**environment, "DOCKER_CONTEXT": "far"}).tls
    assert tls is not None
    assert tls.verify
    for path, name in ((tls.authority, "ca"), (tls.certificate, "cert"), (tls.key, "key")):
        assert path is not None
        assert path.endswith(f"/docker/{name}.pem")
    assert choose({**environment, "DOCKER_CONTEXT": "lax"}).tls == Tls(verify=False)
    assert choose({**environment, "DOCKER_CONTEXT": "plain"}).tls is None


def test_docker_cert_path_and_tls_verify(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").touch()
    environment = {"DOCKER_HOST": "tcp://far:2376", "DOCKER_CERT_PATH": str(tmp_path)}
    files = (str(tmp_path / "ca.pem"), str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    assert choose(environment).tls == Tls(*files, verify=False)
    assert choose({**environment, "DOCKER_TLS_VERIFY": "1"}).tls == Tls(*files, verify=True)
    assert choose({**environment, "DOCKER_HOST": "unix:///run/docker.sock"}).tls is None


@pytest.mark.parametrize("address", ["ssh://user@builder", "fd://", "npipe:////./pipe/docker"])
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(errors.UnsupportedAddress, match=r"ssh -nNT -L"):
        choose({"DOCKER_HOST": address})


def test_a_configuration_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(errors.BrokenFile, match=r"config\.json: cannot be read"):
        choose({"DOCKER_CONFIG": str(tmp_path)})
