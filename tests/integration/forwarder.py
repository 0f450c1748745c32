"""A server on 127.0.0.1 that passes connections on to the engine's Unix socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

SOCKET = "/var/run/docker.sock"


class Forwarder:
    """Makes the local engine reachable over TCP, and TLS, until `close` breaks all connections."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"tcp://{host}:{port}"

    def close(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as engine:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            engine.connect(SOCKET)
            self._open += [client, engine]
            answers = threading.Thread(target=_copy, args=(engine, client), daemon=True)
            answers.start()
            _copy(client, engine)
            answers.join()
            client.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        socket.socket.shutdown(target, socket.SHUT_WR)
