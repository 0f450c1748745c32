"""What a container sees is what all layers leave of each other."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from typing import IO, TYPE_CHECKING, Any

import pytest

from pytest_dcs.image import History, Image, ImageConfig
from pytest_dcs.image.archives import verified
from pytest_dcs.image.layer_cache import LayerCache
from pytest_dcs.image.layer_reading import BROKEN, read_layer
from pytest_dcs.image.layers import File, Layer, Layers
from pytest_dcs.image.saved import read_saved

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

DIGEST = "sha256:" + "a" * 64
CONTENT = b"content"


def a_file(path: str) -> File:
    return File(path, "file", 0o644, 0, 0, 1)


def a_directory(path: str) -> File:
    return File(path, "directory", 0o755, 0, 0, 0)


def members(tar: tarfile.TarFile, *names: str) -> None:
    for name in names:
        member = tarfile.TarInfo(name)
        member.size = len(CONTENT)
        tar.addfile(member, io.BytesIO(CONTENT))


def a_tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        members(tar, *names)
    return buffer.getvalue()


def a_tar_of_all_kinds() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        members(tar, "./etc/passwd")
        for name, kind, link in (
            ("etc", tarfile.DIRTYPE, ""),
            ("etc/mtab", tarfile.SYMTYPE, "/proc/mounts"),
            ("etc/group", tarfile.LNKTYPE, "etc/passwd"),
            ("dev/null", tarfile.CHRTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.uid = kind, link, 7
            tar.addfile(member)
    return buffer.getvalue()


class Sizes:
    """Notes how much it has read of each file in /etc."""

    name = "sizes"
    version = 1

    def wants(self, file: File) -> bool:
        return file.path.startswith("/etc/")

    def read(self, file: File, content: IO[bytes]) -> Iterable[Mapping[str, Any]]:
        return [{"path": file.path, "size": len(content.read())}]


def test_later_layers_hide_files_of_earlier_ones() -> None:
    layers = Layers(
        (
            Layer("1", files=tuple(map(a_file, ["/a", "/keys/one", "/keys/two", "/opt/app/x"]))),
            Layer("2", files=(a_file("/opt/app/y"),), removed=("/a", "/keys")),
            Layer("3", files=(a_file("/opt/app/z"),), emptied=("/opt/app",)),
        )
    )
    assert [*layers.merged] == ["/opt/app/z"]


def test_a_file_in_the_place_of_a_directory_hides_what_was_in_it() -> None:
    layers = Layers(
        (
            Layer("1", files=(a_directory("/data"), a_file("/data/x"))),
            Layer("2", files=(a_file("/data"),)),
        )
    )
    assert layers.merged == {"/data": a_file("/data")}


def test_a_directory_again_keeps_what_is_in_it() -> None:
    again = Layer("2", files=(a_directory("/data"),))
    layers = Layers((Layer("1", files=(a_directory("/data"), a_file("/data/x"))), again))
    assert [*layers.merged] == ["/data", "/data/x"]


def test_a_layer_knows_the_step_that_made_it() -> None:
    one, two = Layer("1"), Layer("2")
    steps = (History("ENV A=1", empty=True), History("COPY a /"), History("RUN rm /a"))
    layers = Layers((one, two), steps)
    assert (layers.created_by(one), layers.created_by(two)) == ("COPY a /", "RUN rm /a")
    assert not Layers((one,), steps).created_by(one)


def test_a_base_without_history_leaves_the_last_steps_to_the_last_layers() -> None:
    base, own = Layer("1"), Layer("2")
    layers = Layers((base, own), (History("COPY a /"),))
    assert (layers.created_by(base), layers.created_by(own)) == ("", "COPY a /")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstd.compress])
def test_a_layer_is_read_however_it_is_compressed(compress: Callable[[bytes], bytes]) -> None:
    content = compress(a_tar_of_all_kinds())
    name = f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    with verified(io.BytesIO(content), name) as stream_that_cannot_seek:
        layer = read_layer(stream_that_cannot_seek, DIGEST, ())
    assert [(file.path, file.kind, file.link) for file in layer.files] == [
        ("/etc/passwd", "file", ""),
        ("/etc", "directory", ""),
        ("/etc/mtab", "symlink", "/proc/mounts"),
        ("/etc/group", "hardlink", "etc/passwd"),
        ("/dev/null", "other", ""),
    ]
    assert layer.size == len(CONTENT)
    assert layer.files[1].uid == 7


def test_whiteouts_are_no_files() -> None:
    tar = a_tar("opt/.wh.secret", "srv/.wh..wh..opq", "srv/new")
    layer = read_layer(io.BytesIO(tar), DIGEST, ())
    assert [file.path for file in layer.files] == ["/srv/new"]
    assert (layer.removed, layer.emptied) == (("/opt/secret",), ("/srv",))


def test_a_path_cannot_leave_the_root() -> None:
    layer = read_layer(io.BytesIO(a_tar("../../etc/passwd")), DIGEST, ())
    assert [file.path for file in layer.files] == ["/etc/passwd"]


def test_readers_look_into_the_files_that_they_want() -> None:
    layer = read_layer(io.BytesIO(a_tar("etc/a", "opt/b", "etc/c")), DIGEST, (Sizes(),))
    assert [note["path"] for note in layer.notes["sizes"]] == ["/etc/a", "/etc/c"]
    assert {note["size"] for note in layer.notes["sizes"]} == {len(CONTENT)}


@pytest.mark.parametrize(
    "content", [b"no tar" * 200, gzip.compress(a_tar("a"))[:-20]], ids=["text", "cut off"]
)
def test_what_is_no_layer_is_refused(content: bytes) -> None:
    with pytest.raises(BROKEN):
        read_layer(io.BytesIO(content), DIGEST, ())


def test_a_layer_is_kept_as_it_was_read(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path, (Sizes(),))
    layer = read_layer(io.BytesIO(a_tar("etc/a", "opt/.wh.b")), DIGEST, cache.readers)
    assert cache.get(DIGEST) is None
    cache.put(layer)
    assert cache.get(DIGEST) == layer


def test_a_damaged_layer_is_read_again(tmp_path: Path) -> None:
    cache = LayerCache(tmp_path, ())
    cache.put(Layer(DIGEST))
    (kept,) = tmp_path.joinpath("layers").iterdir()
    kept.write_bytes(kept.read_bytes()[:10])
    assert cache.get(DIGEST) is None


def test_a_layer_is_read_again_when_readers_note_other_things(tmp_path: Path) -> None:
    LayerCache(tmp_path, ()).put(Layer(DIGEST))
    assert LayerCache(tmp_path, (Sizes(),)).get(DIGEST) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    tmp_path.joinpath("layers").write_text("a file in its place")
    cache = LayerCache(tmp_path, ())
    cache.put(Layer(DIGEST))
    assert cache.get(DIGEST) is None


def saved(files: dict[str, bytes], links: dict[str, str] | None = None) -> IO[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, link in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member)
    buffer.seek(0)
    return buffer


def config_of(*digests: str) -> bytes:
    history = [{"created_by": f"COPY {digest}"} for digest in digests]
    return json.dumps({"rootfs": {"diff_ids": digests}, "history": history}).encode()


def test_an_older_engine_s_image_is_read_in_the_order_of_its_manifest(tmp_path: Path) -> None:
    manifest = [{"Config": "c.json", "Layers": ["2/layer.tar", "1/layer.tar", "3/layer.tar"]}]
    stream = saved(
        {
            "1/VERSION": b"1.0",
            "1/json": b"{}",
            "1/layer.tar": a_tar("one"),
            "2/layer.tar": a_tar("two"),
            "c.json": config_of("sha256:2", "sha256:1", "sha256:3"),
            "manifest.json": json.dumps(manifest).encode(),
        },
        links={"3/layer.tar": "../2/layer.tar"},
    )
    (layers,) = read_saved(stream, LayerCache(tmp_path, ())).values()
    found = [(layer.digest, layer.files[0].path) for layer in layers.layers]
    assert found == [("sha256:2", "/two"), ("sha256:1", "/one"), ("sha256:3", "/two")]
    assert layers.created_by(layers.layers[1]) == "COPY sha256:1"


def test_a_newer_engine_s_layers_are_not_read_twice(tmp_path: Path) -> None:
    names = [f"blobs/sha256/{letter * 64}" for letter in "abc"]
    manifest = [{"Config": names[2], "Layers": names[:2]}]
    digests = [f"sha256:{letter * 64}" for letter in "ab"]
    cache = LayerCache(tmp_path, ())
    cache.put(Layer(digests[0], files=(a_file("/known"),)))
    stream = saved(
        {
            names[0]: a_tar("not looked at"),
            names[1]: a_tar("new"),
            names[2]: config_of(*digests),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )
    (layers,) = read_saved(stream, cache).values()
    assert [layer.files[0].path for layer in layers.layers] == ["/known", "/new"]
    image = Image("acme/ml:1", "sha256:" + "c" * 64, ImageConfig(layers=tuple(digests)))
    assert cache.get_all(image) is None
    cache.put_all(image, layers)
    assert cache.get_all(image) == layers


def test_an_answer_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        read_saved(saved({"1/layer.tar": a_tar("one")}), LayerCache(tmp_path, ()))


def test_images_that_have_a_layer_in_common_are_read_together(tmp_path: Path) -> None:
    manifest = [
        {"Config": "1.json", "Layers": ["base/layer.tar", "1/layer.tar"]},
        {"Config": "2.json", "Layers": ["base/layer.tar"]},
    ]
    stream = saved(
        {
            "base/layer.tar": a_tar("base"),
            "1/layer.tar": a_tar("one"),
            "1.json": config_of("sha256:b", "sha256:1"),
            "2.json": config_of("sha256:b"),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )
    one, two = read_saved(stream, LayerCache(tmp_path, ())).values()
    assert [*one.merged] == ["/base", "/one"]
    assert two.layers == one.layers[:1]
