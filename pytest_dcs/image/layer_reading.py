"""Reads layers: one pass over each layer's tar, in bounded memory."""

from __future__ import annotations

import gzip
import io
import posixpath
import sys
import tarfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from pytest_dcs.image.layers import File, FileKind, Layer
from pytest_dcs.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dcs.image.layers import Reader

BROKEN = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile)
"""What is raised on reading something that is no layer."""

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
BLOCK = 1 << 20
"""Bytes that are read at a time."""

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

KINDS: dict[bytes, FileKind] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}


def read_layer(stream: IO[bytes], digest: str, readers: Sequence[Reader]) -> Layer:
    """Return what a layer's tar brings; raises what `BROKEN` names."""
    files: list[File] = []
    removed: list[str] = []
    emptied: list[str] = []
    notes: dict[str, list[Any]] = {reader.name: [] for reader in readers}
    with (
        decompressed(stream) as content,
        tarfile.open(fileobj=content, mode="r:") as tar,
    ):
        while (member := tar.next()) is not None:
            # It keeps all members for a way back, which a stream has not.
            cast("Any", tar).members.clear()
            folder, name = posixpath.split(posixpath.normpath(f"/{member.name}"))
            if name == OPAQUE:
                emptied.append(folder)
            elif name.startswith(WHITEOUT):
                removed.append(posixpath.join(folder, name.removeprefix(WHITEOUT)))
            else:
                file = file_of(posixpath.join(folder, name), member)
                files.append(file)
                note(file, tar, member, readers, notes)
    return Layer(
        digest=digest,
        size=sum(file.size for file in files),
        files=tuple(files),
        removed=tuple(removed),
        emptied=tuple(emptied),
        notes={name: tuple(found) for name, found in notes.items() if found},
    )


def file_of(path: str, member: tarfile.TarInfo) -> File:
    """Return what the header of a file says."""
    return File(
        path=path,
        kind=KINDS.get(member.type, "other"),
        mode=member.mode,
        uid=member.uid,
        gid=member.gid,
        size=member.size if member.isreg() else 0,
        link=member.linkname,
    )


def note(
    file: File,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    readers: Sequence[Reader],
    notes: dict[str, list[Any]],
) -> None:
    """Let the first reader that wants a file look into it: a stream passes once."""
    if file.kind != "file":
        return
    for reader in readers:
        if reader.wants(file):
            content = tar.extractfile(member)
            if content is not None:
                notes[reader.name] += reader.read(file, content)
            return


@contextmanager
def decompressed(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give the bytes of a tar that may be compressed, whatever its media type says."""
    buffered = io.BufferedReader(cast("io.RawIOBase", stream), BLOCK)
    head = buffered.peek(len(ZSTD))
    try:
        if head.startswith(GZIP):
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=buffered))
        elif head.startswith(ZSTD):
            with zstd_content(buffered) as content:
                yield forward(content)
        elif stream.seekable():
            yield buffered
        else:
            yield forward(buffered)
    finally:
        # It would close the stream, which is not its own.
        buffered.detach()


@contextmanager
def zstd_content(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Give what zstd has compressed; a run that reads no such layer needs no zstd."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        msg = f"it is compressed by zstd, which this Python cannot read: {error}"
        raise tarfile.ReadError(msg) from None

    try:
        yield cast("IO[bytes]", zstd.ZstdFile(stream))
    except zstd.ZstdError as error:
        raise tarfile.ReadError(str(error)) from error


def forward(stream: IO[bytes]) -> IO[bytes]:
    """Let a reader skip ahead in a stream that cannot seek: no tar asks for more."""
    return cast("IO[bytes]", Pieces(iter(lambda: stream.read(BLOCK), b"")))
