"""A run that takes its own machine for the image: who may ask for it, and what to say."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from pytest_dcs import errors, steps
from pytest_dcs.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_dcs.image import Image
    from pytest_dcs.options import Settings

FLAG = OPTIONS["engine"].flag
ADDED_OPTIONS = "PYTEST_ADDOPTS"
HEADER = (
    "engine local: this machine is taken for the image; /databricks, /local_disk0 and "
    "/opt/pytest-dcs are made where they are missing, and removed"
)


def refuse_unfit(config: pytest.Config, settings: Settings) -> None:
    """Raise `LocalByFile` or `LocalUnfit` where the machine must not be taken for the image."""
    source = settings.engine.source
    if not source.startswith("environment") and not is_typed(config):
        raise errors.LocalByFile(source if source.startswith("ini") else "ini addopts")
    for is_unfit, why, next_step in unfitness(settings):
        if is_unfit:
            raise errors.LocalUnfit(why, next_step)


def unfitness(settings: Settings) -> Iterator[tuple[bool, str, str]]:
    """Yield what can keep this machine from being judged, whether it does, and what to do then."""
    yield (
        sys.platform != "linux",
        f"this is {sys.platform}, and images are of Linux",
        "Run it in the image, or leave --dcs-engine out: Docker starts the image then.",
    )
    yield (
        os.geteuid() != 0,
        "this user is not root",
        "The platform starts images as root: run the job as root (`runAsUser: 0` in Kubernetes).",
    )
    yield (
        settings.spark_mode.value == "cluster",
        "--dcs-spark-mode=cluster needs further containers",
        "Leave it out, or judge that part from outside with Docker.",
    )
    yield settings.keep.value, "there is no container that --dcs-keep could keep", "Leave it out."
    yield (
        len(settings.image_config.value) > 1,
        "several files describe the image",
        "Name one with --dcs-image-config.",
    )


def is_typed(config: pytest.Config) -> bool:
    """Tell whether the engine was named on the command line itself, and not by a file's `addopts`.

    https://docs.pytest.org/en/stable/reference/customize.html
    """
    added = shlex.split(os.environ.get(ADDED_OPTIONS, ""))
    return any(str(word).startswith(FLAG) for word in (*config.invocation_params.args, *added))


def notes_of(image: Image) -> Iterator[str]:
    """Yield what does not hold for an image that is seen from inside."""
    if image.seen_from == "inside":
        names = [
            assumption.name
            for step in steps.all_steps()
            for assumption in step.assumptions
            if assumption.needs_container
        ]
        yield f"judged from inside: not as on a node are {', '.join(names)} and the network"
    if image.seen_from == "node":
        yield "judged on a node of a cluster: the platform has been here, so nothing was laid out"
    if image.seen_from != "outside" and image.config_known and not image.history_known:
        yield (
            "the image's config came without the history of its build: "
            "`skopeo inspect --config --raw` has it"
        )
