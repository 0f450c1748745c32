"""Launches for tests of what happens in a launched image."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from pytest_dcs import runtimes
from pytest_dcs.launch import Launch, LaunchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine

RUNTIME = "15.4"
"""What the sample images are made for."""
JAVA_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
TIMEOUT = 30.0


@contextmanager
def launched(
    engine: DockerEngine, reference: str, profile: str, *, with_spark: bool
) -> Iterator[Launch]:
    """Launch an image as the plugin does, and end it."""
    catalogue = runtimes.load()
    launch = Launch(
        engine,
        LaunchRequest(
            image=engine.resolve(reference, "never"),
            runtime=catalogue.find(RUNTIME),
            features=catalogue.features(profile),
            run_id="launching",
            timeout=TIMEOUT,
            cache_directory=user_cache_path("pytest-dcs"),
            java_options=JAVA_OPTIONS,
            with_spark=with_spark,
        ),
    )
    launch.start()
    try:
        assert launch.failure is None
        yield launch
    finally:
        launch.end()
