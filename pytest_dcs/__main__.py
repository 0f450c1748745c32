"""Commands that are no test run: `python -m pytest_dcs rules`, `explain`, `sweep` and others."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_dcs import errors, options
from pytest_dcs.report import answers, pages

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; a user's mistake exits with 4."""
    parser = argparse.ArgumentParser(prog="python -m pytest_dcs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("rules", help="Write the catalogue of rules as Markdown")
    commands.add_parser("symptoms", help="Write what errors of clusters mean as Markdown")
    explain = commands.add_parser("explain", help="Explain a rule, a code or the text of an error")
    explain.add_argument("text", help="- reads it from standard input")
    sweep = commands.add_parser("sweep", help="Remove what runs have left on the engine")
    sweep.add_argument("--cache", action="store_true", help="Remove the cached Sparks as well")
    sweep.add_argument(
        "--remote", action="store_true", help="List clusters and job runs that cost money instead"
    )
    sweep.add_argument("--yes", action="store_true", help="Remove them (needs --remote)")
    sweep.add_argument("--run", default="", help="Those of one run, over or not (needs --remote)")
    sweep.add_argument(
        "--all-expired", action="store_true", help="Other people's as well (needs --remote)"
    )
    warm = commands.add_parser("warm", help="Make ready what a run's Spark job will need")
    warm.add_argument("image")
    warm.add_argument("--runtime", required=True, help="Databricks Runtime, such as 15.4")
    warm.add_argument("--profile", default="python", help="What the image offers")
    bundle = commands.add_parser("bundle", help="Write one file that judges an image from inside")
    bundle.add_argument("file", type=Path, help="Where to write it, such as dcs.pyz")
    bundle.add_argument("--fresh", action="store_true", help="Fetch the newest packages again")
    chosen = parser.parse_args(arguments)
    only_remote = chosen.command == "sweep" and (chosen.yes or chosen.run or chosen.all_expired)
    if only_remote and not chosen.remote:
        sweep.error("--yes, --run and --all-expired need --remote")
    try:
        if chosen.command == "sweep" and chosen.remote:
            return swept_remotely(chosen)
        pages.show(run(chosen))
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    except errors.SetupError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return 4
    return 0


def run(chosen: argparse.Namespace) -> str:
    """Return what a command has to say; raises `SetupError`."""
    if chosen.command == "rules":
        return pages.document()
    if chosen.command == "explain":
        return pages.explain(sys.stdin.read() if chosen.text == "-" else chosen.text)
    if chosen.command == "symptoms":
        return answers.document()
    if chosen.command == "bundle":
        from pytest_dcs.bundle import builder

        built = builder.build(chosen.file, cache_directory(), say, fresh=chosen.fresh)
        return builder.told(built)
    from pytest_dcs.engines.docker import DockerEngine

    if chosen.command == "warm":
        return warmed(chosen)
    engine = DockerEngine()
    try:
        removed = engine.sweep(kept=True, cache=chosen.cache)
    finally:
        engine.close()
    return "\n".join(f"removed {name}" for name in removed) or "nothing to remove"


def swept_remotely(chosen: argparse.Namespace) -> int:
    """List or remove what runs have left in the workspace; 1 if something could not be removed."""
    from pytest_dcs.remote import sweep
    from pytest_dcs.remote.workspace import connect

    scope = sweep.Scope(run_id=chosen.run, all_expired=chosen.all_expired)
    lines, all_well = sweep.sweep(connect(), scope, remove=chosen.yes)
    pages.show("\n".join(lines))
    return 0 if all_well else 1


def warmed(chosen: argparse.Namespace) -> str:
    """Fetch the runtime's Spark and make its class-data archive for the image's JDK."""
    from pytest_dcs import runtimes, spark_cache, warm
    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch_request import LaunchRequest

    own_runtimes = Path("dcs-runtimes.toml")
    catalogue = runtimes.load(own_runtimes if own_runtimes.exists() else None)
    runtime, features = catalogue.find(chosen.runtime), catalogue.features(chosen.profile)
    engine = DockerEngine()
    try:
        request = LaunchRequest(
            image=engine.resolve(chosen.image, "missing"),
            runtime=runtime,
            features=features,
            needs=frozenset(),
            run_id="warm",
            timeout=options.OPTIONS["timeout"].default,
            cache_directory=cache_directory(),
        )
        spark_cache.provision(runtime.pyspark, request.cache_directory, say)
        archive = warm.make(engine, request, say, wait=True)
    finally:
        engine.close()
    return f"ready: {archive.path}" if archive else "another run still makes the archive"


def cache_directory() -> Path:
    """Return where downloads are kept: no pytest configuration is read here."""
    folder = os.environ.get(options.OPTIONS["cache"].variable)
    return Path(folder) if folder else options.default_cache_directory()


def say(line: str) -> None:
    """Tell the user at once what is being done."""
    sys.stderr.write(f"dcs: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
