"""The variants of the good images: what broken.toml and good.toml say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from sample_images.layouts import Layout

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
REPOSITORY = "pytest-dcs"
SCRATCH = "scratch"
PLATFORM = "linux/amd64"


@dataclass(frozen=True)
class Variant:
    """An image one change away from a good one, and the findings that it must produce."""

    kind: str
    """`broken` or `good`, the file that it is from."""
    id: str
    base: str
    """The good image below it, or `scratch`."""
    profile: str
    runtime: str
    dockerfile: str
    """The lines after FROM."""
    describe: str
    """How people come to such an image."""
    platform: str = PLATFORM
    wheels: tuple[str, ...] = ()
    """Packages that the build finds in /wheels."""
    files: tuple[str, ...] = ()
    """Files of the folder `files` that the build finds in /files."""
    layout: Layout | None = None
    """What is odd about an image that is no engine's, but an OCI layout in the user's cache."""
    init_scripts: tuple[str, ...] = ()
    """What the image is launched with: files of the folder `init_scripts`, or `file:PATH`."""
    options: tuple[str, ...] = ()
    """Further options of pytest that it is judged with; {samples} stands for this folder."""
    fails: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    tempts: tuple[str, ...] = ()
    """Rules of a notebook or of Spark that a careless check would break on a good image."""

    @property
    def reference(self) -> str:
        """What --dcs-image takes: the name under which the image is built, or its OCI layout."""
        if self.layout is not None:
            return f"oci:{self.folder}"
        return f"{REPOSITORY}/{self.kind}:{self.id}"

    @property
    def folder(self) -> Path:
        """Where the image is written if it is an OCI layout."""
        return platformdirs.user_cache_path(REPOSITORY) / "samples" / self.id

    @property
    def is_static(self) -> bool:
        """Whether the image has nothing that could be started."""
        return self.base == SCRATCH

    @property
    def option_words(self) -> tuple[str, ...]:
        """The options as a run in any folder takes them."""
        return tuple(option.replace("{samples}", str(HERE)) for option in self.options)

    @property
    def init_script_names(self) -> tuple[str, ...]:
        """The init scripts as a matrix file in any folder names them."""
        return tuple(
            name if name.startswith("file:") else str(HERE / "init_scripts" / name)
            for name in self.init_scripts
        )


def load(kind: str) -> list[Variant]:
    """Return the entries of `<kind>.toml`; raises `TypeError` for a field that does not exist."""
    document = tomllib.loads((HERE / f"{kind}.toml").read_text(encoding="utf-8"))
    return [Variant(kind=kind, **_frozen(entry)) for entry in document["image"]]


def _frozen(entry: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    if "layout" in entry:
        fields["layout"] = Layout(**entry["layout"])
    return fields


def all_variants() -> list[Variant]:
    """Return the broken and the good variants."""
    return [*load("broken"), *load("good")]
