"""Behaviour of a file that is made while it is read."""

from __future__ import annotations

import io

import pytest

from pytest_dcs.pieces import Pieces


def made_of(*pieces: bytes) -> io.BufferedReader:
    return io.BufferedReader(Pieces(iter(pieces)), 4)


def test_pieces_of_any_size_are_one_file() -> None:
    assert made_of(b"", b"ab", b"", b"cdefghij").read() == b"abcdefghij"


def test_what_lies_ahead_is_passed_over() -> None:
    file = made_of(b"abc", b"defghijkl", b"m")
    assert file.read(2) == b"ab"
    assert file.seek(7) == 7
    assert file.read(3) == b"hij"
    assert file.seek(2, io.SEEK_CUR) == 12
    assert file.read() == b"m"


def test_nobody_gets_beyond_the_end() -> None:
    file = Pieces(iter([b"abc"]))
    assert file.seek(10) == 3
    assert file.read() == b""


@pytest.mark.parametrize(("offset", "whence"), [(1, io.SEEK_SET), (-1, io.SEEK_CUR), (0, 2)])
def test_there_is_no_way_back(offset: int, whence: int) -> None:
    file = Pieces(iter([b"abcdef"]))
    file.read(3)
    with pytest.raises(io.UnsupportedOperation, match="only go forward"):
        file.seek(offset, whence)
