"""The layers of an image: every file that any of them brings, also one that a later layer hides.

https://github.com/opencontainers/image-spec/blob/main/layer.md
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dcs.image import History

FileKind = Literal["file", "directory", "symlink", "hardlink", "other"]

MOST_LINKS = 40
"""As many as Linux follows: https://man7.org/linux/man-pages/man7/path_resolution.7.html."""


class File(NamedTuple):
    """One entry of a layer's tar."""

    path: str
    """Absolute, `/etc/passwd`."""
    kind: FileKind
    mode: int
    uid: int
    gid: int
    size: int
    """Bytes."""
    link: str = ""
    """What a link names, as the tar has it."""


@dataclass(frozen=True)
class Layer:
    """What one layer adds, changes and hides."""

    digest: str
    """The diff ID, `sha256:…`: the digest of the unpacked tar."""
    size: int = 0
    """Bytes of all files."""
    files: tuple[File, ...] = ()
    removed: tuple[str, ...] = ()
    """Paths that its whiteouts hide, with all below them."""
    emptied: tuple[str, ...] = ()
    """Directories of which nothing of the layers below is seen: opaque whiteouts."""
    notes: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """What each reader noted of the files, by the reader's name."""


@dataclass(frozen=True)
class Layers:
    """All layers of one image, the oldest first."""

    layers: tuple[Layer, ...]
    history: tuple[History, ...] = ()
    """The steps of the build, oldest first; several of them made no layer."""

    def created_by(self, layer: Layer) -> str:
        """Return the step of the build that made a layer, empty where the image does not say."""
        steps = [step.created_by for step in self.history if not step.empty]
        # A base that was imported may have layers and no history; then the steps are the last ones.
        without = len(self.layers) - len(steps)
        number = self.layers.index(layer) - without
        return steps[number] if without >= 0 and number >= 0 else ""

    @cached_property
    def merged(self) -> Mapping[str, File]:
        """What a container of the image sees, by path."""
        seen: dict[str, File] = {}
        for layer in self.layers:
            hide(seen, layer)
            for file in layer.files:
                below = seen.get(file.path)
                if below is not None and below.kind == "directory" and file.kind != "directory":
                    hide_below(seen, {file.path})
                seen[file.path] = file
        return seen


class Reader(Protocol):
    """What looks into files while layers stream by.

    A layer is read once, and what was noted is kept by its digest: notes are plain JSON data, and
    hold nothing that may not lie in a cache.
    """

    name: str
    version: int
    """To be raised when what is noted changes."""

    def wants(self, file: File) -> bool:
        """Tell whether a file is to be read."""

    def read(self, file: File, content: IO[bytes]) -> Iterable[Mapping[str, Any]]:
        """Return what is to be noted of a file, whose content cannot be sought."""


def hide(seen: dict[str, File], layer: Layer) -> None:
    """Take out what a layer's whiteouts hide."""
    removed = {*layer.removed}
    hide_below(seen, removed | {*layer.emptied})
    for path in removed:
        seen.pop(path, None)


def hide_below(seen: dict[str, File], directories: set[str]) -> None:
    """Take out all files in directories."""
    if not directories:
        return
    prefixes = tuple(f"{directory.rstrip('/')}/" for directory in directories)
    for path in [path for path in seen if path.startswith(prefixes)]:
        del seen[path]


def real_path(path: str, files: Mapping[str, File]) -> str:
    """Return where a path leads in a container; an endless chain of links leads to itself."""
    names = posixpath.normpath(path).strip("/").split("/")
    done, links = "/", 0
    while names:
        step = posixpath.join(done, names.pop(0))
        file = files.get(step)
        if file is None or file.kind != "symlink" or links == MOST_LINKS:
            done = step
            continue
        links += 1
        target = posixpath.normpath(posixpath.join(done, file.link))
        names = [*target.strip("/").split("/"), *names]
        done = "/"
    return done
