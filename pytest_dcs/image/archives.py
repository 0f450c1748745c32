"""Images in files of this machine: OCI layouts, their archives, and what `docker save` writes.

They are named as the containers tools do, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` and
`docker-archive:FILE[:REFERENCE]`:
https://github.com/containers/image/blob/main/docs/containers-transports.5.md
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from pytest_dcs import errors
from pytest_dcs.image import CLUSTER_PLATFORM, Image, Manifest
from pytest_dcs.image.config import parse_config
from pytest_dcs.image.layer_reading import BROKEN, read_layer
from pytest_dcs.image.layers import Layers
from pytest_dcs.image.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from _typeshed import WriteableBuffer

    from pytest_dcs.image.layer_cache import LayerCache

Document = dict[str, Any]

OCI = "oci"
OCI_ARCHIVE = "oci-archive"
DOCKER_ARCHIVE = "docker-archive"
TRANSPORTS = (OCI, OCI_ARCHIVE, DOCKER_ARCHIVE)

INDEX = re.compile(r"application/vnd\.(oci\.image\.index|docker\.distribution\.manifest\.list)\b")
NAME = "org.opencontainers.image.ref.name"
ATTESTATION = "vnd.docker.reference.type"
"""The annotation of what buildx keeps beside an image:
https://docs.docker.com/build/metadata/attestations/attestation-storage/"""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LARGEST_DOCUMENT = 16 << 20
"""Bytes; a config of the largest images has some hundred thousand."""
REST = 1 << 20


class Unreadable(Exception):
    """An archive is not what it should be; the message says in what."""


class Files(Protocol):
    """The files of an archive."""

    def open(self, name: str) -> IO[bytes]:
        """Return a file's content; raises `Unreadable`."""


class Folder:
    """The files of a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, name: str) -> IO[bytes]:
        """Return a file's content; raises `Unreadable`."""
        try:
            return (self._path / name).open("rb")
        except OSError as error:
            msg = f"{name}: {error.strerror}"
            raise Unreadable(msg) from error


class Tar:
    """The files of a tar, compressed or not."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def open(self, name: str) -> IO[bytes]:
        """Return a file's content; raises `Unreadable`."""
        for spelling in (name, f"./{name}"):
            try:
                content = self._tar.extractfile(spelling)
            except KeyError:
                continue
            if content is not None:
                return content
        msg = f"it has no file {name}"
        raise Unreadable(msg)


@dataclass(frozen=True)
class Location:
    """A name such as `oci-archive:image.tar:1.4`, in its parts."""

    text: str
    transport: str
    path: Path
    wanted: str
    """Which of several images, empty for the only one."""

    @contextmanager
    def files(self) -> Iterator[Files]:
        """Open what the name means; raises `errors.BrokenArchive`."""
        try:
            if self.transport == OCI:
                yield Folder(self.path)
                return
            with tarfile.open(self.path) as tar:
                yield Tar(tar)
        except (Unreadable, OSError, *BROKEN) as error:
            raise errors.BrokenArchive(self.text, str(error)) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise errors.BrokenArchive(self.text, f"its documents lack {error}") from error


@dataclass(frozen=True)
class Kept:
    """One image as its archive keeps it."""

    image: Image
    layers: tuple[str, ...]
    """The names of the layers' files, oldest first."""


def is_archive(text: str) -> bool:
    """Tell whether a user names a file or folder of this machine, not an image of an engine."""
    return text.partition(":")[0] in TRANSPORTS and ":" in text


def parse(text: str) -> Location:
    """Return the parts of a name."""
    transport, _, rest = text.partition(":")
    path, _, wanted = rest.partition(":")
    return Location(text, transport, Path(path), wanted)


def resolve(text: str, folder: Path) -> Image:
    """Return an image without its layers; a relative path starts from the folder.

    Raises `errors.BrokenArchive`.
    """
    location = parse(text)
    path = (folder / location.path).absolute()
    name = ":".join(filter(None, [location.transport, str(path), location.wanted]))
    with replace(location, path=path).files() as files:
        return replace(find(location, files).image, archive=name)


def read(location: Location, cache: LayerCache) -> Layers:
    """Return an image's layers, of which only those are read that no run has read before.

    Raises `errors.BrokenArchive`.
    """
    with location.files() as files:
        kept = find(location, files)
        found = []
        for digest, name in zip(kept.image.config.layers, kept.layers, strict=True):
            layer = cache.get(digest)
            if layer is None:
                with files.open(name) as file, verified(file, name) as content:
                    layer = read_layer(content, digest, cache.readers)
                cache.put(layer)
            found.append(layer)
        return Layers(tuple(found), kept.image.config.history)


def find(location: Location, files: Files) -> Kept:
    """Return the image that a name means; raises `Unreadable`."""
    if location.transport == DOCKER_ARCHIVE:
        return find_saved(location, files)
    return find_in_layout(location, files)


def find_saved(location: Location, files: Files) -> Kept:
    """Return an image of what `docker save` wrote.

    https://github.com/moby/docker-image-spec/blob/main/spec.md
    """
    entries = cast("list[Document]", document(files, "manifest.json"))
    wanted = Reference.parse(location.wanted) if location.wanted else None
    chosen = [
        entry
        for entry in entries
        if wanted is None or wanted in map(Reference.parse, entry.get("RepoTags") or ())
    ]
    if len(chosen) != 1:
        names = [name for entry in entries for name in entry.get("RepoTags") or ["one without"]]
        raise Unreadable(choice(names))
    config = content_of(files, chosen[0]["Config"])
    image = Image(
        reference=location.text,
        id=f"sha256:{hashlib.sha256(config).hexdigest()}",
        config=parse_config(parsed(config, "the config")),
    )
    return complete(Kept(image, tuple(chosen[0]["Layers"])))


def find_in_layout(location: Location, files: Files) -> Kept:
    """Return an image of an OCI layout.

    https://github.com/opencontainers/image-spec/blob/main/image-layout.md
    """
    entries = list(manifests(files, document(files, "index.json")))
    images = [entry for entry in entries if not is_attestation(entry)]
    named = [entry for entry in images if location.wanted in {"", annotation(entry, NAME)}]
    fitting = [entry for entry in named if platform_of(entry) == CLUSTER_PLATFORM] or named
    if len(fitting) != 1:
        raise Unreadable(choice([annotation(entry, NAME) or entry["digest"] for entry in images]))
    manifest = blob(files, fitting[0])
    config = content_of(files, path_of(manifest["config"]))
    layers = manifest["layers"]
    image = Image(
        reference=location.text,
        id=manifest["config"]["digest"],
        config=parse_config(parsed(config, "the config")),
        digest=fitting[0]["digest"],
        manifest=Manifest(
            media_type=manifest.get("mediaType") or fitting[0].get("mediaType") or "",
            layer_types=tuple(layer["mediaType"] for layer in layers),
            compressed_size=sum(layer["size"] for layer in layers),
            attestations=len(entries) - len(images),
        ),
    )
    return complete(Kept(image, tuple(map(path_of, layers))))


def manifests(files: Files, index: Document, name: str = "") -> Iterator[Document]:
    """Yield the entries of an index, and of those in it, each with the name that leads to it."""
    for entry in index["manifests"]:
        known = annotation(entry, NAME) or name
        if INDEX.match(entry.get("mediaType") or ""):
            yield from manifests(files, blob(files, entry), known)
        else:
            yield {**entry, "annotations": {**(entry.get("annotations") or {}), NAME: known}}


def annotation(entry: Document, name: str) -> str:
    """Return an annotation of an index's entry, empty where there is none."""
    return str((entry.get("annotations") or {}).get(name) or "")


def is_attestation(entry: Document) -> bool:
    """Tell whether an entry of an index only says something of an image."""
    return bool(annotation(entry, ATTESTATION))


def platform_of(entry: Document) -> tuple[str, str]:
    """Return the platform that an index has of an entry."""
    platform = entry.get("platform") or {}
    return platform.get("os", ""), platform.get("architecture", "")


def choice(names: Sequence[str]) -> str:
    """Return what to say where a name means none or several of an archive's images."""
    known = ", ".join(names) or "none"
    return f"name one of its images behind another colon; it has {known}"


def complete(kept: Kept) -> Kept:
    """Return an image whose config and archive have the same layers; raises `Unreadable`."""
    if len(kept.layers) != len(kept.image.config.layers):
        msg = f"{len(kept.layers)} layers, and {len(kept.image.config.layers)} in its config"
        raise Unreadable(msg)
    return kept


def document(files: Files, name: str) -> Document:
    """Return a file's JSON; raises `Unreadable`."""
    return parsed(content_of(files, name), name)


def blob(files: Files, descriptor: Document) -> Document:
    """Return the JSON that a descriptor names; raises `Unreadable`."""
    return parsed(content_of(files, path_of(descriptor)), descriptor["digest"])


def parsed(content: bytes, name: str) -> Document:
    """Return JSON; raises `Unreadable`."""
    try:
        found: Document = json.loads(content)
    except ValueError as error:
        msg = f"{name} is no JSON: {error}"
        raise Unreadable(msg) from error
    return found


def path_of(descriptor: Mapping[str, Any]) -> str:
    """Return the file of a layout that a descriptor names; raises `Unreadable`."""
    digest = str(descriptor["digest"])
    if DIGEST.fullmatch(digest) is None:
        msg = f"{digest} is no sha256 digest"
        raise Unreadable(msg)
    return posixpath.join("blobs", *digest.split(":"))


def content_of(files: Files, name: str) -> bytes:
    """Return the content of a small file, which has its digest; raises `Unreadable`."""
    with files.open(name) as file, verified(file, name) as content:
        found = content.read(LARGEST_DOCUMENT + 1)
    if len(found) > LARGEST_DOCUMENT:
        msg = f"{name} has more than {LARGEST_DOCUMENT} bytes"
        raise Unreadable(msg)
    return found


class Hashed(io.RawIOBase):
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer, and return how many bytes."""
        target = memoryview(buffer)
        content = self._file.read(len(target))
        self.sha256.update(content)
        target[: len(content)] = content
        return len(content)


@contextmanager
def verified(file: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """Give a file to a reader, and raise `Unreadable` if its name is another content's digest."""
    if posixpath.dirname(name) != "blobs/sha256":
        yield file
        return
    hashed = Hashed(file)
    yield cast("IO[bytes]", hashed)
    while hashed.read(REST):
        pass
    if hashed.sha256.hexdigest() != posixpath.basename(name):
        msg = f"{name} has another content than its name says"
        raise Unreadable(msg)
