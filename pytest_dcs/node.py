"""What a node of Databricks Container Services gives to every container: layout and environment."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from pytest_dcs.engines import Container
    from pytest_dcs.image import ImageConfig
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.shell import Shell

PLATFORM_ENVIRONMENT = {
    "DB_HOME": "/databricks",
    "SPARK_HOME": "/databricks/spark",
    "SPARK_LOCAL_DIRS": "/local_disk0",
}
"""Variables that Spark and the platform's scripts cannot do without."""

SEEN_ENVIRONMENT = {
    "DATABRICKS_LIBS_NFS_ROOT_DIR": ".ephemeral_nfs",
    "DATABRICKS_CLUSTER_LIBS_ROOT_DIR": "cluster_libraries",
    "PYTHONHASHSEED": "0",
}
"""Further variables that were seen on clusters, with their values.

https://github.com/databricks/containers/blob/master/experimental/ubuntu/ganglia/start_spark_slave.sh
"""

PLATFORM_DIRECTORIES = {
    "/local_disk0": 0o755,
    "/local_disk0/tmp": 0o1777,
    "/local_disk0/.ephemeral_nfs": 0o755,
    "/local_disk0/.ephemeral_nfs/cluster_libraries": 0o755,
    "/local_disk0/.ephemeral_nfs/envs": 0o755,
    "/databricks": 0o755,
    "/databricks/driver": 0o755,
    "/databricks/driver/conf": 0o755,
    "/databricks/jars": 0o755,
    "/databricks/init_scripts": 0o755,
    "/databricks/kernel-connections": 0o755,
}
"""What the platform makes in a container before anything of the user's runs, with its modes."""

PLATFORM_LINKS = {"/databricks/python": "/databricks/python3"}
"""Links that the platform makes where the image has nothing in their place."""

SPARK_HOME = "/databricks/spark"
PLATFORM_PATHS = (
    *PLATFORM_DIRECTORIES,
    *PLATFORM_LINKS,
    SPARK_HOME,
    "/databricks/BUILDINFO",
    "/databricks/DBR_VERSION",
    "/databricks/common",
    "/databricks/conf",
    "/databricks/data",
    "/databricks/hive",
    "/databricks/python_shell",
    "/databricks/scripts",
    "/dbfs/*",
    "/Workspace/*",
    "/Volumes/*",
    "/local_disk0/*",
)
"""Where the platform puts or mounts what is its own; a star stands for any content.

https://github.com/NVIDIA/spark-rapids/blob/main/jenkins/databricks/setup.sh
"""

PATHS_OF_IMAGES = frozenset(
    {"/databricks", "/databricks/jars", "/databricks/python", "/local_disk0"}
)
"""Of these, what images may well have, official and experimental ones among them."""

HOST_NAME = "1123-093000-dcslocal-10-0-0-2"
"""A name of the form that nodes have: the cluster's id, then the address with dashes."""

SPARK_MOUNT = "/opt/pytest-dcs/spark"
EMULATION_FACTOR = 5
"""How much longer everything may take where the engine emulates linux/amd64."""

DEFAULT_PYTHON = "/databricks/python3/bin/python3"
JVM_DIRECTORY = "/usr/lib/jvm"


def paths_of_platform(shell: Shell) -> list[str]:
    """Return those of `PLATFORM_PATHS` that the container has, be it as a link to nowhere."""
    words = " ".join(PLATFORM_PATHS)
    tried = f'for path in {words}; do [ -e "$path" ] || [ -L "$path" ] && echo "$path"; done; :'
    return shell.run(tried).stdout.decode().splitlines()


def time_factor(container: Container) -> int:
    """Return how much longer than usual things may take in a container."""
    return EMULATION_FACTOR if container.emulated else 1


def python_of(config: ImageConfig) -> str:
    """Return the interpreter that Spark and notebooks would take.

    Up to runtime 8.x it may be that of a conda environment.
    https://github.com/databricks/containers/tree/release-9.1-LTS/ubuntu/python-conda
    """
    conda = config.environment.get("DATABRICKS_ROOT_CONDA_ENV")
    default = f"/databricks/conda/envs/{conda}/bin/python" if conda else DEFAULT_PYTHON
    return config.environment.get("PYSPARK_PYTHON", default)


def platform_environment(
    config: ImageConfig, runtime: Runtime, cluster: Mapping[str, str], *, as_seen: bool
) -> Mapping[str, str]:
    """Return what the platform adds to the image's own environment.

    `cluster` is what the cluster's `spark_env_vars` set; `as_seen` adds what is not documented.
    """
    chosen = {**config.environment, **cluster}
    java_home = {"JAVA_HOME": f"{JVM_DIRECTORY}/{chosen['JNAME']}"} if chosen.get("JNAME") else {}
    return {
        **PLATFORM_ENVIRONMENT,
        **(SEEN_ENVIRONMENT if as_seen else {}),
        "DATABRICKS_RUNTIME_VERSION": runtime.version,
        **java_home,
        **cluster,
    }


def node_layout(present: Collection[str], *, with_spark: bool) -> bytes:
    """Return a tar of the directories and links of a node that the image does not have.

    Made outside, so that laying them out needs no tool of the image.
    """
    links = {**PLATFORM_LINKS, **({SPARK_HOME: SPARK_MOUNT} if with_spark else {})}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, mode in PLATFORM_DIRECTORIES.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, mode
            if path not in present:
                archive.addfile(member)
        for path, target in links.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
            if path not in present:
                archive.addfile(member)
    return buffer.getvalue()


def files_archive(directory: str, files: Iterable[Path]) -> bytes:
    """Return a tar with files of this machine in one directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            archive.add(file, f"{directory.lstrip('/')}/{file.name}", filter=as_root)
    return buffer.getvalue()


def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return a member that belongs to root and that all may read."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
