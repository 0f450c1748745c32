"""Requests that end in time and that carry a login to one host only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import ConnectTimeout, ReadTimeout, SSLError
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from pytest_dcs.remote.registry.hosts import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest, Response

CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 30.0
MOST_BYTES = 8 << 20
"""Registries take manifests of up to four megabytes; configs are smaller."""
BLOCK = 1 << 16
REDIRECTS = 5
LONGEST_REASON = 200
FAULTS = (requests.RequestException, HTTPError, OSError, ValueError)
"""What asking can end with; hosts and headers that cannot be written are `ValueError`."""
RETRIES = Retry(
    total=2,
    read=1,
    backoff_factor=0.5,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods=("GET", "HEAD"),
    respect_retry_after_header=False,
    raise_on_status=False,
)


class Unsafe(Exception):
    """A server leads to where nothing may be sent; the message says how."""


class Login(AuthBase):
    """Sends one header `Authorization`, or none at all: without it, ~/.netrc would be asked."""

    def __init__(self, header: str = "") -> None:
        self._header = header

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the header on a request."""
        if self._header:
            request.headers["Authorization"] = self._header
        return request


class Transport:
    """Connections for asking one registry and the services that it names."""

    def __init__(self, root: str) -> None:
        self.root = root
        """Where the registry's addresses begin."""
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=RETRIES))

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def send(
        self,
        method: str,
        address: str,
        *,
        login: Login,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and follow where it leads; another host than the first gets no login.

        Raises `Unsafe` and what is in `FAULTS`. The caller closes the answer.
        """
        first = origin(address)
        for _ in range(REDIRECTS + 1):
            if not self.is_safe(address):
                msg = f"leads to {address[:LONGEST_REASON]!r}, without TLS"
                raise Unsafe(msg)
            response = self._session.request(
                method,
                address,
                params=query,
                headers=headers,
                auth=login if origin(address) == first else Login(),
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                allow_redirects=False,
                stream=True,
            )
            if not response.is_redirect:
                return response
            address, query = urljoin(address, response.headers["Location"]), None
            response.close()
        msg = "leads on and on"
        raise Unsafe(msg)

    def is_safe(self, address: str) -> bool:
        """Tell whether an address has TLS, or is on this machine as the registry itself is."""
        parts = urlsplit(address)
        if parts.scheme == "https":
            return bool(parts.hostname)
        of_this_machine = self.root.startswith("http:") and is_loopback(parts.netloc)
        return parts.scheme == "http" and of_this_machine


def read(response: Response) -> bytes:
    """Return the body of an answer; raises `ValueError` for a boundless one."""
    body = bytearray()
    for block in response.iter_content(BLOCK):
        body += block
        if len(body) > MOST_BYTES:
            msg = f"an answer of more than {MOST_BYTES:,} bytes"
            raise ValueError(msg)
    return bytes(body)


def origin(address: str) -> tuple[str, str]:
    """Return what must be the same for a login to be sent along."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def told(error: Exception) -> str:
    """Return why there was no answer, without what libraries say of themselves."""
    if isinstance(error, Unsafe):
        return str(error)
    if isinstance(error, ConnectTimeout):
        return f"does not answer within {CONNECT_TIMEOUT:.0f} s"
    if isinstance(error, ReadTimeout):
        return "does not finish its answer in time"
    if isinstance(error, SSLError):
        return f"has no certificate that is trusted here ({innermost(error)})"
    if isinstance(error, (requests.ConnectionError, HTTPError)):
        return f"cannot be reached ({innermost(error)})"
    return f"gives no usable answer ({innermost(error)})"


def innermost(error: BaseException) -> str:
    """Return the reason at the bottom of an exception, shortened."""
    inner: Any = error
    for _ in range(REDIRECTS):
        causes = (getattr(inner, "reason", None), *getattr(inner, "args", ()))
        below = next((each for each in causes if isinstance(each, BaseException)), None)
        if below is None:
            break
        inner = below
    return " ".join(str(inner).split())[:LONGEST_REASON] or type(inner).__name__
