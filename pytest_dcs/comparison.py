"""An image beside the official image of its runtime: what it has more, less and in another version.

Information and no finding: images are meant to differ. It is made of what was read off the
container anyway, and of the data on runtimes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import ImageConfig
    from pytest_dcs.inventory import Inventory
    from pytest_dcs.runtimes import Runtime

Kind = Literal["system", "java", "python", "variable", "package"]

OFFICIAL_BRANCH = "https://github.com/databricks/containers/tree/release-"
"""How the source of a runtime with an official image begins; others have tables of libraries."""

USUAL_VARIABLES = frozenset({"PATH", "PYSPARK_PYTHON", "USER"})
"""What the official images for Python and FUSE set beside the variables of the minimal one:
https://github.com/databricks/containers/tree/master/ubuntu"""


@dataclass(frozen=True)
class Row:
    """One thing that differs; what either image does not have is empty."""

    kind: Kind
    name: str
    mine: str
    official: str


@dataclass(frozen=True)
class Comparison:
    """Everything that differs, and how many packages do not."""

    rows: tuple[Row, ...]
    same_packages: int | None
    """None where packages were not compared."""

    def of_kind(self, kind: Kind) -> tuple[Row, ...]:
        """Return the rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def to_plain(self) -> dict[str, Any]:
        """Return the comparison in types that any report can carry."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Comparison:
        """Return the comparison that `to_plain` made into plain data."""
        rows = tuple(Row(**row) for row in plain["rows"])
        return cls(rows, plain["same_packages"])


def has_official_image(runtime: Runtime) -> bool:
    """Tell whether the official image of a runtime is known as data."""
    return any(source.startswith(OFFICIAL_BRANCH) for source in runtime.sources)


def compare(
    runtime: Runtime, config: ImageConfig | None, seen: Inventory, features: frozenset[str]
) -> Comparison | None:
    """Return how an image differs from the official one; None where that is not known.

    Without a config nothing is said of variables.
    """
    if not has_official_image(runtime):
        return None
    rows = [*system_rows(runtime, seen), *java_rows(runtime, seen)]
    rows += variable_rows(runtime, config) if config is not None else ()
    same: int | None = None
    if "python" in features and seen.python is not None and runtime.pins:
        rows += python_rows(runtime, seen.python.version)
        rows += package_rows(runtime.pins, seen.python.packages)
        same = sum(seen.python.packages.get(name) == pin for name, pin in runtime.pins.items())
    return Comparison(tuple(rows), same)


def system_rows(runtime: Runtime, seen: Inventory) -> Iterator[Row]:
    """Yield the distribution, if it is another one."""
    if seen.os is None or runtime.ubuntu is None:
        return
    if (seen.os.id, seen.os.version_id) != ("ubuntu", runtime.ubuntu):
        mine = " ".join(filter(None, (seen.os.id, seen.os.version_id)))
        yield Row("system", "system", mine, f"ubuntu {runtime.ubuntu}")


def java_rows(runtime: Runtime, seen: Inventory) -> Iterator[Row]:
    """Yield the JDK, if it is another one than the runtime's default."""
    if seen.java is None or runtime.java is None or seen.java.major == runtime.java:
        return
    selectable = ", ".join(map(str, runtime.java_selectable))
    other = f", JNAME selects {selectable}" if selectable else ""
    yield Row("java", "java", seen.java.version, f"{runtime.java}{other}")


def python_rows(runtime: Runtime, version: str) -> Iterator[Row]:
    """Yield the Python, if its minor version is another one."""
    if runtime.python is not None and version.split(".")[:2] != runtime.python.split("."):
        yield Row("python", "python", version, runtime.python)


def variable_rows(runtime: Runtime, config: ImageConfig) -> Iterator[Row]:
    """Yield variables that differ; of those that only the image has the values may be secret."""
    for name, value in runtime.environment.items():
        mine = config.environment.get(name, "")
        if mine != value:
            yield Row("variable", name, mine, value)
    for name in sorted(set(config.environment) - set(runtime.environment) - USUAL_VARIABLES):
        yield Row("variable", name, "set", "")


def package_rows(pins: Mapping[str, str], packages: Mapping[str, str]) -> Iterator[Row]:
    """Yield the Python packages that differ, by name."""
    for name in sorted({*pins, *packages}):
        mine, official = packages.get(name, ""), pins.get(name, "")
        if mine != official:
            yield Row("package", name, mine, official)


def distance(row: Row) -> int:
    """Return how far two versions are apart: 0 where the first number differs, 1 the second, …."""
    mine, official = (re.findall(r"\d+", version) for version in (row.mine, row.official))
    pairs = zip(mine, official, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), len(mine))
