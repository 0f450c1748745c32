"""The public ladder of fixtures, each rung overridable in a conftest.py by name and scope.

`dcs_image` → `dcs_runtime` → `dcs_launch` → `dcs_container` → `host`
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import gpu_request, rules, stash
from pytest_dcs.items import probes_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from testinfra.host import Host

    from pytest_dcs.elf import CompiledFiles
    from pytest_dcs.engines import Container, Engine
    from pytest_dcs.fuse import FuseMount
    from pytest_dcs.gpu_libraries import GpuLibraries
    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import Layers
    from pytest_dcs.inventory import Inventory, Java, Python
    from pytest_dcs.launch import Launch
    from pytest_dcs.plan import Entry
    from pytest_dcs.python_imports import Imports
    from pytest_dcs.python_packages import PythonPackages
    from pytest_dcs.remote.control import RemoteLaunch
    from pytest_dcs.remote.registry.preflight import Preflight
    from pytest_dcs.remote_run import RemoteRun
    from pytest_dcs.rules import Item
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.spark_cluster import SparkCluster
    from pytest_dcs.spark_runner import SparkRunner
    from pytest_dcs.stages import Smoke
    from pytest_dcs.trust_store import TrustStore

NEEDS_IMAGE = "needs --dcs-image"
NEEDS_REMOTE = "needs --dcs-remote"


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
def dcs_layers(_dcs_entry: Entry, pytestconfig: pytest.Config) -> Layers:
    """Return the image's layers with all their files; reading them needs no container."""
    from pytest_dcs.plan import layers_of

    if _dcs_entry.image.seen_from != "outside":
        msg = "the layers of an image cannot be read from inside"
        raise rules.NotApplicable(msg)
    return layers_of(pytestconfig).result(_dcs_entry.image)


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
    if _dcs_entry.image.archive:
        msg = (
            f"{_dcs_entry.image.reference} lies in files, and this needs a container: `docker load`"
        )
        raise rules.Blocked(msg)
    from pytest_dcs import init_scripts
    from pytest_dcs.launch import Launch
    from pytest_dcs.launch_request import LaunchRequest
    from pytest_dcs.plan import layers_of

    settings = request.config.stash[stash.SETTINGS]
    launch = Launch(
        dcs_engine,
        LaunchRequest(
            image=_dcs_entry.image,
            runtime=_dcs_entry.runtime,
            features=_dcs_entry.features,
            needs=request.config.stash[stash.CATALOGUE].needs_of(_dcs_entry.runtime),
            run_id=stash.run_id_of(request.config),
            timeout=settings.timeout.value,
            cache_directory=settings.cache_directory,
            tuned=settings.spark_tuning.value,
            environment=dcs_environment,
            init_scripts=tuple(map(init_scripts.parse, _dcs_entry.init_scripts)),
            probes=probes_of(request.session.items, _dcs_entry),
            without=frozenset(settings.without.value),
            jars=tuple(map(Path, settings.jar.value)),
            spark_conf=settings.spark_conf.value,
            spark_mode=settings.spark_mode.value,
            gpus=gpu_request.parse(settings.gpus.value, settings.gpus.source),
            asks_architectures=bool(settings.gpu_type.value),
            open_network=settings.open_network.value,
            keep=settings.keep.value,
        ),
    )
    launch.start()
    if rules.LAYERS_FIXTURE in launch.request.probes:
        layers_of(request.config).start(_dcs_entry.image)
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
def dcs_trust_store(_dcs_started: Launch, dcs_java: Java) -> TrustStore:
    """Return what the JVM trusts by default."""
    from pytest_dcs import trust_store

    store = trust_store.read(_dcs_started.shell, dcs_java)
    if store is None:
        msg = "the JDK has no keytool that tells what is in the trust store"
        raise rules.NotApplicable(msg)
    return store


@pytest.fixture(scope="session")
def dcs_python(dcs_inventory: Inventory) -> Python:
    """Return the interpreter of `/databricks/python3`."""
    if dcs_inventory.python is None:
        msg = "no interpreter answered, so nothing is known of it"
        raise rules.NotApplicable(msg)
    return dcs_inventory.python


@pytest.fixture(scope="session")
def dcs_python_packages(dcs_python: Python, _dcs_started: Launch) -> PythonPackages:
    """Return what is installed for `dcs_python`, and in the Pythons around it."""
    from pytest_dcs import python_packages

    found = python_packages.collect(_dcs_started.shell)
    if found is None:
        msg = f"{dcs_python.executable} did not say what is installed"
        raise rules.NotApplicable(msg)
    return found


@pytest.fixture(scope="session")
def dcs_python_imports(dcs_host: Host) -> Imports:
    """Return what tells which modules the interpreter of `/databricks/python3` imports."""
    from pytest_dcs.python_imports import (
        INTERPRETER,
        NOTEBOOK_MODULES,
        SPARK_CONNECT_MODULES,
        Imports,
    )
    from pytest_dcs.python_packages import expectations

    together = {**NOTEBOOK_MODULES, **SPARK_CONNECT_MODULES, **expectations().notebook_helpers}
    return Imports(dcs_host, INTERPRETER, together)


@pytest.fixture(scope="session")
def _dcs_node(_dcs_started: Launch) -> Launch:
    """Return the launch if no init script has ended it."""
    if _dcs_started.stopped is not None:
        raise rules.Blocked(_dcs_started.stopped)
    return _dcs_started


@pytest.fixture(scope="session")
def dcs_spark_smoke(_dcs_node: Launch) -> Smoke:
    """Return what the PySpark reference job found; it runs beside the other checks."""
    return _dcs_node.spark_smoke()


@pytest.fixture(scope="session")
def dcs_spark_deep_smoke(_dcs_node: Launch) -> Smoke:
    """Return what the deep Spark job found; it runs after the reference job."""
    return _dcs_node.spark_deep_smoke()


@pytest.fixture(scope="session")
def dcs_spark(_dcs_node: Launch) -> Generator[SparkRunner, None, None]:
    """Run code of yours in the container with the runtime's Spark, in one session for all."""
    runner = _dcs_node.spark_runner()
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def dcs_spark_cluster(_dcs_node: Launch) -> SparkCluster:
    """Return the further nodes of the cluster."""
    if _dcs_node.cluster is None:
        msg = "Spark runs in the driver, without --dcs-spark-mode=cluster"
        raise rules.NotApplicable(msg)
    return _dcs_node.cluster


@pytest.fixture(scope="session")
def dcs_notebook_smoke(_dcs_node: Launch) -> Smoke:
    """Return what a notebook's environments, user and kernel did, beside the other checks."""
    return _dcs_node.notebook_smoke()


@pytest.fixture(scope="session")
def dcs_language_server_smoke(_dcs_node: Launch) -> Smoke:
    """Return what the language server answered, beside the other checks."""
    return _dcs_node.language_server_smoke()


@pytest.fixture(scope="session")
def dcs_r_smoke(_dcs_node: Launch) -> Smoke:
    """Return what an R session did, beside the other checks."""
    return _dcs_node.r_smoke()


@pytest.fixture(scope="session")
def dcs_compiled_files_smoke(_dcs_node: Launch) -> CompiledFiles:
    """Return which compiled files of the Python environment could not be loaded, and why."""
    return _dcs_node.compiled_files_smoke()


@pytest.fixture(scope="session")
def dcs_gpu_driver(pytestconfig: pytest.Config) -> tuple[int, ...]:
    """Return the version of the nodes' driver, empty where nobody has named it."""
    from pytest_dcs import gpu

    return gpu.version_of(pytestconfig.stash[stash.SETTINGS].gpu_driver.value)


@pytest.fixture(scope="session")
def dcs_gpu_types(pytestconfig: pytest.Config) -> Mapping[str, tuple[int, ...]]:
    """Return the compute capability of each type of GPU that the nodes are said to have."""
    from pytest_dcs import gpu

    named = pytestconfig.stash[stash.SETTINGS].gpu_type.value
    return {name: version for name, version in gpu.capabilities().items() if name in named}


@pytest.fixture(scope="session")
def dcs_gpu_libraries_smoke(_dcs_node: Launch) -> GpuLibraries:
    """Return which of CUDA's libraries could be loaded, and what packages want of them."""
    return _dcs_node.gpu_libraries_smoke()


@pytest.fixture(scope="session")
def dcs_gpu_smoke(_dcs_node: Launch, pytestconfig: pytest.Config) -> Smoke:
    """Return what the GPUs of the container did; skips where there is none to try."""
    from pytest_dcs.gpu_device import NoGpu

    settings = pytestconfig.stash[stash.SETTINGS]
    try:
        return _dcs_node.gpu_smoke()
    except NoGpu as error:
        is_missed = settings.strict.value and settings.gpus.value != gpu_request.NONE
        raise (rules.Blocked if is_missed else rules.NotApplicable)(str(error)) from None


@pytest.fixture(scope="session")
def dcs_gpu_spark_smoke(_dcs_node: Launch, dcs_gpu_smoke: Smoke) -> Smoke:
    """Return what Spark's tasks did with a GPU each; it runs after the trial of the GPUs."""
    devices = dcs_gpu_smoke.facts.get("devices")
    if not devices:
        msg = "CUDA shows no GPU that Spark could give to a task"
        raise rules.Blocked(msg)
    return _dcs_node.gpu_spark_smoke(len(devices))


@pytest.fixture(scope="session")
def dcs_fuse_smoke(_dcs_started: Launch) -> FuseMount | None:
    """Return what a real FUSE mount found; None where the engine has no `/dev/fuse`."""
    return _dcs_started.fuse_smoke()


@pytest.fixture(scope="session")
def dcs_registry(_dcs_entry: Entry, dcs_remote_spec: Mapping[str, Any]) -> Preflight:
    """Return what the registry says of the image that the nodes of a cluster are to pull."""
    from pytest_dcs.remote.registry import preflight, pull

    return preflight.ask(pull.of_spec(dcs_remote_spec, os.environ), _dcs_entry.image)


@pytest.fixture(scope="session")
def _dcs_remote_run(pytestconfig: pytest.Config) -> RemoteRun:
    """Return what launches images on real clusters; skips in a run that was not asked to."""
    run = pytestconfig.stash.get(stash.REMOTE, None)
    if run is None:
        raise rules.NotApplicable(NEEDS_REMOTE)
    return run


@pytest.fixture(scope="session")
def dcs_remote_spec(_dcs_entry: Entry, _dcs_remote_run: RemoteRun) -> Mapping[str, Any]:
    """Return the specification of the cluster that is to be launched; launches nothing."""
    return _dcs_remote_run.request_of(_dcs_entry).spec


@pytest.fixture(scope="session")
def dcs_remote(_dcs_entry: Entry, _dcs_remote_run: RemoteRun) -> RemoteLaunch:
    """Return what came of launching the image on a real cluster, once, and of removing that."""
    return _dcs_remote_run.launched(_dcs_entry)


@pytest.fixture(scope="session")
def dcs_remote_differences(
    _dcs_entry: Entry, _dcs_remote_run: RemoteRun, dcs_remote: RemoteLaunch
) -> Sequence[Item]:
    """Return the rules that came out differently on the cluster than here."""
    return _dcs_remote_run.differences(_dcs_entry, dcs_remote)
