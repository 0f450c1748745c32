"""What is known of an image from inside, and what its processes get."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors
from pytest_dcs.engines import ContainerSpec, LaunchFailed, local
from pytest_dcs.engines.local import LocalEngine
from pytest_dcs.gpu_request import GpuRequest
from pytest_dcs.image import Image, ImageConfig

from .fake_host import an_image
from .test_local_container import everything, tar_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the local engine is for Linux")

CONFIG = {"Env": ["PATH=/opt/bin", "LANG=C.UTF-8"], "Labels": {"pytest-dcs.runtime": "15.4"}}
INSPECTED = {
    "Id": "sha256:" + "ab" * 32,
    "RepoDigests": ["acme/ml@sha256:" + "cd" * 32],
    "Os": "linux",
    "Architecture": "amd64",
    "Size": 7,
    "Config": CONFIG,
    "RootFS": {"Layers": ["sha256:" + "1" * 64]},
}
OCI = {
    "os": "linux",
    "architecture": "amd64",
    "config": CONFIG,
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]},
    "history": [{"created_by": "RUN make"}],
}


@pytest.fixture(autouse=True)
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(local.CLUSTER_MARK, raising=False)
    monkeypatch.setattr(local, "VOLUMES", tmp_path / "volumes")


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(None)
    yield engine
    engine.close()


def resolved(path: Path, document: object, reference: str = "localhost") -> Image:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return LocalEngine(path).resolve(reference, "missing")


@pytest.mark.parametrize("document", [INSPECTED, [INSPECTED]], ids=["object", "list"])
def test_docker_describes_the_image(tmp_path: Path, document: object) -> None:
    image = resolved(tmp_path / "image.json", document, "acme/ml:1.4")
    assert (image.id, image.digest, image.size) == (
        INSPECTED["Id"],
        "sha256:" + "cd" * 32,
        7,
    )
    assert image.config.environment["LANG"] == "C.UTF-8"
    assert image.config_known
    assert not image.history_known
    assert image.seen_from == "inside"


def test_a_raw_config_describes_the_image_with_its_history(tmp_path: Path) -> None:
    image = resolved(tmp_path / "image.json", OCI)
    content = (tmp_path / "image.json").read_bytes()
    assert image.id == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert image.history_known
    assert [step.created_by for step in image.config.history] == ["RUN make"]
    assert image.config.layers == ("sha256:" + "1" * 64,)


def test_a_config_that_was_laid_out_anew_gives_no_id(tmp_path: Path) -> None:
    image = resolved(tmp_path / "image.json", json.dumps(OCI, indent=4))
    assert image.id == ""
    assert image.released_as == ""


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "no JSON"),
        ([], "describes 0 things"),
        ([INSPECTED, INSPECTED], "describes 2 things"),
        ("7", "describes no image"),
        ({"Id": "a", "State": {}, "Config": CONFIG}, "a container, not its image"),
        ({"SchemaVersion": 2}, "neither an Id nor a rootfs"),
        ({**INSPECTED, "Config": {"Env": 7}}, "unknown form"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, document: object, problem: str) -> None:
    with pytest.raises(errors.DescriptionUnreadable, match=problem):
        resolved(tmp_path / "image.json", document)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.DescriptionUnreadable, match="No such file"):
        LocalEngine(tmp_path / "none.json").resolve("localhost", "missing")


def test_without_a_description_the_environment_is_all_that_is_known(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JNAME", "zulu17-ca-amd64")
    image = engine.resolve("localhost", "missing")
    assert not image.config_known
    assert image.config.environment["JNAME"] == "zulu17-ca-amd64"
    assert image.released_as == ""


def test_a_machine_of_another_kind_is_no_node(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert engine.resolve("localhost", "missing").config.platform == "linux/arm64"


def test_a_node_is_told_by_what_the_platform_has_left(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(local.CLUSTER_MARK, "15.4")
    monkeypatch.setattr(local, "CLUSTER_FOLDER", tmp_path / "spark")
    assert engine.resolve("localhost", "missing").seen_from == "inside"
    (tmp_path / "spark").mkdir()
    assert engine.resolve("localhost", "missing").seen_from == "node"


def test_variables_of_this_run_are_none_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {"PYTHONPATH": "/of/the/image", "PYTHONHASHSEED": "0"}
    monkeypatch.setattr(local, "first_environment", lambda: first)
    for name, value in {
        "PYTHONPATH": "/of/the/job",
        "PYTHONHASHSEED": "0",
        "PYTEST_ADDOPTS": "-v",
        "DCS_ENGINE": "local",
        "VIRTUAL_ENV": "/venv",
        "PATH": "/venv/bin:/usr/bin:/bin",
        "HOME": "/github/home",
        "LANG": "C.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    seen = local.machine_environment()
    assert not {"PYTHONPATH", "PYTEST_ADDOPTS", "DCS_ENGINE", "VIRTUAL_ENV"} & seen.keys()
    assert seen["PYTHONHASHSEED"] == "0"
    assert seen["PATH"] == "/usr/bin:/bin"
    assert seen["HOME"] == local.home_of_root()
    assert seen["LANG"] == "C.UTF-8"


def environment_of(spec: ContainerSpec, **config: Any) -> dict[str, str]:
    return local.environment_of(an_image(**config), spec)


def test_a_known_image_gets_what_a_container_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_JOB", "yes")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "all")
    spec = ContainerSpec(run_id="local", environment={"DB_HOME": "/databricks"})
    seen = environment_of(spec, environment={"LANG": "C.UTF-8"})
    assert seen.keys() == {
        "PATH",
        "HOSTNAME",
        "HOME",
        "LANG",
        "NVIDIA_VISIBLE_DEVICES",
        "DB_HOME",
    }
    assert seen["PATH"] == local.DEFAULT_PATH


def test_chosen_gpus_are_the_visible_ones() -> None:
    spec = ContainerSpec(run_id="local", gpus=GpuRequest(devices=("1", "3")))
    assert environment_of(spec)["CUDA_VISIBLE_DEVICES"] == "1,3"


def test_a_launch_runs_commands_with_the_images_environment(engine: LocalEngine) -> None:
    image = Image("localhost", "", ImageConfig(environment={"OF_IMAGE": "yes"}))
    container = engine.launch(image, ContainerSpec(run_id="local", environment={"MORE": "1"}))
    process = container.start(["/bin/sh", "-c", "echo $OF_IMAGE $MORE"])
    assert everything(process)["stdout"] == b"yes 1\n"
    process.close()


def test_one_launch_at_a_time(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TAKEN_TIMEOUT", 0.3)
    image = Image("localhost", "", ImageConfig())
    first = engine.launch(image, ContainerSpec(run_id="local"))
    with pytest.raises(errors.MachineTaken):
        engine.launch(image, ContainerSpec(run_id="local"))
    first.end()
    engine.launch(image, ContainerSpec(run_id="local")).end()


def test_a_shell_that_is_silent_is_the_images_fault(
    engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_dcs.engines.local_container.STARTER", ("/bin/false",))
    image = Image("localhost", "", ImageConfig())
    with pytest.raises(LaunchFailed, match="/bin/sh, ended at once: it wrote nothing"):
        engine.launch(image, ContainerSpec(run_id="local"))
    monkeypatch.undo()
    engine.launch(image, ContainerSpec(run_id="local")).end()


def test_a_volume_is_there_for_each_launch_until_the_engine_is_closed(
    engine: LocalEngine, tmp_path: Path
) -> None:
    image = Image("localhost", "", ImageConfig())
    mount = tmp_path / "mount/spark"
    tar = tmp_path / "volume.tar"
    tar.write_bytes(tar_of(("RELEASE", "Spark", 0o644, "file")))
    for _ in range(2):
        with tar.open("rb") as content:
            engine.fill_volume("spark", image, content)
        spec = ContainerSpec(run_id="local", volumes={"spark": str(mount)})
        container = engine.launch(image, spec)
        assert (mount / "RELEASE").read_text() == "Spark"
        container.end()
        assert not mount.parent.exists()
    engine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["volume.tar"]


def test_layers_cannot_be_saved_from_inside(engine: LocalEngine) -> None:
    with pytest.raises(errors.LayersOutOfReach):
        engine.save([])
