"""Looks into files of layers that programs keep credentials in, and tells where a secret leaks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from pytest_dcs.image.layers import hide
from pytest_dcs.image.secrets import Pattern, data, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dcs.image.layers import File, Layer, Layers

SSH_HOST_KEY = re.compile(r"/etc/ssh/ssh_host_\w+_key")


@dataclass(frozen=True)
class Leak:
    """One secret in a file of a layer."""

    path: str
    line: int
    what: str
    """The kind or name of the secret, with a number on each further one of its line."""
    layer: Layer
    number: int
    """The first layer of the image that brings it, counted from 1."""
    is_seen: bool
    """Whether a container of the image has the file, or a later layer hides it."""

    @property
    def subject(self) -> str:
        """The name by which the leak can be waived."""
        return f"{self.path} line {self.line}: {self.what}"


class SecretFiles:
    """The reader that notes where the secrets are, and never what they are."""

    name = "secrets"
    version = 1

    def wants(self, file: File) -> bool:
        """Tell whether a file is one that programs keep credentials in."""
        files = _files()
        return (
            file.kind == "file"
            and 0 < file.size <= files.largest
            and (file.path.endswith(files.ends) or any(map(file.path.__contains__, files.folders)))
            and not file.path.startswith(files.not_below)
            and not any(map(file.path.__contains__, files.not_within))
        )

    def read(self, file: File, content: IO[bytes]) -> Iterator[Mapping[str, Any]]:
        """Yield a note for each secret in a text; what has zero bytes is none."""
        read = content.read(_files().largest)
        if b"\0" in read:
            return
        text = read.decode(errors="replace")
        seen: Counter[tuple[int, str]] = Counter()
        for secret in scan(text, _patterns(file.path)):
            seen[secret.line, secret.what] += 1
            count = seen[secret.line, secret.what]
            what = f"{secret.what} ({count})" if count > 1 else secret.what
            yield {"path": file.path, "line": secret.line, "what": what}


def leaks_of(layers: Layers) -> Iterator[Leak]:
    """Yield the secrets in files of an image, each once, by the layer that brought it first.

    Later layers may have copies of a file, as `RUN chmod` makes one. It is one leak, and seen if
    any copy of it is.
    """
    first: dict[tuple[str, str], tuple[Layer, int]] = {}
    found: dict[tuple[str, str, int], Leak] = {}
    for number, layer in enumerate(layers.layers, 1):
        for note in layer.notes.get(SecretFiles.name, ()):
            path, line, what = note["path"], note["line"], note["what"]
            origin, origin_number = first.setdefault((path, what), (layer, number))
            is_seen = _is_newest(layers, number, path)
            found[path, what, line] = Leak(path, line, what, origin, origin_number, is_seen)
    seen = {(leak.path, leak.what) for leak in found.values() if leak.is_seen}
    for leak in found.values():
        if leak.is_seen or (leak.path, leak.what) not in seen:
            yield leak


def host_keys_of(layers: Layers) -> Iterator[tuple[File, int, Layer]]:
    """Yield the SSH host keys in any layer with the newest layer that has them, and its number."""
    found = {
        file.path: (file, number, layer)
        for number, layer in enumerate(layers.layers, 1)
        for file in layer.files
        if file.kind == "file" and SSH_HOST_KEY.fullmatch(file.path)
    }
    yield from found.values()


def _is_newest(layers: Layers, number: int, path: str) -> bool:
    """Tell whether a container has the file of this layer: no later one removes or replaces it."""
    file = next(file for file in layers.layers[number - 1].files if file.path == path)
    seen = {path: file}
    for layer in layers.layers[number:]:
        hide(seen, layer)
        if any(path == later.path for later in layer.files):
            return False
    return path in seen


@dataclass(frozen=True)
class _Files:
    """Which files are looked into, by their paths."""

    largest: int
    """Bytes."""
    ends: tuple[str, ...]
    folders: tuple[str, ...]
    not_within: tuple[str, ...]
    not_below: tuple[str, ...]


@cache
def _files() -> _Files:
    fields = data()["files"]
    return _Files(
        largest=fields["largest"],
        ends=tuple(fields["ends"]),
        folders=tuple(fields["folders"]),
        not_within=tuple(fields["not_within"]),
        not_below=tuple(fields["not_below"]),
    )


def _patterns(path: str) -> Sequence[Pattern]:
    """Return how this file writes a secret, beside `name = value`."""
    return [
        Pattern(each["kind"], re.compile(each["pattern"]))
        for each in data()["format"]
        if any(path.endswith(name) or name in f"{path}/" for name in each["files"])
    ]
