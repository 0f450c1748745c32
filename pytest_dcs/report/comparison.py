"""The comparison with the official image as a table below a verdict, short or whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.comparison import distance

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_dcs.comparison import Comparison, Row

NONE = "none"
SHORT = 6
"""How many packages the short table has."""
NAMES = 6
"""How many names of missing and of extra packages it has."""
LABEL = 10

TELLING = (
    "ipykernel",
    "ipython",
    "numpy",
    "pandas",
    "pyarrow",
    "grpcio",
    "protobuf",
    "traitlets",
    "jedi",
    "databricks-sdk",
    "setuptools",
)
"""Packages that the platform itself imports or that Spark hands data to, shown first:
https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md"""


def lines_of(comparison: Comparison, runtime: str, *, whole: bool) -> Iterator[str]:
    """Yield the table."""
    facts = [row for row in comparison.rows if row.kind in {"system", "java", "python"}]
    variables = comparison.of_kind("variable")
    packages = comparison.of_kind("package")
    if not (facts or variables or packages):
        yield f"beside the official image of {runtime}: no difference"
        return
    yield f"beside the official image of {runtime}:"
    yield from table([row for row in (*facts, *variables) if row.official])
    extra = [row.name for row in variables if not row.official]
    if extra:
        yield from listed("more ENV", extra, whole=whole)
    if comparison.same_packages is None:
        return
    changed = [row for row in packages if row.mine and row.official]
    missing = [row.name for row in packages if not row.mine]
    added = [row.name for row in packages if not row.official]
    yield (
        f"  packages: {comparison.same_packages} the same, {len(changed)} in another version, "
        f"{len(missing)} missing, {len(added)} more"
    )
    if whole:
        yield from table(packages)
        return
    yield from table(sorted(changed, key=importance)[:SHORT])
    yield from listed("missing", sorted(missing, key=rank), whole=False)
    yield from listed("more", added, whole=False)
    if max(len(changed) - SHORT, len(missing) - NAMES, len(added) - NAMES) > 0:
        yield "  the whole table: -v"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield rows in columns: name, this image, the official one."""
    if not rows:
        return
    width = max(len(row.name) for row in rows)
    middle = max(len(row.mine or NONE) for row in rows)
    for row in rows:
        mine, official = row.mine or NONE, row.official or NONE
        yield f"    {row.name:<{width}}  {mine:<{middle}}  official {official}"


def listed(label: str, names: Sequence[str], *, whole: bool) -> Iterator[str]:
    """Yield names in one line, the first of them only unless all are wanted."""
    if not names:
        return
    shown = names if whole else names[:NAMES]
    rest = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    yield f"    {label:<{LABEL}}{', '.join(shown)}{rest}"


def importance(row: Row) -> tuple[int, int, str]:
    """Return where a package stands whose version differs: telling ones first, then far ones."""
    return rank(row.name), distance(row), row.name


def rank(name: str) -> int:
    """Return where a name stands among those that tell most."""
    return TELLING.index(name) if name in TELLING else len(TELLING)
