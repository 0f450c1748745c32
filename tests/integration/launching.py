"""Launches for tests of what happens in a launched image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from pytest_dcs import runtimes
from pytest_dcs.launch import Launch
from pytest_dcs.launch_request import LaunchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine

RUNTIME = "15.4"
"""What the sample images are made for."""
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
TIMEOUT = 30.0


@contextmanager
def launched(
    engine: DockerEngine, reference: str, profile: str, *probes: str, **more: Any
) -> Iterator[Launch]:
    """Launch an image as the plugin does with probes by their fixtures' names, and end it."""
    catalogue = runtimes.load()
    launch = Launch(
        engine,
        LaunchRequest(
            image=engine.resolve(reference, "never"),
            runtime=catalogue.find(RUNTIME),
            features=catalogue.features(profile),
            needs=catalogue.needs_of(catalogue.find(RUNTIME)),
            run_id="launching",
            timeout=TIMEOUT,
            cache_directory=user_cache_path("pytest-dcs"),
            probes=frozenset(probes),
            **more,
        ),
    )
    launch.start()
    try:
        assert launch.failure is None
        yield launch
    finally:
        launch.end()
