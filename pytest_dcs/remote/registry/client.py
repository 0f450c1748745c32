"""Asking one registry as the nodes would: the login that it wants, and what its answers mean.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pytest_dcs.image.reference import DEFAULT_REGISTRY
from pytest_dcs.remote.hiding import Secrets
from pytest_dcs.remote.registry import budget, challenge
from pytest_dcs.remote.registry.hosts import is_loopback
from pytest_dcs.remote.registry.status import Status
from pytest_dcs.remote.registry.transport import (
    FAULTS,
    Login,
    Transport,
    Unsafe,
    origin,
    read,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from requests import Response

    from pytest_dcs.remote.registry.budget import Budget
    from pytest_dcs.remote.registry.challenge import Challenge
    from pytest_dcs.remote.registry.pull import Credentials, Pull

DEFAULT_HOST = "registry-1.docker.io"
"""Where the registry `docker.io` answers."""
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 200, 401, 403, 404, 429


class Refused(Exception):
    """The registry does not give what was asked for, or does not answer."""

    def __init__(self, why: Status, detail: str, left: Budget | None = None) -> None:
        super().__init__(why, detail)
        self.why = why
        self.detail = detail
        self.left = left


class Answer(NamedTuple):
    """What a registry has given."""

    headers: Mapping[str, str]
    body: bytes


class TokenLogin(Login):
    """A login that a token service has given."""


class Client:
    """One registry, asked for one repository; its repr shows no login."""

    def __init__(self, pull: Pull) -> None:
        self._credentials = pull.credentials
        self._path = pull.reference.path
        registry = pull.reference.registry
        self.host = DEFAULT_HOST if registry == DEFAULT_REGISTRY else registry
        scheme = "http" if is_loopback(self.host) else "https"
        self._transport = Transport(f"{scheme}://{self.host}")
        self._login: Login | None = None
        self._secrets = Secrets()

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def manifest(self, method: Literal["GET", "HEAD"], name: str, types: Sequence[str]) -> Answer:
        """Return a manifest by its tag or digest; raises `Refused`.

        A GET counts as a pull where pulls are limited, a HEAD does not.
        """
        return self._ask(method, f"manifests/{name}", {"Accept": ", ".join(types)})

    def blob(self, digest: str) -> bytes:
        """Return a small blob; raises `Refused`, also where it is not what its digest says."""
        body = self._ask("GET", f"blobs/{digest}", {}).body
        if digest_of(body) != digest:
            raise Refused(Status.UNREACHABLE, f"{self.host} gives other bytes than {digest} names")
        return body

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        try:
            return self._answer(method, f"{self._transport.root}/v2/{self._path}/{path}", headers)
        except Refused as error:
            refused = Refused(error.why, self._secrets.hide(error.detail), error.left)
        except (Unsafe, *FAULTS) as error:
            refused = Refused(Status.UNREACHABLE, self._secrets.hide(f"{self.host} {told(error)}"))
        # Not chained: the libraries' frames have the login in their variables.
        raise refused

    def _answer(self, method: str, address: str, headers: Mapping[str, str]) -> Answer:
        login = self._login or Login()
        response = self._transport.send(method, address, headers=headers, login=login)
        is_own = origin(response.url) == origin(address)
        if response.status_code == UNAUTHORIZED and self._login is None and is_own:
            offered = challenge.parse(response.headers.get("WWW-Authenticate", ""))
            response.close()
            self._login = self._log_in(offered)
            response = self._transport.send(method, address, headers=headers, login=self._login)
        with response:
            self._refuse(response, elsewhere=origin(response.url) != origin(address))
            return Answer(response.headers, read(response))

    def _refuse(self, response: Response, *, elsewhere: bool) -> None:
        """Raise `Refused` unless an answer is what was asked for, here or where this host leads."""
        status, said = response.status_code, f"{self.host} answers with {response.status_code}"
        if status in {UNAUTHORIZED, FORBIDDEN} and elsewhere:
            there = urlsplit(response.url).netloc
            detail = f"{self.host} leads to {there}, which answers with {status}"
            raise Refused(Status.UNREACHABLE, detail)
        if status in {UNAUTHORIZED, FORBIDDEN} and self._credentials is None:
            raise Refused(Status.LOGIN_WANTED, said)
        if status == UNAUTHORIZED and not isinstance(self._login, TokenLogin):
            raise Refused(Status.BAD_CREDENTIALS, said)
        if status in {UNAUTHORIZED, FORBIDDEN}:
            raise Refused(Status.DENIED, said)
        if status == NOT_FOUND:
            raise Refused(Status.NOT_FOUND, said)
        refuse_otherwise(response, said)

    def _log_in(self, offered: Sequence[Challenge]) -> Login:
        """Return what to send along, as Docker does: a token where the registry takes one."""
        by_scheme = {each.scheme: each.parameters for each in reversed(offered)}
        if "bearer" in by_scheme:
            return self._token(by_scheme["bearer"])
        if "basic" not in by_scheme:
            wanted = ", ".join(by_scheme) or "it does not say which"
            detail = f"{self.host} wants a login that no node can give ({wanted})"
            raise Refused(Status.DENIED, detail)
        if self._credentials is None:
            raise Refused(Status.LOGIN_WANTED, f"{self.host} wants a login")
        return self._basic(self._credentials)

    def _basic(self, credentials: Credentials) -> Login:
        pair = base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()
        self._secrets.learn((credentials.password, pair))
        return Login(f"Basic {pair}")

    def _token(self, parameters: Mapping[str, str]) -> Login:
        """Return the login with a token of the service that the registry names."""
        realm = parameters.get("realm", "")
        said = f"the token service {urlsplit(realm).hostname or 'without a name'} of {self.host}"
        query = {"scope": parameters.get("scope") or f"repository:{self._path}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        login = Login() if self._credentials is None else self._basic(self._credentials)
        with self._transport.send("GET", realm, login=login, query=query) as response:
            status = response.status_code
            said = f"{said} answers with {status}"
            if status in {UNAUTHORIZED, FORBIDDEN}:
                refused = Status.BAD_CREDENTIALS if self._credentials else Status.LOGIN_WANTED
                raise Refused(refused, said)
            refuse_otherwise(response, said)
            document = as_object(read(response))
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise Refused(Status.UNREACHABLE, f"{said} and gives no token")
        self._secrets.learn((token,))
        return TokenLogin(f"Bearer {token}")


def refuse_otherwise(response: Response, said: str) -> None:
    """Raise `Refused` for an answer that is no success, whoever gives it."""
    if response.status_code == TOO_MANY:
        raise Refused(Status.RATE_LIMITED, said, budget.read(response.headers))
    if response.status_code != OK:
        raise Refused(Status.UNREACHABLE, said)


def as_object(body: bytes) -> Mapping[str, Any]:
    """Return a JSON object, an empty one for anything else."""
    with suppress(ValueError, RecursionError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    return {}


def digest_of(body: bytes) -> str:
    """Return the digest by which registries name these bytes."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
