"""Reads runtimes.toml, pins.toml and features.toml, and the runtimes that users describe."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_dcs.runtimes.catalogue import Catalogue, Need, Runtime
from pytest_dcs.toml_files import Fields, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parent

EXAMPLE = """Each runtime is
[runtime."20.1"]
name = "20.1"
pyspark = "4.2.1"
python = "3.12"
java = 21
For a runtime that the plugin knows, the fields that differ are enough."""


def load(user_file: Path | None = None) -> Catalogue:
    """Return what this package knows, with the runtimes of a user's file added or overridden.

    A file that does not exist adds nothing; raises `BrokenFile`.
    """
    profiles, needs = shipped_features()
    parsed = dict(shipped_runtimes())
    if user_file is not None and user_file.is_file():
        for version, table in runtime_tables(user_file).items():
            values = {**known_tables().get(version, {}), **table}
            parsed[version] = parse_runtime(version, runtime_fields(user_file, version, values))
    in_order = sorted(parsed.values())
    return Catalogue(
        runtimes=MappingProxyType({runtime.version: runtime for runtime in in_order}),
        profiles=profiles,
        needs=needs,
    )


@cache
def known_tables() -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of runtimes.toml, each with its pins."""
    pins = read_toml(DATA / "pins.toml")
    tables = runtime_tables(DATA / "runtimes.toml")
    return {version: {**table, "pins": pins.get(version, {})} for version, table in tables.items()}


@cache
def shipped_runtimes() -> Mapping[str, Runtime]:
    """Return the runtimes of this package by version."""
    path = DATA / "runtimes.toml"
    return {
        version: parse_runtime(version, runtime_fields(path, version, table))
        for version, table in known_tables().items()
    }


@cache
def shipped_features() -> tuple[Mapping[str, frozenset[str]], Mapping[str, Need]]:
    """Return the profiles and needs of this package by name."""
    document = read_toml(DATA / "features.toml")
    profiles = {name: frozenset(features) for name, features in document["profiles"].items()}
    needs = {
        name: Need(name=name, **{**table, "sources": tuple(table["sources"])})
        for name, table in document["need"].items()
    }
    return MappingProxyType(profiles), MappingProxyType(needs)


def runtime_tables(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return a file's `[runtime."…"]` tables; raises `BrokenFile`."""
    document = Fields(path, "the file", read_toml(path), EXAMPLE)
    tables = document.table("runtime")
    document.nothing_else()
    for version, table in tables.items():
        if not re.fullmatch(r"\d+(\.\d+)?", version):
            document.refuse(f"[runtime.{version!r}] is not named by a version such as 20.1")
        if not isinstance(table, dict):
            document.refuse(f"runtime {version!r} is not a table")
    return tables


def runtime_fields(path: Path, version: str, values: Mapping[str, Any]) -> Fields:
    """Return the fields of one runtime's table."""
    return Fields(path, f"runtime {version}", values, EXAMPLE)


def parse_runtime(version: str, fields: Fields) -> Runtime:
    """Return the runtime that a table describes; raises `BrokenFile` naming the field."""
    runtime = Runtime(
        version=version,
        name=fields.text("name"),
        pyspark=fields.text("pyspark"),
        lts=fields.flag("lts"),
        aliases=fields.texts("aliases"),
        released=fields.optional_date("released"),
        end_of_support=fields.optional_date("end_of_support"),
        spark=fields.text("spark", "") or None,
        scala=fields.texts("scala"),
        python=fields.text("python", "") or None,
        java=fields.optional_integer("java"),
        java_selectable=fields.integers("java_selectable"),
        jname=fields.texts("jname"),
        ubuntu=fields.text("ubuntu", "") or None,
        spark_version_keys=fields.texts("spark_version_keys"),
        environment=fields.texts_by_name("environment"),
        pins=fields.texts_by_name("pins"),
        sources=fields.texts("sources"),
    )
    fields.nothing_else()
    return runtime
