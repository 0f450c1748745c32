"""What users call an image: `[registry/]name[:tag][@digest]`.

The grammar is that of https://github.com/distribution/reference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_dcs.errors import InvalidReference

DEFAULT_REGISTRY = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255

_HOST_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = rf"(?:{_HOST_PART}(?:\.{_HOST_PART})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<registry>{_REGISTRY})/)?"
    rf"(?P<path>{_PATH_PART}(?:/{_PATH_PART})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A reference with all its parts; `tag` is None only beside a digest."""

    registry: str
    path: str
    """The repository within its registry, `library/debian`."""
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the reference, with Docker's defaults filled in; raises `InvalidReference`."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidReference(text)
        registry, path, tag, digest = match.group("registry", "path", "tag", "digest")
        if registry is not None and not _names_a_registry(registry):
            registry, path = None, f"{registry}/{path}"
            if re.fullmatch(rf"{_PATH_PART}(?:/{_PATH_PART})*", path) is None:
                raise InvalidReference(text)
        registry = registry or DEFAULT_REGISTRY
        if registry == f"index.{DEFAULT_REGISTRY}":
            registry = DEFAULT_REGISTRY
        if registry == DEFAULT_REGISTRY and "/" not in path:
            path = f"{DEFAULT_NAMESPACE}/{path}"
        if len(f"{registry}/{path}") > LONGEST_NAME:
            raise InvalidReference(text)
        if tag is None and digest is None:
            tag = DEFAULT_TAG
        return cls(registry, path, tag, digest)

    @property
    def repository(self) -> str:
        """The name without tag and digest, `docker.io/library/debian`."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def is_image_id(text: str) -> bool:
    """Whether the text can only be the id of an image on an engine."""
    return _IMAGE_ID.fullmatch(text) is not None


def _names_a_registry(part: str) -> bool:
    return "." in part or ":" in part or part == "localhost" or part != part.lower()
