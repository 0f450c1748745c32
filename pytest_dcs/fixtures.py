"""The public ladder of fixtures, each rung overridable in a conftest.py by name and scope.

`dcs_image` → `dcs_runtime` → `dcs_launch` → `dcs_container` → `host`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_dcs import rules, stash
from pytest_dcs.items import wants_spark

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from testinfra.host import Host

    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.fuse import FuseMount
    from pytest_dcs.image import Image
    from pytest_dcs.inventory import Inventory, Java, Python
    from pytest_dcs.launch import Launch
    from pytest_dcs.plan import Entry
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.spark import Smoke

NEEDS_IMAGE = "needs --dcs-image"


@pytest.fixture(scope="session")
def _dcs_entry(request: pytest.FixtureRequest) -> Entry:
    """Return the image and runtime that the test was made for."""
    entry: Entry | None = getattr(request, "param", None)
    if entry is None:
        pytest.skip(NEEDS_IMAGE)
    return entry


@pytest.fixture(scope="session")
def dcs_image(_dcs_entry: Entry) -> Image:
    """Return the image under test: reference, digest and config."""
    return _dcs_entry.image


@pytest.fixture(scope="session")
def dcs_runtime(_dcs_entry: Entry) -> Runtime:
    """Return the Databricks Runtime that the image is tested for."""
    return _dcs_entry.runtime


@pytest.fixture(scope="session")
def dcs_features(_dcs_entry: Entry) -> frozenset[str]:
    """Return the features that the image's profile declares."""
    return _dcs_entry.features


@pytest.fixture(scope="session")
def dcs_environment() -> Mapping[str, str]:
    """Return what the cluster's `spark_env_vars` set; override it to add your own."""
    return {}


@pytest.fixture(scope="session")
def dcs_engine(pytestconfig: pytest.Config) -> Engine:
    """Return the engine that starts containers."""
    from pytest_dcs.plan import engine_of

    return engine_of(pytestconfig)


@pytest.fixture(scope="session")
def dcs_launch(
    request: pytest.FixtureRequest,
    _dcs_entry: Entry,
    dcs_engine: Engine,
    dcs_environment: Mapping[str, str],
) -> Generator[Launch, None, None]:
    """Start the image as a node does, once for all its tests; it may have failed to start."""
    from pytest_dcs.launch import Launch, LaunchRequest

    settings = request.config.stash[stash.SETTINGS]
    launch = Launch(
        dcs_engine,
        LaunchRequest(
            image=_dcs_entry.image,
            runtime=_dcs_entry.runtime,
            features=_dcs_entry.features,
            run_id=stash.run_id_of(request.config),
            timeout=settings.timeout.value,
            cache_directory=settings.cache_directory,
            java_options=settings.spark_java_options.value,
            environment=dcs_environment,
            keep=settings.keep.value,
            with_spark=wants_spark(request.session.items, _dcs_entry),
        ),
    )
    launch.start()
    yield launch
    launch.end()


@pytest.fixture(scope="session")
def _dcs_started(dcs_launch: Launch) -> Launch:
    """Return the launch if the image has started."""
    if dcs_launch.failure is not None:
        msg = f"the image did not start: {dcs_launch.failure}"
        raise rules.Blocked(msg)
    return dcs_launch


@pytest.fixture(scope="session")
def dcs_container(_dcs_started: Launch) -> Container:
    """Return the running container."""
    return _dcs_started.container


@pytest.fixture(scope="session")
def dcs_host(_dcs_started: Launch) -> Host:
    """Return the testinfra host over the container's shell, whatever `host` is."""
    from pytest_dcs.host import make_host

    return make_host(_dcs_started.shell)


@pytest.fixture(scope="session")
def dcs_inventory(_dcs_started: Launch) -> Inventory:
    """Return the facts that were read off the container once."""
    from pytest_dcs import inventory

    return inventory.collect(_dcs_started.shell)


@pytest.fixture(scope="session")
def dcs_java(dcs_inventory: Inventory) -> Java:
    """Return the JVM that the platform would take."""
    if dcs_inventory.java is None:
        msg = "no JVM answered, so nothing is known of it"
        raise rules.NotApplicable(msg)
    return dcs_inventory.java


@pytest.fixture(scope="session")
def dcs_python(dcs_inventory: Inventory) -> Python:
    """Return the interpreter of `/databricks/python3`."""
    if dcs_inventory.python is None:
        msg = "no interpreter answered, so nothing is known of it"
        raise rules.NotApplicable(msg)
    return dcs_inventory.python


@pytest.fixture(scope="session")
def dcs_spark_smoke(_dcs_started: Launch) -> Smoke:
    """Return what the PySpark smoke job found; it runs beside the other checks."""
    return _dcs_started.spark_smoke()


@pytest.fixture(scope="session")
def dcs_fuse_smoke(_dcs_started: Launch) -> FuseMount | None:
    """Return what a real FUSE mount found; None where the engine has no `/dev/fuse`."""
    return _dcs_started.fuse_smoke()
