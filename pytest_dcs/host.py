"""The testinfra `Host` whose commands go through the long-lived shell of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

if TYPE_CHECKING:
    from pytest_dcs.shell import Shell


class ShellBackend(BaseBackend):  # type: ignore[misc]
    """What testinfra calls a connection."""

    NAME = "dcs"

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell.container.name)
        self._shell = shell

    def run(
        self, command: str, *args: str, timeout: float | None = None, **_: Any
    ) -> CommandResult:
        """Run a command; `timeout` replaces the limit of `--dcs-timeout` for this one.

        Raises `ShellError` where the command hangs, floods or ends its shell.
        """
        complete = self.get_command(command, *args)
        completed = self._shell.run(complete, timeout=timeout)
        return self.result(
            completed.returncode, self.encode(complete), completed.stdout, completed.stderr
        )

    def get_encoding(self) -> str:
        """Return UTF-8: testinfra would ask the image's Python, which may be what is broken."""
        return "utf-8"

    def decode(self, data: bytes) -> str:
        r"""Return the text, with `\xff` for a byte that is not UTF-8."""
        return data.decode(self.encoding, errors="backslashreplace")


def make_host(shell: Shell) -> Host:
    """Return the host over a shell, with all modules of testinfra."""
    backend = ShellBackend(shell)
    host = Host(backend)
    backend.set_host(host)
    return host
