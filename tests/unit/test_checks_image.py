from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from pytest_dcs.checks import image
from pytest_dcs.rules import NotApplicable, RuleBroken
from pytest_dcs.runtimes import load

from .fake_host import an_image, finding_of


def test_an_arm64_image_is_found() -> None:
    image.test_platform_is_linux_amd64(an_image())
    found = finding_of(image.test_platform_is_linux_amd64, an_image(architecture="arm64"))
    assert found == "platform of the image: found linux/arm64; needed linux/amd64"


@pytest.mark.parametrize("user", ["", "0", "root", "0:0", "root:root"])
def test_every_way_to_write_root_is_root(user: str) -> None:
    image.test_user_is_root(an_image(user=user))


def test_another_user_is_found() -> None:
    assert "app" in finding_of(image.test_user_is_root, an_image(user="app:staff"))


def test_each_volume_is_an_item() -> None:
    image.test_no_volumes(an_image())
    with pytest.raises(RuleBroken) as caught:
        image.test_no_volumes(an_image(volumes=("/data", "/tmp")))
    assert [item.subject for item in caught.value.items] == [
        "VOLUME /data of the image",
        "VOLUME /tmp of the image",
    ]


@pytest.mark.parametrize(
    ("entrypoint", "command"),
    [
        ((), ()),
        ((), ("/bin/bash",)),
        ((), ("/bin/sh", "-c", "bash")),
        ((), ("python3",)),
        (("/opt/nvidia/nvidia_entrypoint.sh",), ("bash",)),
        (("/usr/bin/tini", "--"), ("bash", "-l")),
    ],
)
def test_nothing_is_lost_with_a_bare_shell(
    entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    image.test_entrypoint_is_not_needed(an_image(entrypoint=entrypoint, command=command))


@pytest.mark.parametrize(
    ("entrypoint", "command"),
    [
        (("/usr/local/bin/entrypoint.sh",), ("bash",)),
        ((), ("/bin/sh", "-c", "service ssh start")),
        ((), ("python3", "server.py")),
    ],
)
def test_a_service_that_will_not_start_is_found(
    entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    found = finding_of(
        image.test_entrypoint_is_not_needed, an_image(entrypoint=entrypoint, command=command)
    )
    assert " ".join((*entrypoint, *command)) in found


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"])
def test_options_for_every_jvm_are_found(name: str) -> None:
    image.test_no_java_options(an_image(environment={name: "", "JAVA_OPTS": "-Xmx1g"}))
    found = finding_of(image.test_no_java_options, an_image(environment={name: "-Xmx1g"}))
    assert found == f"ENV {name} of the image: found -Xmx1g; needed not set"


def test_the_platforms_own_variables_are_found() -> None:
    image.test_no_platform_variables(an_image(environment={"PATH": "/bin", "LANG": "C.UTF-8"}))
    found = finding_of(
        image.test_no_platform_variables, an_image(environment={"SPARK_HOME": "/opt/spark"})
    )
    assert found.startswith("ENV SPARK_HOME of the image: found /opt/spark")


def test_a_runtime_past_its_support_is_found() -> None:
    runtime = load().find("15.4")
    image.test_runtime_in_support(replace(runtime, end_of_support=datetime.date.max))
    ended = replace(runtime, end_of_support=datetime.date(2020, 1, 31))
    assert "found end of support on 2020-01-31" in finding_of(image.test_runtime_in_support, ended)


def test_an_unknown_end_of_support_is_no_finding() -> None:
    with pytest.raises(NotApplicable):
        image.test_runtime_in_support(replace(load().find("15.4"), end_of_support=None))
