from __future__ import annotations

import pytest

from pytest_dcs.checks import image, image_environment, image_layers
from pytest_dcs.image import History, Image, ImageConfig, Manifest
from pytest_dcs.image.layers import File, Layer, Layers
from pytest_dcs.rules import NotApplicable, RuleBroken

from .fake_host import an_image, finding_of

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def kept_as(*layer_types: str, attestations: int = 0) -> Image:
    manifest = Manifest("", layer_types=layer_types, attestations=attestations)
    return Image("acme/ml:1", "sha256:0", ImageConfig(), manifest=manifest)


def test_layers_of_gzip_are_unpacked_everywhere() -> None:
    image_layers.test_layers_are_gzip(kept_as(f"{OCI_LAYER}+gzip", DOCKER_LAYER, OCI_LAYER))


def test_a_layer_of_zstd_is_named() -> None:
    found = finding_of(
        image_layers.test_layers_are_gzip, kept_as(f"{OCI_LAYER}+gzip", f"{OCI_LAYER}+zstd")
    )
    assert found.startswith(f"layer 2 of the image: found {OCI_LAYER}+zstd")


@pytest.mark.parametrize(
    "check", [image_layers.test_layers_are_gzip, image_layers.test_no_attestations]
)
def test_an_engine_does_not_tell_how_an_image_is_kept(check: object) -> None:
    assert callable(check)
    with pytest.raises(NotApplicable, match="oci:DIR"):
        check(an_image())


def test_attestations_are_counted() -> None:
    image_layers.test_no_attestations(kept_as())
    assert "found 2" in finding_of(image_layers.test_no_attestations, kept_as(attestations=2))


def test_docker_stacks_so_many_layers() -> None:
    image_layers.test_layer_count(an_image(layers=("sha256:1",) * 125))
    assert "found 126" in finding_of(
        image_layers.test_layer_count, an_image(layers=("sha256:1",) * 126)
    )


def test_the_size_is_the_engine_s_or_that_of_all_layers() -> None:
    layers = Layers((Layer("1", size=4 * 10**9), Layer("2", size=3 * 10**9)))
    image_layers.test_image_size(an_image(), layers)
    small = Image("acme/ml:1", "sha256:0", ImageConfig(), size=10**9)
    image_layers.test_image_size(small, Layers((Layer("1", size=8 * 10**9),)))


def test_a_size_names_the_steps_that_made_it() -> None:
    layers = Layers(
        (Layer("1", size=10**9), Layer("2", size=7 * 10**9)),
        (History("ADD rootfs.tar /"), History("RUN pip install torch")),
    )
    found = finding_of(image_layers.test_image_size, an_image(), layers)
    assert "found 8.0 GB (7.0 GB by RUN pip …; 1.0 GB by ADD … /)" in found


def test_an_owner_beyond_the_range_is_found_in_any_layer() -> None:
    def owned(path: str, uid: int, gid: int) -> File:
        return File(path, "file", 0o644, uid, gid, 1)

    image_layers.test_file_owners(Layers((Layer("1", files=(owned("/a", 65535, 65534),)),)))
    layers = Layers(
        (
            Layer("1", files=(owned("/a", 369884941, 0), owned("/b", 0, 65536))),
            Layer("2", removed=("/a",)),
        )
    )
    with pytest.raises(RuleBroken) as caught:
        image_layers.test_file_owners(layers)
    assert [(item.subject, item.found) for item in caught.value.items] == [
        ("/a", "owner 369884941:0"),
        ("/b", "owner 0:65536"),
    ]


def test_config_that_nobody_obeys_is_found() -> None:
    image.test_config_is_honoured(an_image(working_directory="/databricks/"))
    image.test_config_is_honoured(an_image(working_directory="/", health_check=("NONE",)))
    odd = an_image(working_directory="/app", health_check=("CMD", "false"), stop_signal="SIGQUIT")
    with pytest.raises(RuleBroken) as caught:
        image.test_config_is_honoured(odd)
    assert [(item.subject, item.found) for item in caught.value.items] == [
        ("WORKDIR of the image", "/app"),
        ("HEALTHCHECK of the image", "CMD false"),
        ("STOPSIGNAL of the image", "SIGQUIT"),
    ]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"http_proxy": ""},
        {"http_proxy": "http://p:1", "no_proxy": "*"},
        {"http_proxy": "http://p:1", "no_proxy": "localhost, 127.0.0.1,169.254.169.254"},
        {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1,169.254.169.254"},
    ],
)
def test_a_proxy_that_leaves_the_cluster_out_is_right(environment: dict[str, str]) -> None:
    image_environment.test_proxy_leaves_the_cluster_out(an_image(environment=environment))


@pytest.mark.parametrize(
    "environment",
    [
        {"http_proxy": "http://p:1"},
        {"http_proxy": "http://p:1", "no_proxy": "localhost,127.0.0.1"},
        {"HTTP_PROXY": "http://p:1", "no_proxy": "*"},
    ],
)
def test_a_proxy_for_everything_is_found(environment: dict[str, str]) -> None:
    found = finding_of(
        image_environment.test_proxy_leaves_the_cluster_out, an_image(environment=environment)
    )
    assert "169.254.169.254" in found


def test_nvidia_s_folders_are_no_finding() -> None:
    path = "/usr/local/nvidia/lib:/usr/local/nvidia/lib64:/usr/local/cuda-11.8/lib64:"
    environment = {"LD_LIBRARY_PATH": path, "LD_PRELOAD": ""}
    image_environment.test_no_variables_for_every_process(an_image(environment=environment))


@pytest.mark.parametrize("name", [*image_environment.REACHES_ALL, "LD_LIBRARY_PATH"])
def test_a_variable_for_every_process_is_found(name: str) -> None:
    found = finding_of(
        image_environment.test_no_variables_for_every_process,
        an_image(environment={name: "/opt/own"}),
    )
    assert found.startswith(f"ENV {name} of the image: found /opt/own; needed not set: ")
