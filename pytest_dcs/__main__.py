"""Commands that are no test run: `python -m pytest_dcs rules`, `explain`, `sweep`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_dcs import errors
from pytest_dcs.report import pages

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a user's mistake exits with 4."""
    parser = argparse.ArgumentParser(prog="python -m pytest_dcs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rules", help="Write the catalogue of rules as Markdown")
    explain = commands.add_parser("explain", help="Explain a rule, or all with a prefix")
    explain.add_argument("rule")
    sweep = commands.add_parser("sweep", help="Remove what runs have left on the engine")
    sweep.add_argument("--cache", action="store_true", help="Remove the cached Sparks as well")
    chosen = parser.parse_args(arguments)
    try:
        pages.show(run(chosen))
    except errors.SetupError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 4
    return 0


def run(chosen: argparse.Namespace) -> str:
    """Return what a command has to say; raises `SetupError`."""
    if chosen.command == "rules":
        return pages.document()
    if chosen.command == "explain":
        return pages.explain(chosen.rule)
    from pytest_dcs.engines.docker import DockerEngine

    engine = DockerEngine()
    try:
        removed = engine.sweep(kept=True, cache=chosen.cache)
    finally:
        engine.close()
    return "\n".join(f"removed {name}" for name in removed) or "nothing to remove"


if __name__ == "__main__":
    sys.exit(main())
