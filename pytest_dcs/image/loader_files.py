"""Looks into the files that tell the dynamic loader which folders have libraries."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image.layers import File, Layers

CONF, CONF_FOLDER = "/etc/ld.so.conf", "/etc/ld.so.conf.d/"
LARGEST = 65_536
"""Bytes."""


class LoaderFiles:
    """The reader that notes the folders that `ldconfig` looks into.

    https://man7.org/linux/man-pages/man8/ldconfig.8.html
    """

    name = "loader"
    version = 1

    def wants(self, file: File) -> bool:
        """Tell whether a file names folders of libraries."""
        is_one = file.path == CONF or (
            file.path.startswith(CONF_FOLDER) and file.path.endswith(".conf")
        )
        return is_one and file.size <= LARGEST

    def read(self, file: File, content: IO[bytes]) -> Iterator[Mapping[str, Any]]:
        """Yield a note for each folder; `include` names files that are looked into anyway."""
        for line in content.read(LARGEST).decode(errors="replace").splitlines():
            folder = line.partition("#")[0].strip().partition("=")[0]
            if folder.startswith("/"):
                yield {"path": file.path, "folder": folder}


def loader_folders_of(layers: Layers) -> Iterator[tuple[str, str]]:
    """Yield the folders that a container's `ldconfig` looks into, each with the file naming it."""
    newest: dict[str, list[str]] = {}
    for layer in layers.layers:
        newest |= {file.path: [] for file in layer.files if file.path.startswith(CONF)}
        for note in layer.notes.get(LoaderFiles.name, ()):
            newest[note["path"]].append(note["folder"])
    for path, folders in sorted(newest.items()):
        if path in layers.merged:
            yield from ((folder, path) for folder in folders)
