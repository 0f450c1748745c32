"""Images in files of this machine are read as the containers tools name them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from pytest_dcs import errors
from pytest_dcs.image import archives
from pytest_dcs.image.layer_cache import LayerCache
from sample_images import layouts
from sample_images.layouts import Layout

if TYPE_CHECKING:
    from pathlib import Path

AMD64 = "linux/amd64"
ARM64 = "linux/arm64"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "layout"
    folder.mkdir()
    layouts.write(folder, Layout(layers=2), AMD64, {"User": "spark"})
    return folder


def tar_of(folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, ".")
    return archive


def docker_archive(path: Path, *tags: str) -> Path:
    """Write images as `docker save` does, each with one layer and another user."""
    manifest, files = [], {"layer.tar": layouts.layer(0)}
    for number, tag in enumerate(tags):
        config = {
            "config": {"User": f"user{number}"},
            "rootfs": {"diff_ids": [layouts.digest(files["layer.tar"])]},
            "history": [{"created_by": "ENV A=1", "empty_layer": True}, {"created_by": "COPY a /"}],
        }
        files[f"{number}.json"] = json.dumps(config).encode()
        manifest.append({"Config": f"{number}.json", "RepoTags": [tag], "Layers": ["layer.tar"]})
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def blob_of(layout: Path, descriptor: dict[str, Any]) -> Path:
    return layout / "blobs" / str(descriptor["digest"]).replace(":", "/")


def manifest_of(layout: Path) -> dict[str, Any]:
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    document: dict[str, Any] = json.loads(blob_of(layout, entry).read_text())
    return document


@pytest.mark.parametrize("name", ["oci:layout", "oci-archive:layout.tar"])
def test_a_layout_is_read_from_a_folder_and_from_its_tar(
    layout: Path, tmp_path: Path, name: str
) -> None:
    tar_of(layout)
    image = archives.resolve(name, tmp_path)
    assert (image.reference, image.config.user, image.config.platform) == (name, "spark", AMD64)
    assert image.manifest is not None
    assert image.manifest.layer_types == ("application/vnd.oci.image.layer.v1.tar+gzip",) * 2
    assert image.digest
    layers = archives.read(archives.parse(image.archive), LayerCache(tmp_path, ()))
    assert [layer.digest for layer in layers.layers] == [*image.config.layers]
    assert [*layers.merged] == ["/layer-0", "/layer-1"]


def test_layers_that_are_known_are_not_read_again(layout: Path, tmp_path: Path) -> None:
    image = archives.resolve("oci:layout", tmp_path)
    first = archives.read(archives.parse(image.archive), LayerCache(tmp_path, ()))
    for descriptor in manifest_of(layout)["layers"]:
        blob_of(layout, descriptor).unlink()
    assert archives.read(archives.parse(image.archive), LayerCache(tmp_path, ())) == first


def test_what_docker_save_wrote_is_read(tmp_path: Path) -> None:
    docker_archive(tmp_path / "image.tar", "acme/ml:1.4")
    image = archives.resolve("docker-archive:image.tar", tmp_path)
    assert (image.config.user, image.digest, image.manifest) == ("user0", None, None)
    layers = archives.read(archives.parse(image.archive), LayerCache(tmp_path, ()))
    assert layers.created_by(layers.layers[0]) == "COPY a /"


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    docker_archive(tmp_path / "image.tar", "acme/ml:1.3", "acme/ml:1.4")
    image = archives.resolve("docker-archive:image.tar:docker.io/acme/ml:1.4", tmp_path)
    assert image.config.user == "user1"
    assert archives.parse(image.archive).wanted == "docker.io/acme/ml:1.4"


@pytest.mark.parametrize("name", ["docker-archive:image.tar", "docker-archive:image.tar:acme/x:1"])
def test_without_a_name_that_fits_one_the_names_are_shown(tmp_path: Path, name: str) -> None:
    docker_archive(tmp_path / "image.tar", "acme/ml:1.3", "acme/ml:1.4")
    with pytest.raises(errors.BrokenArchive, match=r"it has acme/ml:1\.3, acme/ml:1\.4"):
        archives.resolve(name, tmp_path)


def test_a_name_of_a_layout_stands_in_its_index(layout: Path, tmp_path: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    named = [
        {**index["manifests"][0], "annotations": {archives.NAME: name}} for name in ("1.3", "1.4")
    ]
    change(layout / "index.json", manifests=named)
    assert archives.resolve("oci:layout:1.4", tmp_path).config.user == "spark"
    with pytest.raises(errors.BrokenArchive, match=r"it has 1\.3, 1\.4"):
        archives.resolve("oci:layout", tmp_path)


def test_of_several_platforms_the_clusters_own_is_taken(layout: Path, tmp_path: Path) -> None:
    other = tmp_path / "arm"
    other.mkdir()
    layouts.write(other, Layout(), ARM64)
    entries = [
        entry
        for folder in (other, layout)
        for entry in json.loads((folder / "index.json").read_text())["manifests"]
    ]
    nested = layouts.put(layout, layouts.encoded({"manifests": entries}), layouts.INDEX)
    change(layout / "index.json", manifests=[nested])
    shutil.copytree(other / "blobs", layout / "blobs", dirs_exist_ok=True)
    assert archives.resolve("oci:layout", tmp_path).config.platform == AMD64


def test_the_only_image_is_taken_whatever_its_platform(tmp_path: Path) -> None:
    folder = tmp_path / "arm"
    folder.mkdir()
    layouts.write(folder, Layout(attestation=True), ARM64)
    image = archives.resolve("oci:arm", tmp_path)
    assert image.config.platform == ARM64
    assert image.manifest is not None
    assert image.manifest.attestations == 1


def test_a_layer_of_another_content_is_refused(layout: Path, tmp_path: Path) -> None:
    first, second = manifest_of(layout)["layers"]
    shutil.copy(blob_of(layout, second), blob_of(layout, first))
    image = archives.resolve("oci:layout", tmp_path)
    with pytest.raises(errors.BrokenArchive, match="another content than its name says"):
        archives.read(archives.parse(image.archive), LayerCache(tmp_path, ()))


def test_a_manifest_of_another_content_is_refused(layout: Path, tmp_path: Path) -> None:
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    change(blob_of(layout, entry), layers=[])
    with pytest.raises(errors.BrokenArchive, match="another content than its name says"):
        archives.resolve("oci:layout", tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("oci:nowhere", "index.json: No such file"),
        ("oci-archive:nowhere.tar", "No such file"),
        ("oci-archive:text.tar", "could not be opened"),
        ("docker-archive:layout.tar", "it has no file manifest.json"),
        ("oci:empty", "its documents lack 'manifests'"),
        ("oci:strange", "index.json is no JSON"),
        ("oci:escaping", "../../etc/passwd is no sha256 digest"),
    ],
)
def test_what_is_no_image_is_told(layout: Path, tmp_path: Path, name: str, said: str) -> None:
    tar_of(layout)
    tmp_path.joinpath("text.tar").write_text("no tar at all" * 100)
    escaping = {"manifests": [{"digest": "../../etc/passwd", "mediaType": layouts.MANIFEST}]}
    for folder, index in (
        ("empty", "{}"),
        ("strange", "<html>"),
        ("escaping", json.dumps(escaping)),
    ):
        tmp_path.joinpath(folder).mkdir()
        tmp_path.joinpath(folder, "index.json").write_text(index)
    with pytest.raises(errors.BrokenArchive) as caught:
        archives.resolve(name, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["oci", "acme/oci:1", "oci/ml:1", "docker-archive"])
def test_names_of_an_engines_images_are_no_archives(name: str) -> None:
    assert not archives.is_archive(name)
