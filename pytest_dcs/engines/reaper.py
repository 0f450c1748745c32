"""A small process that removes what a run started, however the run ends.

It runs as a script, with the standard library only, so that it starts in milliseconds and in
any environment: `python -I -S reaper.py`. Its stdin is a pipe whose other end the run holds: the
first line is an order as JSON, and the end of the pipe is the end of the run. A line `closed`
before it says that nothing is under way any more.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

PATIENCE = 60.0
"""Seconds after which the reaper gives up on an engine that does not let go of something."""
SETTLE = 3.0
"""Seconds in which a request that the dead run had sent may still take effect."""
PAUSE = 0.5
TIMEOUT = 30.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def connect(address: str, tls: dict[str, Any] | None) -> http.client.HTTPConnection:
    """Return a new connection to an engine's address, as DOCKER_HOST writes it."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return UnixConnection(parts.netloc + parts.path)
    if tls is None and parts.scheme != "https":
        return http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    tls = tls or {}
    context = ssl.create_default_context(cafile=tls.get("authority"))
    if not tls.get("verify", True):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.get("certificate"):
        context.load_cert_chain(tls["certificate"], tls.get("key"))
    return http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=context)


def call(order: dict[str, Any], method: str, path: str, **parameters: str) -> bytes:
    """Ask the engine for one thing and return its answer."""
    connection = connect(order["address"], order["tls"])
    try:
        connection.request(method, f"{path}?{urlencode(parameters)}")
        return connection.getresponse().read()
    finally:
        connection.close()


def remove(order: dict[str, Any]) -> int:
    """Remove what carries the order's label, unless it is to be kept; return how much there was."""
    filters = json.dumps({"label": [order["label"]]})
    found = 0
    for container in json.loads(call(order, "GET", "/containers/json", all="1", filters=filters)):
        if order["keep_label"] not in container["Labels"]:
            found += 1
            call(order, "DELETE", f"/containers/{quote(container['Id'])}", force="1", v="1")
    for network in json.loads(call(order, "GET", "/networks", filters=filters)):
        if order["keep_label"] not in network["Labels"]:
            found += 1
            call(order, "DELETE", f"/networks/{quote(network['Id'])}")
    return found


def main() -> None:
    """Wait for the end of the run, then remove what it left."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Whoever ends the run by a signal to all its processes must not end the clean-up too.
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    closed = sys.stdin.read() == "closed\n"
    started = time.monotonic()
    settled = started if closed else started + SETTLE
    while time.monotonic() < started + PATIENCE:
        try:
            left = remove(order)
        except (OSError, http.client.HTTPException, ValueError):
            left = 1
        if not left and time.monotonic() >= settled:
            return
        time.sleep(PAUSE)


if __name__ == "__main__":
    os.chdir("/")
    main()
