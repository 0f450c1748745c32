"""The HTTP side of the workspace, on the loopback alone."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from tests.remote.standin import requests, routes
from tests.remote.standin.faults import CODES, Fault
from tests.remote.standin.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.remote.standin.requests import Recorded, Request
    from tests.remote.standin.state import State

OPEN_PATHS = ("/.well-known/", "/oidc/.well-known/")
"""What is answered to everyone."""
CLIENT_ID = "pytest-dcs"
LARGEST_BODY = 256 << 20


class Server:
    """Answers requests in threads of its own until it is closed."""

    def __init__(self, state: State, port: int = 0) -> None:
        self.state = state
        self.requests: list[Recorded] = []
        """All requests in their order."""
        self.unknown: list[str] = []
        """Requests that this workspace does not know, which no test may send."""
        self.crashes: list[BaseException] = []
        """What has failed in here."""
        self.faults: list[Fault] = []
        self.arrived = threading.Condition()
        self.told: Callable[[Recorded], None] = lambda _: None
        """Is given every request, for those who watch."""
        handler = type("Handler", (_Handler,), {"server_of_workspace": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        state.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="workspace", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer nothing any more."""
        for fault in self.faults:
            fault.release()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> tuple[int, dict[str, Any] | None]:
        """Do what is asked and return the status and the JSON."""
        handler = routes.find(request.method, request.path)
        if handler is None:
            self.unknown.append(f"{request.method} {request.path}")
            return 404, _error("ENDPOINT_NOT_FOUND", f"No API found for {request.path}")
        try:
            with self.state.lock:
                self.state.settle()
                answer = handler(self.state, request)
        except Refusal as refusal:
            return refusal.status, _error(refusal.code, refusal.message)
        except Exception as error:
            self.crashes.append(error)
            return 500, _error("INTERNAL_ERROR", f"the stand-in has failed: {error!r}")
        if answer is None:
            return (204 if request.method in {"PUT", "PATCH", "DELETE"} else 200), None
        return 200, dict(answer)

    def fault_for(self, request: Request) -> Fault | None:
        """Return the fault that this request meets; every one counts it."""
        met = [fault for fault in self.faults if fault.meets(request.method, request.path)]
        return met[0] if met else None

    def note(self, request: Request, status: int, agent: str) -> None:
        """Keep a request, without what is secret."""
        kept = requests.recorded(request, status, agent)
        with self.arrived:
            self.requests.append(kept)
            self.arrived.notify_all()
        self.told(kept)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go out in two writes, of which the second would wait for the first's receipt.
    disable_nagle_algorithm = True
    server_of_workspace: Server

    def _serve(self) -> None:
        with suppress(ConnectionError, BrokenPipeError):
            self._answer()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Write nothing: what came is in `requests`."""

    def _answer(self) -> None:
        server = self.server_of_workspace
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self._send(413, _error("REQUEST_TOO_LARGE", "too large"))
            return
        content = self.rfile.read(length)
        agent = self.headers.get("User-Agent", "")
        try:
            kind = self.headers.get("Content-Type", "")
            request = requests.read(self.command, self.path, kind, content)
        except Refusal as refusal:
            self._send(refusal.status, _error(refusal.code, refusal.message))
            return
        refusal_of_token = self._refusal_of_token(request)
        if refusal_of_token is not None:
            server.note(request, refusal_of_token[0], agent)
            self._send(*refusal_of_token)
            return
        fault = server.fault_for(request)
        if fault is not None and fault.kind == "closed":
            server.note(request, 0, agent)
            self._hang_up()
        elif fault is not None and fault.kind == "status":
            server.note(request, fault.status, agent)
            more = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._send(
                fault.status, _error(CODES.get(fault.status, "UNKNOWN"), fault.message), more
            )
        else:
            status, answer = server.answer(request)
            broken_off = fault is not None and fault.kind in {"half", "dropped"}
            server.note(request, 0 if broken_off else status, agent)
            if fault is not None and fault.kind == "stalled":
                fault.hold()
            if fault is not None and fault.kind == "dropped":
                self._hang_up()
            else:
                self._send(status, answer, half=fault is not None and fault.kind == "half")

    def _refusal_of_token(self, request: Request) -> tuple[int, dict[str, Any]] | None:
        if request.path.startswith(OPEN_PATHS):
            return None
        state = self.server_of_workspace.state
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if request.path == "/oidc/v1/token":
            wanted = base64.b64encode(f"{CLIENT_ID}:{state.client_secret}".encode()).decode()
            if (scheme, given) == ("Basic", wanted):
                return None
            return 401, {"error": "invalid_client", "error_description": "Client authentication"}
        if scheme != "Bearer":
            message = "Credential was not sent or was of an unsupported type for this API."
            return 401, _error("UNAUTHENTICATED", message)
        if given != state.token:
            return 403, _error("PERMISSION_DENIED", "Invalid access token.")
        return None

    def _send(
        self,
        status: int,
        answer: dict[str, Any] | None,
        more: dict[str, str] | None = None,
        *,
        half: bool = False,
    ) -> None:
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True


def _error(code: str, message: str) -> dict[str, Any]:
    """Return an error's body; API 1.2, which has no codes, has another one."""
    return {"error_code": code, "message": message} if code else {"error": message}
