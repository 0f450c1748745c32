"""Jars and packages of the user's reach Spark's class path, for own code and own tests."""

from __future__ import annotations

import functools
import http.server
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.launch_request import RUNNER

from .launching import launched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dcs.engines.docker import DockerEngine

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>acme</groupId><artifactId>scores</artifactId><version>1.0</version>
</project>
"""
FIND_RESOURCE = """
loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()
print(loader.getResource("acme-scores.txt") is not None)
print(spark.conf.get("spark.acme"))
"""


def make_jar(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("acme-scores.txt", "1.0")
    return path


@pytest.fixture
def repository(tmp_path: Path, docker_command: DockerCommand) -> Iterator[str]:
    """Serve a Maven repository of one package where containers reach it, and return its address."""
    folder = tmp_path / "acme" / "scores" / "1.0"
    folder.mkdir(parents=True)
    make_jar(folder / "scores-1.0.jar")
    (folder / "scores-1.0.pom").write_text(POM)
    template = "{{(index .IPAM.Config 0).Gateway}}"
    gateway = docker_command("network", "inspect", "bridge", "--format", template)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer((gateway, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{gateway}:{server.server_port}"
        server.shutdown()


def test_a_jar_and_a_setting_are_there(
    engine: DockerEngine, python_image: str, tmp_path: Path
) -> None:
    jars = (make_jar(tmp_path / "scores.jar"),)
    conf = ("spark.acme=a=b,c",)
    with launched(engine, python_image, "python", RUNNER, jars=jars, spark_conf=conf) as launch:
        assert launch.spark_runner().run(FIND_RESOURCE) == "True\na=b,c\n"


def test_spark_fetches_packages_over_an_open_network(
    engine: DockerEngine, python_image: str, repository: str
) -> None:
    conf = (
        "spark.acme=1",
        "spark.jars.packages=acme:scores:1.0",
        f"spark.jars.repositories={repository}",
    )
    with launched(
        engine, python_image, "python", RUNNER, spark_conf=conf, open_network=True
    ) as launch:
        assert launch.spark_runner().run(FIND_RESOURCE) == "True\n1\n"
