"""An image's layers are the same whether the engine saves them or a file has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.image import archives
from pytest_dcs.image.layer_cache import LayerCache
from pytest_dcs.layer_readings import LayerReadings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

SCRATCH = "pytest-dcs/layers:scratch"
DOCKERFILE = """FROM pytest-dcs/broken:platform-arm64
COPY Dockerfile /keys/one
COPY Dockerfile /keys/two
"""
"""An image without files is the base: what is saved is small."""


@pytest.fixture
def layered_image(docker_command: DockerCommand, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "build"
    folder.mkdir()
    folder.joinpath("Dockerfile").write_text(DOCKERFILE)
    docker_command("build", "--quiet", f"--tag={SCRATCH}", str(folder))
    yield SCRATCH
    docker_command("image", "rm", SCRATCH)


def test_layers_from_the_engine_are_those_of_its_archive(
    engine: DockerEngine, docker_command: DockerCommand, layered_image: str, tmp_path: Path
) -> None:
    archive = tmp_path / "image.tar"
    docker_command("save", f"--output={archive}", layered_image)
    from_file = archives.resolve("docker-archive:image.tar", tmp_path)
    from_engine = engine.resolve(layered_image, "never")
    assert from_file.id == from_engine.id
    assert from_file.config.layers == from_engine.config.layers
    read = archives.read(archives.parse(from_file.archive), LayerCache(tmp_path / "file", ()))
    saved = LayerReadings(lambda: engine, tmp_path / "engine").result(from_engine)
    assert read == saved
    assert [file.path for file in saved.layers[-1].files if file.kind == "file"] == ["/keys/two"]
    assert "/keys/two" in saved.created_by(saved.layers[-1])


def test_an_image_that_was_read_is_not_saved_again(
    engine: DockerEngine,
    layered_image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = engine.resolve(layered_image, "never")
    first = LayerReadings(lambda: engine, tmp_path).result(image)
    monkeypatch.delattr("pytest_dcs.engines.docker.DockerEngine.save")
    assert LayerReadings(lambda: engine, tmp_path).result(image) == first


def test_the_steps_that_the_engine_lists_are_in_the_config(
    engine: DockerEngine, layered_image: str
) -> None:
    steps = [step.created_by for step in engine.resolve(layered_image, "never").config.history]
    assert "/keys/one" in steps[-2]
    assert "/keys/two" in steps[-1]


def test_an_image_that_has_gone_is_a_fault_of_the_set_up(
    engine: DockerEngine, layered_image: str
) -> None:
    image = replace(engine.resolve(layered_image, "never"), id=f"sha256:{'0' * 64}")
    with pytest.raises(errors.EngineFault, match="save pytest-dcs/layers"), engine.save([image]):
        pass
