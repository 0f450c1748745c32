"""The connection to an engine that speaks Docker's API, and what the SDK lacks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import docker
from docker.errors import DockerException, create_api_error_from_http_exception
from docker.tls import TLSConfig
from requests.exceptions import HTTPError as HTTPStatusError

from pytest_dcs import errors
from pytest_dcs.engines.docker_container import causes, root_cause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.endpoint import Endpoint

TIMEOUT = 120
"""Seconds that the engine may take for one answer, pulls excepted."""
SAVE_TIMEOUT = 900
"""Seconds until the first byte of a saved image: older engines copy it to a folder before."""
SAVE_BLOCK = 1 << 20
"""Bytes that are read at a time."""


class Client(docker.APIClient):
    """The SDK's client, which trusts the authority that the user gave for the engine."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Keep REQUESTS_CA_BUNDLE from replacing it: https://github.com/psf/requests/issues/3829."""
        own = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def connect(chosen: Endpoint) -> docker.APIClient:
    """Return a client for an engine; raises `EngineDenied` and `NoEngine`."""
    address, files = chosen.address, chosen.tls
    try:
        tls = files and TLSConfig(
            client_cert=(files.certificate, files.key) if files.certificate and files.key else None,
            ca_cert=files.authority,
            verify=files.verify,
        )
        return Client(address, version="auto", timeout=TIMEOUT, tls=tls or False)
    except (DockerException, OSError, ValueError) as error:
        if any(isinstance(cause, PermissionError) for cause in causes(error)):
            raise errors.EngineDenied(address) from error
        raise errors.NoEngine(address, root_cause(error)) from error


def saved(client: docker.APIClient, names: list[str]) -> Iterator[bytes]:
    """Return a tar of images in pieces; the SDK's own method takes one image.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageGetAll
    """
    address = f"{client.base_url}/v{client.api_version}/images/get"
    response = client.get(address, params={"names": names}, stream=True, timeout=SAVE_TIMEOUT)
    try:
        response.raise_for_status()
    except HTTPStatusError as error:
        raise create_api_error_from_http_exception(error) from error
    pieces: Iterator[bytes] = response.iter_content(SAVE_BLOCK)
    return pieces
