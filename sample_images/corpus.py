"""Builds all sample images, judges them and compares the findings with what their entries promise.

`python -m sample_images.corpus [--only ID] [--fresh] [--full]`

Every image is judged by all rules about its config and its container; by those of the notebook and
of Spark where its entry names one, or everywhere with `--full`. What is as promised is kept until
the image, its entry or the product changes, so a run that was ended goes on where it stood. With
`--fresh`, or where the variable `CI` is set, all is judged.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_dcs
from pytest_dcs import options
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.image.archives import is_archive
from pytest_dcs.layer_readings import LayerReadings
from sample_images import build, judging, variants
from sample_images.judging import Judged
from sample_images.results import Kept, in_lanes, key_of, key_of_files
from sample_images.samples import RUNTIME, all_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sample_images.samples import Sample

UNWANTED = {"fail", "advice", "error"}
UNWANTED_IN_SOUND = {*UNWANTED, "blocked"}
"""Where nothing fails there is nothing that could keep a rule from being checked."""
UNCERTAIN = {"FUS001": "blocked"}
"""Rules that cannot be checked everywhere: an engine may not grant the right to mount."""
LAYOUT = "oci:"
DEPENDENCIES = ("docker", "pytest", "pytest-testinfra")
WARM_SECONDS = 300


class NotBuilt(Exception):
    """Images are not there; the message says how to build them."""


def judge(
    samples: Sequence[Sample], *, fresh: bool = False, say: Callable[[str], object] = str
) -> dict[str, Judged]:
    """Return what is found in samples, by their ids; `say` gets a line for each as it is there.

    A kept result counts where it is what the entry promises. Raises `NotBuilt`.
    """
    ids, product = image_ids(samples), key_of_product()
    keys = {each.id: each.key(ids[each.reference], product) for each in samples}
    kept = Kept("judged", fresh=fresh)
    judged: dict[str, Judged] = {}
    for sample in samples:
        before = kept.read(sample.name, keys[sample.id])
        if before is not None:
            judged[sample.id] = Judged(**before)
    left = [sample for sample in samples if sample.id not in judged]
    say(f"{len(judged)} of {len(samples)} images are judged already")
    if any("spark" in sample.parts for sample in left):
        warm()
    read_layers(left)
    for results in in_lanes(judging.judge, judging.batches(left)):
        for sample, result in results:
            judged[sample.id] = result
            told = faults(sample, result)
            # Who changes the product while this runs may have changed what was found.
            if not told and key_of_product() == product:
                kept.write(sample.name, keys[sample.id], asdict(result))
            say("\n      ".join([f"  {sample.id:<48} {result.seconds:6.1f} s", *told]))
    return {sample.id: judged[sample.id] for sample in samples}


def faults(sample: Sample, judged: Judged) -> list[str]:
    """Return where findings are not what the sample promises, a line each."""
    if judged.problem:
        return [judged.problem]
    promised = {**dict.fromkeys(sample.fails, "fail"), **dict.fromkeys(sample.advice, "advice")}
    unwanted = UNWANTED if sample.fails else UNWANTED_IN_SOUND
    told = [] if judged.outcome("pass") else ["no rule passes"]
    for rule in sorted({*promised, *judged.findings}):
        outcome, found = judged.findings.get(rule, ("not run", ""))
        needed = promised.get(rule)
        if outcome != needed if needed else outcome in unwanted and UNCERTAIN.get(rule) != outcome:
            told.append(f"{rule} {outcome}, but {needed or 'nothing'} is promised: {found}")
    return told


def image_ids(samples: Iterable[Sample]) -> dict[str, str]:
    """Return the ids of the samples' images by their references; raises `NotBuilt`."""
    wanted = {sample.reference for sample in samples}
    layouts = {name: Path(name.removeprefix(LAYOUT)) for name in wanted if name.startswith(LAYOUT)}
    listing = build.run(
        [
            *("docker", "image", "ls", "--no-trunc", "--format={{.Repository}}:{{.Tag}} {{.ID}}"),
            f"--filter=reference={variants.REPOSITORY}/*",
        ]
    )
    there = dict(line.split() for line in listing.splitlines())
    there |= {name.removesuffix(":latest"): image_id for name, image_id in there.items()}
    there |= {name: key_of_files(path) for name, path in layouts.items() if path.is_dir()}
    if missing := wanted - there.keys():
        msg = (
            f"There is no image {', '.join(sorted(missing))}. "
            "Build them: `python -m sample_images.build --broken`."
        )
        raise NotBuilt(msg)
    return {reference: there[reference] for reference in wanted}


def key_of_product() -> str:
    """Return what stands for the code that judges, and for what samples run of their own."""
    return key_of(
        key_of_files(*map(Path, pytest_dcs.__path__)),
        key_of_files(variants.HERE / "init_scripts", variants.HERE / "smoke"),
        sys.version,
        [version(name) for name in DEPENDENCIES],
    )


def warm() -> None:
    """Let the product make what shortens Spark's start, once; it works without as well."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest_dcs", "warm", f"{variants.REPOSITORY}/python"),
            f"--runtime={RUNTIME}",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WARM_SECONDS,
        check=False,
    )


def read_layers(samples: Iterable[Sample]) -> None:
    """Let the product read the layers of all images at once: almost all of them are the base's."""
    engine = DockerEngine()
    try:
        images = [
            engine.resolve(sample.reference, "never")
            for sample in samples
            if not is_archive(sample.reference)
        ]
        folder = os.environ.get(options.OPTIONS["cache"].variable)
        cache = Path(folder) if folder else options.default_cache_directory()
        LayerReadings(lambda: engine, cache).read_together(images)
    finally:
        engine.close()


def build_images(only: Sequence[str]) -> None:
    """Build the good images and the variants that are asked for; raises `BuildFailed`."""
    tag = build.build_good()
    wanted = [each for each in only if each not in build.GOOD]
    if wanted or not only:
        build.build_variants(tag, wanted)


def say(line: str) -> None:
    """Tell the user at once what is done."""
    print(line, flush=True)


def main() -> int:
    """Build and judge what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m sample_images.corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="one image")
    parser.add_argument("--fresh", action="store_true", help="judge again what was judged before")
    parser.add_argument("--full", action="store_true", help="judge everything of every image")
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        build_images(arguments.only)
        samples = all_samples(full=arguments.full)
        chosen = [samples[each] for each in arguments.only or samples]
        judged = judge(chosen, fresh=arguments.fresh, say=say)
    except (build.BuildFailed, NotBuilt) as error:
        print(error, file=sys.stderr)
        return 1
    odd = [sample.id for sample in chosen if faults(sample, judged[sample.id])]
    say(f"{len(chosen) - len(odd)} of {len(chosen)} images gave what their entries promise")
    say(f"{time.monotonic() - start:.0f} s")
    if odd:
        say(f"not so: {', '.join(odd)}")
    return 1 if odd else 0


if __name__ == "__main__":
    sys.exit(main())
