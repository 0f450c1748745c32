"""Talking to one Databricks workspace; the only importer of its SDK.

All is plain JSON: the SDK's dataclasses drop states and codes that they do not know.
"""

from __future__ import annotations

import base64
import io
import json
import os
from typing import TYPE_CHECKING, Any, cast

from pytest_dcs import __version__
from pytest_dcs.remote import errors, wire_log
from pytest_dcs.remote.clock import Clock
from pytest_dcs.remote.hiding import Secrets, Unshown, guard_loggers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from databricks.sdk.core import ApiClient, Config
    from requests import PreparedRequest, Response

RETRYING = 60
"""Seconds in which the SDK repeats a request that got no answer; its own default is 300."""
ONE_REQUEST = 30
"""Seconds after which a request without an answer counts as lost."""

PREFIXES = ("DATABRICKS_", "ARM_")
ME = "/api/2.0/preview/scim/v2/Me"
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY, SERVER_FAULT = 401, 403, 404, 429, 500


class Refused(Exception):
    """The workspace has answered a request with an error; no secret is in its text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code or status}: {message}")
        self.status = status
        self.code = code
        self.message = message

    @property
    def gone(self) -> bool:
        """Whether the error says that the thing asked for does not exist.

        Clusters answer 400 INVALID_PARAMETER_VALUE where other things answer 404.
        """
        return (
            self.status == NOT_FOUND
            or self.code == "RESOURCE_DOES_NOT_EXIST"
            or ("does not exist" in self.message and self.code == "INVALID_PARAMETER_VALUE")
        )

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.status == TOO_MANY or self.status >= SERVER_FAULT or self.status == 0


class Unanswered(Exception):
    """A request got no answer that can be trusted: it may have taken effect, or not."""


class Once:
    """The body of a request that must not be sent twice.

    The SDK repeats a request only if it can rewind the body, which this one cannot.
    https://github.com/databricks/databricks-sdk-py/blob/main/databricks/sdk/_base_client.py
    """

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class Workspace:
    """One workspace, as one caller."""

    def __init__(
        self,
        client: ApiClient,
        config: Config,
        secrets: Secrets,
        clock: Clock,
        log: wire_log.WireLog | None = None,
    ) -> None:
        self._client = client
        self._config = config
        self._log = log
        self.host = str(config.host)
        self.secrets = secrets
        self.clock = clock

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Ask for something; raises `Refused` and `Unanswered`."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any], *, once: bool = False) -> dict[str, Any]:
        """Change something; with `once` it is sent exactly once, whatever becomes of the answer.

        Without, it must be safe to repeat. Raises `Refused` and `Unanswered`.
        """
        return self._call("POST", path, body=body, once=once)

    def tail(self, path: str, size: int) -> bytes:
        """Return the end of a file that a cluster has written to DBFS or a volume."""
        if path.startswith("dbfs:/"):
            place = path.removeprefix("dbfs:")
            length = int(self.get("/api/2.0/dbfs/get-status", {"path": place}).get("file_size", 0))
            query = {"path": place, "offset": max(0, length - size), "length": size}
            return base64.b64decode(self.get("/api/2.0/dbfs/read", query).get("data", ""))
        headers = {"Range": f"bytes=-{size}"}
        answer = self._call("GET", f"/api/2.0/fs/files{path}", headers=headers, raw=True)
        with cast("Any", answer["contents"]) as stream:
            content: bytes = stream.read(size * 64)
        return content[-size:]

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
        raw: bool = False,
    ) -> dict[str, Any]:
        from databricks.sdk.core import DatabricksError
        from requests import RequestException

        exchange = wire_log.Exchange(method, path, query, body, download=raw)
        sent = {"Accept": "*/*" if raw else "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if workspace_id := getattr(self._config, "workspace_id", None):
            sent["X-Databricks-Workspace-Id"] = str(workspace_id)
        try:
            answer = self._client.do(
                method,
                path,
                query=dict(query) if query else None,
                headers=sent,
                data=None if body is None else stream(body, once=once),
                raw=raw,
                auth=self._signer(exchange),
            )
        except DatabricksError as error:
            code, message = str(error.error_code or ""), self.secrets.hide(str(error))
            raise Refused(exchange.status, code, message) from None
        except (RequestException, OSError, ValueError) as error:
            reason = self.secrets.hide(" ".join(reasons(error)))
            exchange.lost(reason)
            raise Unanswered(reason) from None
        except KeyboardInterrupt as interrupt:
            # Variables of the frames below have the token, and a full traceback can show them.
            raise interrupt.with_traceback(None) from None
        finally:
            if self._log:
                self._log.write(exchange)
        if not isinstance(answer, dict):
            message = f"{path} answered with something that is no object"
            raise Unanswered(message)
        return Unshown(answer)

    def _signer(self, exchange: wire_log.Exchange) -> Callable[[PreparedRequest], PreparedRequest]:
        def sign(request: PreparedRequest) -> PreparedRequest:
            headers = self._config.authenticate()
            # Tokens of OAuth come and go, so each is learnt when it is first used.
            self.secrets.learn(value.rpartition(" ")[2] for value in headers.values())
            request.headers.update(headers)
            cast("Any", request).register_hook("response", note)
            exchange.sent()
            return request

        def note(response: Response, **_: object) -> None:
            exchange.answered(response.status_code, response)

        return sign


def stream(body: Mapping[str, Any], *, once: bool) -> Once | io.BytesIO:
    """Return a body as the SDK sends it without writing any of it into its log."""
    content = json.dumps(body).encode()
    return Once(content) if once else io.BytesIO(content)


def reasons(error: BaseException) -> list[str]:
    """Return why a request failed, the innermost cause last."""
    cause = error.__cause__
    return [f"{type(error).__name__}: {error}", *(reasons(cause) if cause else ())]


def connect(record: Path | None = None, clock: Clock | None = None) -> Workspace:
    """Return the workspace that the environment or ~/.databrickscfg names, once it has answered.

    Raises `RemoteExtraMissing`, `NoCredentials`, `CredentialsRefused`, `WorkspaceUnreachable` and
    `RecordUnwritable`.
    """
    try:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.core import Config
    except ImportError as error:
        raise errors.RemoteExtraMissing(str(error)) from None
    clock = clock or Clock()
    own = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    secrets = Secrets(literal_credentials(own))
    guard_loggers("databricks", secrets)
    try:
        config = Config(
            product="pytest-dcs",
            product_version=__version__,
            retry_timeout_seconds=RETRYING,
            http_timeout_seconds=ONE_REQUEST,
            clock=cast("Any", clock),
        )
    except ValueError as error:
        raise errors.NoCredentials(secrets.hide(one_line(str(error)))) from None
    secrets.learn(literal_credentials(config.as_dict()))
    log = wire_log.WireLog(record, secrets, str(config.host)) if record else None
    workspace = Workspace(WorkspaceClient(config=config).api_client, config, secrets, clock, log)
    verify(workspace)
    return workspace


def verify(workspace: Workspace) -> None:
    """Raise what fits where the workspace does not answer or does not know the caller."""
    try:
        workspace.get(ME)
    except Refused as refused:
        if refused.status in (UNAUTHORIZED, FORBIDDEN):
            raise errors.CredentialsRefused(workspace.host, one_line(str(refused))) from None
        raise errors.WorkspaceUnreachable(workspace.host, one_line(str(refused))) from None
    except Unanswered as lost:
        raise errors.WorkspaceUnreachable(workspace.host, one_line(str(lost))) from None


def literal_credentials(settings: Mapping[str, Any]) -> Iterator[str]:
    """Return the values of the SDK's settings that nobody may read."""
    for name, value in settings.items():
        if isinstance(value, str) and name.lower().endswith(("token", "secret", "password")):
            yield value


def one_line(text: str) -> str:
    """Return a message without its line ends."""
    return " ".join(text.split())
