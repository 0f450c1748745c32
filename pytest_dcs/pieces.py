"""A file whose content is made while it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer


class Pieces(io.RawIOBase):
    """A file made of pieces of any size, in which one can only go forward."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether `seek` may be called: for what lies ahead."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Pass over what lies before a position, and return where that ended.

        Raises `io.UnsupportedOperation` for what lies behind, or counts from the end.
        """
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self._position:
            msg = "one can only go forward"
            raise io.UnsupportedOperation(msg)
        while self._position < target and self._more():
            self._take(target - self._position)
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer, and return how many bytes."""
        if not self._more():
            return 0
        target = memoryview(buffer)
        taken = self._take(len(target))
        target[: len(taken)] = taken
        return len(taken)

    def _more(self) -> bool:
        """Have bytes at hand; False at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._rest = memoryview(piece)
        return True

    def _take(self, size: int) -> memoryview:
        """Return at most so many of the bytes at hand, and pass over them."""
        taken, self._rest = self._rest[:size], self._rest[size:]
        self._position += len(taken)
        return taken
