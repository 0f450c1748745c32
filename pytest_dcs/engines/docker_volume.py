"""A named volume on a Docker engine, filled once: files reach it without a bind mount."""

from __future__ import annotations

import io
import logging
import tarfile
import uuid
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from docker.errors import NotFound
from docker.types import Mount
from filelock import FileLock
from platformdirs import user_cache_path

from pytest_dcs import errors
from pytest_dcs.engines.docker_container import asking, remove

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import APIClient

logger = logging.getLogger(__name__)

LABEL = "pytest-dcs.cache"
MOUNT = "/pytest-dcs-cache"
COMPLETE = ".pytest-dcs-complete"
"""An empty file that is written last: a volume without it was not filled to the end."""


def fill(
    api: APIClient, volume: str, image_id: str, tar: IO[bytes], labels: Mapping[str, str]
) -> None:
    """Make the volume with the tar's content unless it is there and complete.

    The image is that of a helper container with these labels, which is never started.
    """
    with _locked(volume), asking("fill a volume"):
        api.create_volume(volume, labels={LABEL: "true"})
        with _helper(api, volume, image_id, labels) as helper:
            if not _is_complete(api, helper):
                logger.info("filling the volume %s", volume)
                api.put_archive(helper, MOUNT, tar)
                api.put_archive(helper, MOUNT, _empty_file(COMPLETE))


@contextmanager
def _helper(api: APIClient, volume: str, image_id: str, labels: Mapping[str, str]) -> Iterator[str]:
    name = f"pytest-dcs-{uuid.uuid4().hex[:12]}"
    config = api.create_container_config(
        image_id,
        command=[],
        entrypoint=["/bin/sh"],
        labels=dict(labels),
        host_config=api.create_host_config(
            network_mode="none", mounts=[Mount(MOUNT, volume, type="volume", no_copy=True)]
        ),
    )
    try:
        api.create_container_from_config(config, name)
        yield name
    finally:
        remove(api, name, network=False)


def _is_complete(api: APIClient, helper: str) -> bool:
    try:
        chunks, _ = api.get_archive(helper, f"{MOUNT}/{COMPLETE}")
    except NotFound:
        return False
    chunks.close()
    return True


@contextmanager
def _locked(volume: str) -> Iterator[None]:
    """Keep other processes of this user from filling the same volume meanwhile."""
    directory = user_cache_path("pytest-dcs") / "locks"
    lock = FileLock(directory / f"{volume}.lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise errors.CacheUnusable(directory, str(error)) from error
    try:
        yield
    finally:
        lock.release()


def _empty_file(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()
