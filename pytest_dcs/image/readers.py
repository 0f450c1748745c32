"""What looks into the files of layers while they stream by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.image.accounts import AccountFiles
from pytest_dcs.image.loader_files import LoaderFiles
from pytest_dcs.image.secret_files import SecretFiles

if TYPE_CHECKING:
    from pytest_dcs.image.layers import Reader

READERS: tuple[Reader, ...] = (SecretFiles(), AccountFiles(), LoaderFiles())
"""The first that wants a file gets it."""
