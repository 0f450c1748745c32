"""Tar files made in memory."""

from __future__ import annotations

import io
import tarfile


def archive(files: dict[str, bytes]) -> bytes:
    """Return an uncompressed tar of files by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
