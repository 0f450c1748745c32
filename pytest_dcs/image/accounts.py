"""Looks into the files of accounts and tells who may log in by a password, and never by which."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image.layers import File, Layers

PasswordState = Literal["empty", "set"]

PASSWD, SHADOW = "/etc/passwd", "/etc/shadow"
LARGEST = 1_048_576
"""Bytes."""
LOCKED = ("!", "*")
IN_SHADOW = "x"


class AccountFiles:
    """The reader that notes accounts whose password is empty or set.

    https://man7.org/linux/man-pages/man5/shadow.5.html
    """

    name = "accounts"
    version = 1

    def wants(self, file: File) -> bool:
        """Tell whether a file says which passwords there are."""
        return file.path in {PASSWD, SHADOW} and file.size <= LARGEST

    def read(self, file: File, content: IO[bytes]) -> Iterator[Mapping[str, Any]]:
        """Yield a note for each account that can be entered by a password, or without one."""
        for line in content.read(LARGEST).decode(errors="replace").splitlines():
            user, separator, rest = line.partition(":")
            password = rest.partition(":")[0]
            if not user or not separator or password.startswith(LOCKED):
                continue
            if file.path == PASSWD and password == IN_SHADOW:
                continue
            yield {"path": file.path, "user": user, "password": "set" if password else "empty"}


def passwords_of(layers: Layers) -> Mapping[str, PasswordState]:
    """Return who can be entered by a password that is set or empty, as a container sees it.

    An image of which no layer has the files has nobody.
    """
    found: dict[str, PasswordState] = {}
    for path in (PASSWD, SHADOW):
        if path not in layers.merged:
            continue
        newest = next(
            layer
            for layer in reversed(layers.layers)
            if any(file.path == path for file in layer.files)
        )
        for note in newest.notes.get(AccountFiles.name, ()):
            if note["path"] == path:
                found.setdefault(note["user"], note["password"])
    return found
