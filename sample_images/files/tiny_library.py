"""Writes a tiny shared library for x86-64, for images that imitate one of a gigabyte.

`tiny_library.py FILE SONAME [FUNCTION=NUMBER]`

Its one function returns the number, as `cudnnGetVersion` does. The parts of the file are those of
https://man7.org/linux/man-pages/man5/elf.5.html
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = 0x1000
"""Where all but the headers lies, in the file and in memory."""
NEEDED, HASH, STRTAB, SYMTAB, RELA, RELASZ, RELAENT = 1, 4, 5, 6, 7, 8, 9
STRSZ, SYMENT, SONAME, BIND_NOW, RUNPATH = 10, 11, 14, 24, 29
GLOBAL_FUNCTION = 0x12
ABSOLUTE_ADDRESS = 1
LOAD, DYNAMIC = 1, 2
ALL_RIGHTS = 7


def library(
    soname: str,
    function: str = "",
    number: int = 0,
    needs: Sequence[str] = (),
    runpath: str = "",
    undefined: str = "",
) -> bytes:
    """Return a library that needs others, or one symbol that it has not itself."""
    strings, offsets = b"\0", {}
    for text in filter(None, (soname, function, runpath, undefined, *needs)):
        offsets[text] = len(strings)
        strings += text.encode() + b"\0"
    symbols = [symbol for symbol in (function, undefined) if symbol]
    code = b"\xb8" + struct.pack("<I", number) + b"\xc3"  # mov eax, number; ret
    table = bytes(24)
    for symbol in symbols:
        # The code comes first.
        place = (1, BASE, len(code)) if symbol == function else (0, 0, 0)
        table += struct.pack("<IBBHQQ", offsets[symbol], GLOBAL_FUNCTION, 0, *place)
    # One bucket, whose chain leads through all symbols.
    chain = [0, *range(2, len(symbols) + 1), 0][: len(symbols) + 1]
    buckets = struct.pack(f"<{3 + len(chain)}I", 1, len(chain), min(len(symbols), 1), *chain)

    body, places = b"", {}
    for name, content in (
        ("code", code),
        ("strings", strings),
        ("symbols", table),
        ("hash", buckets),
        ("target", bytes(8)),
    ):
        places[name] = BASE + len(body)
        body += content.ljust(len(content) + -len(content) % 8, b"\0")
    entries = [
        *((NEEDED, offsets[each]) for each in needs),
        (SONAME, offsets[soname]),
        (HASH, places["hash"]),
        (STRTAB, places["strings"]),
        (STRSZ, len(strings)),
        (SYMTAB, places["symbols"]),
        (SYMENT, 24),
        (BIND_NOW, 0),
    ]
    if runpath:
        entries.append((RUNPATH, offsets[runpath]))
    if undefined:
        entries += [(RELA, BASE + len(body)), (RELASZ, 24), (RELAENT, 24)]
        kind = len(symbols) << 32 | ABSOLUTE_ADDRESS
        body += struct.pack("<QQq", places["target"], kind, 0)
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in (*entries, (0, 0)))
    return headers(len(body), len(dynamic)).ljust(BASE, b"\0") + body + dynamic


def headers(body: int, dynamic: int) -> bytes:
    """Return the headers before a body and a dynamic section of so many bytes."""
    identity = (b"\x7fELF", 2, 1, 1, 0)
    shared_for_x86_64 = (3, 62, 1, 0)
    sizes = (64, 0, 0, 64, 56, 2, 64, 0, 0)
    total, start = body + dynamic, BASE + body
    return (
        struct.pack("<4sBBBB8xHHIQQQIHHHHHH", *identity, *shared_for_x86_64, *sizes)
        + struct.pack("<IIQQQQQQ", LOAD, ALL_RIGHTS, BASE, BASE, BASE, total, total, BASE)
        + struct.pack("<IIQQQQQQ", DYNAMIC, ALL_RIGHTS, *[start] * 3, *[dynamic] * 2, 8)
    )


if __name__ == "__main__":
    _, path, soname, *rest = sys.argv
    function, _, number = (rest or [""])[0].partition("=")
    Path(path).write_bytes(library(soname, function, int(number or 0)))
