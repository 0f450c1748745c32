"""The Docker engine, and Podman by the same API."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import time
import uuid
import warnings
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from typing import IO, TYPE_CHECKING, Any

from docker.errors import (
    APIError,
    DockerException,
    NotFound,
)
from docker.types import Healthcheck, LogConfig, Mount
from urllib3.exceptions import HTTPError

from pytest_dcs import errors
from pytest_dcs.engines import LaunchFailed, docker_volume, endpoint, reaper, words
from pytest_dcs.engines.docker_client import SAVE_BLOCK, connect, saved
from pytest_dcs.engines.docker_container import (
    DockerContainer,
    Lifeline,
    asking,
    connection,
    explanation,
    remove,
    remove_network,
    root_cause,
)
from pytest_dcs.engines.docker_grants import grants
from pytest_dcs.engines.stream import MultiplexedStream
from pytest_dcs.image import CLUSTER_PLATFORM
from pytest_dcs.image.config import from_inspection
from pytest_dcs.image.reference import Reference, is_image_id
from pytest_dcs.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_dcs.engines import ContainerSpec, PullPolicy
    from pytest_dcs.image import Image

logger = logging.getLogger(__name__)

LABEL_RUN = "pytest-dcs.run"
LABEL_OWNER = "pytest-dcs.owner"
"""The engine object that made a thing. The reaper removes by it, so that the workers of one run do
not remove each other's containers."""
LABEL_EXPIRES = "pytest-dcs.expires"
LABEL_KEEP = "pytest-dcs.keep"

LIFETIME = 24 * 3600
"""Seconds after which a later run may remove what a run has left behind."""
REAPER_TIMEOUT = 5.0
"""Seconds that a normal end waits for the reaper, which goes on by itself after them."""

LIFELINE = ("/bin/sh", "-c", f"echo {Lifeline.READY}; while read -r _; do :; done")
"""The main process: it ends with its stdin, which this process holds open."""

DNS_OPTIONS = ("timeout:1", "attempts:1")
"""On an internal network older engines leave a question about any other host unanswered, which a
program would take twenty seconds to notice."""


class DockerEngine:
    """The engine that `docker` on the command line would talk to."""

    def __init__(self) -> None:
        """Connect; raises `NoEngine`, `EngineDenied` and the errors of a broken configuration."""
        self._endpoint = endpoint.choose()
        self._api = connect(self._endpoint)
        self._owner = uuid.uuid4().hex
        self._reaper: subprocess.Popen[bytes] | None = None
        self._containers: list[DockerContainer] = []
        self._filled: set[str] = set()
        with asking("tell its platform"):
            version = self._api.version()
            self._memory: int = self._api.info()["MemTotal"]
        self.emulated = (version.get("Os"), version.get("Arch")) != CLUSTER_PLATFORM
        self.sweep()

    def resolve(self, reference: str, pull: PullPolicy) -> Image:
        """Return the image, pulled where the policy says so.

        Raises `InvalidReference`, `ImageNotFound`, `PullFailed` and `WrongArchitecture`.
        """
        parsed = None if is_image_id(reference) else Reference.parse(reference)
        name = f"{parsed.repository}@{parsed.digest}" if parsed and parsed.digest else reference
        if parsed is not None and pull == "always":
            self._pull(reference, parsed)
        document = self._inspect(name)
        if document is None and parsed is not None and pull == "missing":
            self._pull(reference, parsed)
            document = self._inspect(name)
        if document is None:
            raise errors.ImageNotFound(reference, "it is not on the engine")
        with asking(f"tell how {reference} was built"):
            history = self._api.history(document["Id"])
        return from_inspection(reference, document, history)

    @contextmanager
    def save(self, images: Sequence[Image]) -> Iterator[IO[bytes]]:
        """Open images with all their layers, as a tar in the format of `docker save`.

        What several of them have in common is in it once. Raises `EngineFault` and `EngineLost`,
        also while the tar is read.
        """
        # A client of its own, because this may run beside all others.
        client = connect(self._endpoint)
        try:
            with asking(f"save {', '.join(image.reference for image in images)}"):
                pieces = saved(client, [image.id for image in images])
                yield io.BufferedReader(Pieces(pieces), SAVE_BLOCK)
        finally:
            client.close()

    def launch(self, image: Image, spec: ContainerSpec) -> DockerContainer:
        """Start the image with a main process that ends together with this process.

        Raises `LaunchFailed` for the image's faults, `EngineFault` and `EngineLost` for others.
        """
        self._start_reaper()
        try:
            container = self._launch_as_granted(image, spec)
        except APIError as error:
            detail = words.readable(explanation(error))
            if words.is_image_fault(detail):
                raise LaunchFailed(detail) from error
            raise errors.EngineFault(task="start a container", detail=detail) from error
        self._containers.append(container)
        return container

    def fill_volume(self, name: str, image: Image, tar: IO[bytes]) -> None:
        """Make a named volume with the tar's content unless it is there and complete."""
        if name in self._filled:
            return
        self._start_reaper()
        docker_volume.fill(self._api, name, image.id, tar, self._labels("cache"))
        self._filled.add(name)

    def close(self) -> None:
        """End all containers and let go of the connection; never raises."""
        for container in self._containers:
            container.end()
        self._containers.clear()
        if self._reaper is not None and self._reaper.stdin is not None:
            with suppress(OSError):
                self._reaper.stdin.write(b"closed\n")
                self._reaper.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._reaper.wait(REAPER_TIMEOUT)
            self._reaper = None
        self._api.close()

    def sweep(self, *, kept: bool = False, cache: bool = False) -> list[str]:
        """Remove what earlier runs left and nobody can be using any more; return the names.

        `kept` takes containers that were to stay, `cache` the volumes with Sparks as well.
        """
        with asking("list what runs have left"):
            filters = {"label": LABEL_RUN}
            containers = self._api.containers(all=True, filters=filters)
            networks = self._api.networks(filters=filters)
            volumes = self._api.volumes(filters={"label": docker_volume.LABEL})["Volumes"] or []
        removed = []
        for container in containers:
            if _is_left(container["Labels"], kept=kept):
                remove(self._api, container["Id"], network=False)
                removed.append(container["Names"][0].lstrip("/"))
        for network in networks:
            if _is_left(network["Labels"], kept=kept):
                remove_network(self._api, network["Id"])
                removed.append(network["Name"])
        for volume in volumes if cache else []:
            with asking(f"remove the volume {volume['Name']}"):
                self._api.remove_volume(volume["Name"])
            removed.append(volume["Name"])
        return removed

    def _inspect(self, name: str) -> dict[str, Any] | None:
        with asking(f"describe the image {name}"):
            try:
                document: dict[str, Any] = self._api.inspect_image(name)
            except NotFound:
                return None
            return document

    def _pull(self, reference: str, parsed: Reference) -> None:
        logger.info("pulling %s", reference)
        try:
            with warnings.catch_warnings():
                # A credential helper that is not installed is an error too, which says the same.
                warnings.filterwarnings("ignore", "docker-credential-", UserWarning)
                progress = self._api.pull(
                    parsed.repository,
                    tag=parsed.digest or parsed.tag,
                    platform="/".join(CLUSTER_PLATFORM),
                    stream=True,
                    decode=True,
                )
            for line in progress:
                if "error" in line:
                    raise words.pull_error(reference, line["error"])
        except APIError as error:
            raise words.pull_error(reference, explanation(error)) from error
        except DockerException as error:
            # A credential helper that is missing or fails.
            raise errors.PullFailed(reference, str(error)) from error
        except (OSError, HTTPError) as error:
            raise errors.EngineLost(root_cause(error)) from error

    def _launch_as_granted(self, image: Image, spec: ContainerSpec) -> DockerContainer:
        """Launch without `/dev/fuse` and without GPUs where the engine has or grants none."""
        gpu_refusal = ""
        while True:
            try:
                return self._launch(image, spec, gpu_refusal)
            except APIError as error:
                detail = explanation(error)
                refusal = words.gpu_refusal(detail) if spec.gpus else ""
                if refusal:
                    spec, gpu_refusal = replace(spec, gpus=None), refusal
                elif spec.fuse and words.refuses_fuse(detail):
                    spec = replace(spec, fuse=False)
                else:
                    raise
                logger.info("the engine does not grant what was asked for: %s", detail)

    def _launch(self, image: Image, spec: ContainerSpec, gpu_refusal: str) -> DockerContainer:
        name = f"pytest-dcs-{uuid.uuid4().hex[:12]}"
        labels = self._labels(spec.run_id, keep=spec.keep)
        with ExitStack() as undo:
            # By name and before the call, because Ctrl-C can come before an answer with an id has.
            undo.callback(remove, self._api, name)
            with connection():
                if not spec.beside:
                    internal = not spec.open_network
                    self._api.create_network(
                        name, driver="bridge", internal=internal, labels=labels
                    )
                config = self._container_config(image, spec, name, labels)
                self._api.create_container_from_config(config, name)
                lifeline = Lifeline(self._attach(name))
                undo.callback(lifeline.close)
                self._api.start(name)
            failure = lifeline.failure()
            if failure is not None:
                raise LaunchFailed(failure)
            undo.pop_all()
        return DockerContainer(
            self._api,
            name,
            lifeline,
            keep=spec.keep,
            fuse=spec.fuse,
            gpu_refusal=gpu_refusal,
            emulated=self.emulated,
        )

    def _container_config(
        self, image: Image, spec: ContainerSpec, name: str, labels: Mapping[str, str]
    ) -> dict[str, Any]:
        network, hostname = spec.beside or name, spec.hostname or name
        host_config = self._api.create_host_config(
            auto_remove=not spec.keep,
            init=True,
            log_config=LogConfig(type="none"),
            network_mode=network,
            dns_opt=list(DNS_OPTIONS),
            mounts=[
                Mount(path, volume, type="volume", read_only=True, no_copy=True)
                for volume, path in spec.volumes.items()
            ],
            volumes_from=[spec.beside] if spec.beside else None,
            shm_size=self._memory // 2 if spec.node_memory else None,
            **grants(spec),
        )
        config: dict[str, Any] = self._api.create_container_config(
            image.id,
            command=[],
            entrypoint=list(LIFELINE),
            user="0",
            working_dir="/",
            hostname=hostname,
            volumes=[spec.shared_directory] if spec.shared_directory else None,
            environment=dict(spec.environment),
            labels=dict(labels),
            stdin_open=True,
            healthcheck=Healthcheck(test=["NONE"]),
            host_config=host_config,
            networking_config=self._networking(network, hostname),
        )
        config["StdinOnce"] = not spec.keep
        return config

    def _networking(self, network: str, hostname: str) -> Any:
        """Return a config by which containers on the network find each other by host name."""
        endpoint: Any = {network: self._api.create_endpoint_config(aliases=[hostname])}
        return self._api.create_networking_config(endpoint)

    def _attach(self, identifier: str) -> MultiplexedStream:
        parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        return MultiplexedStream(self._api.attach_socket(identifier, parameters)._response)  # noqa: SLF001

    def _labels(self, run_id: str, *, keep: bool = False) -> dict[str, str]:
        labels = {LABEL_RUN: run_id, LABEL_OWNER: self._owner}
        if keep:
            return {**labels, LABEL_KEEP: "true"}
        return {**labels, LABEL_EXPIRES: str(int(time.time()) + LIFETIME)}

    def _start_reaper(self) -> None:
        if self._reaper is not None:
            return
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        order = {
            **asdict(self._endpoint),
            "label": f"{LABEL_OWNER}={self._owner}",
            "keep_label": LABEL_KEEP,
        }
        assert self._reaper.stdin is not None
        self._reaper.stdin.write(json.dumps(order).encode() + b"\n")
        self._reaper.stdin.flush()


def _is_left(labels: Mapping[str, str], *, kept: bool) -> bool:
    if LABEL_KEEP in labels:
        return kept
    expires = labels.get(LABEL_EXPIRES, "")
    return expires.isdigit() and int(expires) < time.time()
