"""What is kept of an image after a run, to tell what changed: plain data of what was read."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_dcs.image import secrets
from pytest_dcs.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers
    from pytest_dcs.launch import Launch
    from pytest_dcs.stages import Smoke

HIDDEN = "(hidden)"
"""Stands for values that may be secret. A hash would not do: that of a weak secret is guessed."""

SECRET_NAME = re.compile(r"TOKEN|KEY|SECRET|PASSW|PASSPHRASE|CREDENTIAL|(^|_)PWD?$", re.IGNORECASE)

SPARK_JOBS = {"dcs_spark_smoke": "spark", "dcs_spark_deep_smoke": "deep"}
"""Fixtures of the Spark jobs whose stages are timed, with what stands before a stage's name."""

GPU_SMOKE = "dcs_gpu_smoke"


class Snapshots:
    """Takes down each fact of an entry once, as soon as a check has read it."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}

    def more(
        self, entry: str, image: Image, fixtures: Mapping[str, Any], launch: Launch | None
    ) -> dict[str, Any]:
        """Return what can be told from a test's fixtures and was not told before."""
        taken = self._taken.setdefault(entry, set())
        new: dict[str, Any] = {}
        for name, read in parts(image, fixtures, launch):
            if name not in taken:
                taken.add(name)
                new |= read()
        return new


def parts(
    image: Image, fixtures: Mapping[str, Any], launch: Launch | None
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield the parts of a snapshot that can be had, by name, each with what makes it."""
    yield "image", partial(of_image, image)
    seen = fixtures.get("dcs_inventory")
    if isinstance(seen, Inventory):
        yield "inventory", partial(of_inventory, seen)
    if launch is not None and launch.failure is None:
        yield "launch", partial(of_launch, launch)
    layers = fixtures.get("dcs_layers")
    if layers is not None:
        yield "layers", partial(of_layers, layers)
    for fixture, job in SPARK_JOBS.items():
        smoke = fixtures.get(fixture)
        if smoke is not None:
            yield fixture, partial(of_job, job, smoke)
    gpu = fixtures.get(GPU_SMOKE)
    if gpu is not None:
        yield GPU_SMOKE, partial(of_gpus, gpu)


def of_image(image: Image) -> dict[str, Any]:
    """Return what the image's config says, if it is known, and the size, if the engine tells.

    A run inside an image without its config sees the job's environment instead: not the image's.
    """
    size = {"image_bytes": image.size} if image.size else {}
    if not image.config_known:
        return size
    config = image.config
    return {
        "environment": {name: shown(name, value) for name, value in config.environment.items()},
        "layers": len(config.layers),
        **size,
    }


def of_layers(layers: Layers) -> dict[str, Any]:
    """Return the sizes that only the layers tell."""
    return {"largest_layer_bytes": max((layer.size for layer in layers.layers), default=0)}


def of_inventory(seen: Inventory) -> dict[str, Any]:
    """Return versions and packages; what nobody could read is left out."""
    system = " ".join(filter(None, (seen.os.id, seen.os.version_id))) if seen.os else ""
    told = {
        "machine": seen.machine,
        "os": system,
        "java": seen.java.version if seen.java else "",
        "python": seen.python.version if seen.python else "",
        "python_packages": dict(seen.python.packages) if seen.python else {},
        "system_packages": dict(seen.packages or {}),
    }
    return {name: value for name, value in told.items() if value}


def of_launch(launch: Launch) -> dict[str, Any]:
    """Return what the image has where the platform puts its own files."""
    return {"platform_paths": sorted(launch.platform_paths)}


def of_job(name: str, smoke: Smoke) -> dict[str, Any]:
    """Return how long each stage of a Spark job took that has passed."""
    passed = [stage for stage in smoke.stages if stage.outcome == "passed"]
    return {f"{name}_seconds": {stage.name: stage.seconds for stage in passed}}


def of_gpus(smoke: Smoke) -> dict[str, Any]:
    """Return which GPUs were tried, with which driver, and what was measured."""
    told = {
        "gpus": [device["name"] for device in smoke.facts.get("devices", [])],
        "gpu_driver": smoke.facts.get("driver", {}).get("version", ""),
        "gpu_framework": smoke.facts.get("framework", ""),
        "nccl": smoke.facts.get("nccl", ""),
        "measurements": smoke.facts.get("measurements", {}),
    }
    return {name: value for name, value in told.items() if value}


def shown(name: str, value: str) -> str:
    """Return the value of a variable, hidden where it or its name looks secret."""
    if value and (SECRET_NAME.search(name) or secrets.scan_variable(name, value)):
        return HIDDEN
    return value
