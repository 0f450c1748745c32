"""The Docker engine: found, asked for images, and starting them as a cluster's node would."""

from __future__ import annotations

import gc
import io
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors
from pytest_dcs.engines import ContainerSpec, LaunchFailed
from pytest_dcs.engines import docker as docker_engine
from pytest_dcs.engines.docker import DockerEngine
from pytest_dcs.errors import ContainerEnded
from pytest_dcs.shell import Shell

from .archives import archive
from .forwarder import Forwarder, make_certificates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_dcs.engines.docker_container import DockerContainer
    from pytest_dcs.image import Image

    from .conftest import DockerCommand

pytestmark = pytest.mark.docker

SPEC = ContainerSpec(run_id="test-engine")


@pytest.fixture
def failing_connections() -> Iterator[None]:
    """Collect the sockets that the SDK forgets to close when it cannot connect."""
    yield
    gc.collect()


@pytest.fixture
def image(engine: DockerEngine, minimal_image: str) -> Image:
    return engine.resolve(minimal_image, "never")


@pytest.fixture
def container(engine: DockerEngine, image: Image) -> Iterator[DockerContainer]:
    container = engine.launch(image, SPEC)
    yield container
    container.end()


@pytest.fixture
def build(
    docker_command: DockerCommand, tmp_path: Path
) -> Iterator[Callable[[str, dict[str, bytes]], str]]:
    """Build an image from a Dockerfile and executable files."""
    built: list[str] = []

    def make(dockerfile: str, files: dict[str, bytes]) -> str:
        name = f"pytest-dcs-test/engine:{uuid.uuid4().hex}"
        (tmp_path / "Dockerfile").write_text(dockerfile)
        for file, content in files.items():
            (tmp_path / file).write_bytes(content)
            (tmp_path / file).chmod(0o755)
        docker_command("build", "--tag", name, str(tmp_path))
        built.append(name)
        return name

    yield make
    for name in built:
        docker_command("rmi", "--force", name)


def output_of(container: DockerContainer, script: str) -> str:
    shell = Shell(container, timeout=20)
    try:
        completed = shell.run(script)
    finally:
        shell.close()
    return completed.stdout.decode() + completed.stderr.decode()


@pytest.mark.usefixtures("failing_connections")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
class TestConnection:
    @pytest.mark.parametrize(
        ("address", "detail"),
        [
            ("unix:///no/such.sock", "No such file or directory"),
            ("tcp://127.0.0.1:1", "Connection refused"),
        ],
    )
    def test_no_engine(self, monkeypatch: pytest.MonkeyPatch, address: str, detail: str) -> None:
        monkeypatch.setenv("DOCKER_HOST", address)
        with pytest.raises(errors.NoEngine) as raised:
            DockerEngine()
        first = str(raised.value).splitlines()[0]
        assert first == f"dcs: no container engine at {address} ({detail})."

    def test_a_server_that_is_no_engine(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "sock"))
            listener.listen()

            def answer() -> None:
                client, _ = listener.accept()
                client.recv(1000)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                client.close()

            thread = threading.Thread(target=answer)
            thread.start()
            monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/sock")
            with pytest.raises(errors.NoEngine):
                DockerEngine()
            thread.join()

    def test_a_socket_that_refuses_this_user(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "sock"))
            (tmp_path / "sock").chmod(0)
            monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/sock")
            user = os.geteuid()
            if user == 0:
                os.seteuid(65534)
            try:
                with pytest.raises(errors.EngineDenied, match="no permission to use"):
                    DockerEngine()
            finally:
                os.seteuid(user)

    def test_a_context_of_the_docker_command(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, docker_command: DockerCommand
    ) -> None:
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
        (tmp_path / "engine.sock").symlink_to("/var/run/docker.sock")
        docker_command(
            "context", "create", "here", "--docker", f"host=unix://{tmp_path}/engine.sock"
        )
        docker_command("context", "use", "here")
        engine = DockerEngine()
        assert engine._endpoint.address == f"unix://{tmp_path}/engine.sock"
        engine.close()

    @pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
    def test_over_the_network(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        minimal_image: str,
        encrypted: bool,
    ) -> None:
        context = make_certificates(tmp_path) if encrypted else None
        forwarder = Forwarder(context)
        monkeypatch.setenv("DOCKER_HOST", forwarder.address)
        if encrypted:
            monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
            monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
        engine = DockerEngine()
        container = engine.launch(engine.resolve(minimal_image, "never"), SPEC)
        shell = Shell(container, timeout=20)
        assert shell.run("echo there; head -c 300000 /dev/zero").stdout == b"there\n" + bytes(
            300000
        )
        container.put_archive("/tmp", archive({"file": b"x" * 100_000}))
        assert container.read_file("/tmp/file") == b"x" * 100_000
        shell.close()
        engine.close()
        forwarder.close()

    def test_a_connection_that_breaks_later(
        self,
        monkeypatch: pytest.MonkeyPatch,
        minimal_image: str,
        docker_command: DockerCommand,
        request: pytest.FixtureRequest,
    ) -> None:
        forwarder = Forwarder()
        spec = ContainerSpec(f"test-{uuid.uuid4().hex}")
        request.addfinalizer(lambda: remove_leftovers(docker_command, spec.run_id))
        with monkeypatch.context() as patch:
            patch.setenv("DOCKER_HOST", forwarder.address)
            engine = DockerEngine()
        image = engine.resolve(minimal_image, "never")
        container = engine.launch(image, spec)
        shell = Shell(container, timeout=20)
        shell.run(":")
        forwarder.close()
        with pytest.raises(errors.EngineLost, match="stopped answering"):
            shell.run("echo lost")
        with pytest.raises(errors.EngineLost):
            engine.resolve(minimal_image, "never")
        with pytest.raises(errors.EngineLost):
            container.read_file("/etc/passwd")
        shell.close()
        reaper = engine._reaper
        assert reaper is not None
        monkeypatch.setattr(docker_engine, "REAPER_TIMEOUT", 0.1)
        engine.close()
        reaper.kill()
        reaper.wait()


class TestResolve:
    def test_an_image_of_the_engine(
        self, engine: DockerEngine, minimal_image: str, docker_command: DockerCommand
    ) -> None:
        image = engine.resolve(minimal_image, "missing")
        identifier = docker_command("image", "inspect", "--format", "{{.Id}}", minimal_image)
        assert (image.reference, image.id) == (minimal_image, identifier)
        assert image.size > 10_000_000
        assert image.config.platform == "linux/amd64"
        assert engine.resolve(identifier, "always").id == identifier
        assert engine.resolve(identifier.removeprefix("sha256:")[:12], "never").id == identifier

    @pytest.mark.parametrize("reference", ["pytest-dcs-test/no-such", "sha256:" + "0" * 64])
    def test_an_unknown_image(self, engine: DockerEngine, reference: str) -> None:
        with pytest.raises(errors.ImageNotFound, match="not on the engine"):
            engine.resolve(reference, "never")

    def test_what_is_no_reference(self, engine: DockerEngine) -> None:
        with pytest.raises(errors.InvalidReference):
            engine.resolve("Acme/ML:1.4", "missing")

    def test_a_registry_out_of_reach(self, engine: DockerEngine) -> None:
        with pytest.raises(errors.PullFailed, match="connection refused"):
            engine.resolve("127.0.0.1:1/ml:1", "missing")


class TestLaunch:
    def test_what_the_image_says_of_its_start_is_ignored(
        self,
        engine: DockerEngine,
        minimal_image: str,
        build: Callable[[str, dict[str, bytes]], str],
        docker_command: DockerCommand,
    ) -> None:
        name = build(
            f"FROM {minimal_image}\nENV OWN=1 OTHER=1\nUSER nobody-here:1\nWORKDIR /usr\n"
            'HEALTHCHECK CMD ["/bin/false"]\nENTRYPOINT ["/bin/false"]\n'
            'CMD ["nothing"]\nVOLUME /data\n',
            {},
        )
        spec = ContainerSpec("test-engine", environment={"OTHER": "2"}, hostname="node-1")
        container = engine.launch(engine.resolve(name, "never"), spec)
        answer = output_of(container, "id -u; pwd; hostname; echo $OWN $OTHER")
        assert answer.splitlines() == ["0", "/", "node-1", "1 2"]
        healthcheck = "{{json .Config.Healthcheck.Test}}"
        assert docker_command("inspect", "--format", healthcheck, container.name) == '["NONE"]'
        assert not container.emulated
        container.end()

    @pytest.mark.parametrize(
        ("dockerfile", "files", "message"),
        [
            ("FROM scratch\nCOPY nothing /\n", {"nothing": b""}, "No such file or directory"),
            ("FROM scratch\nCOPY sh /bin/sh\n", {"sh": b"\0\0\0\0"}, "Exec format error"),
            (
                "FROM scratch\nCOPY sh /bin/sh/sh\n",
                {"sh": b""},
                "Permission denied|directory",
            ),
        ],
        ids=["no-shell", "shell-of-another-machine", "shell-is-a-directory"],
    )
    def test_an_image_that_cannot_be_started(
        self,
        engine: DockerEngine,
        build: Callable[[str, dict[str, bytes]], str],
        docker_command: DockerCommand,
        dockerfile: str,
        files: dict[str, bytes],
        message: str,
    ) -> None:
        name = build(dockerfile, files)
        spec = ContainerSpec(f"test-{uuid.uuid4().hex}")
        with pytest.raises(LaunchFailed, match=message):
            engine.launch(engine.resolve(name, "never"), spec)
        assert not leftovers(docker_command, spec.run_id)

    def test_an_image_that_is_gone_by_now(self, engine: DockerEngine, image: Image) -> None:
        gone = type(image)("gone", "sha256:" + "0" * 64, image.config)
        with pytest.raises(errors.EngineFault, match="could not start a container"):
            engine.launch(gone, SPEC)

    def test_the_network_is_its_own_and_internal(
        self, container: DockerContainer, docker_command: DockerCommand
    ) -> None:
        internal = docker_command("network", "inspect", "--format", "{{.Internal}}", container.name)
        assert internal == "true"
        assert container.name in output_of(container, 'getent hosts "$(hostname)"')

    def test_a_name_that_cannot_be_looked_up_fails_soon(self, container: DockerContainer) -> None:
        started = time.monotonic()
        assert output_of(container, "getent hosts no.such.host; echo $?") == "2\n"
        assert time.monotonic() - started < 5

    @pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this machine has no /dev/fuse")
    def test_fuse(self, engine: DockerEngine, image: Image, container: DockerContainer) -> None:
        granted = engine.launch(image, ContainerSpec("test-engine", fuse=True))
        assert granted.fuse
        assert output_of(granted, "ls /dev/fuse") == "/dev/fuse\n"
        granted.end()
        assert not container.fuse
        assert "No such file" in output_of(container, "ls /dev/fuse")

    def test_an_engine_without_fuse(
        self, engine: DockerEngine, image: Image, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        original = engine._api.create_host_config

        def ask_for_another(**arguments: object) -> object:
            if arguments.get("devices"):
                arguments["devices"] = ["/dev/fuse-of-no-machine"]
            return original(**arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(engine._api, "create_host_config", ask_for_another)
        container = engine.launch(image, ContainerSpec("test-engine", fuse=True))
        assert not container.fuse
        container.end()


class TestVolume:
    @pytest.fixture
    def volume(self, docker_command: DockerCommand) -> Iterator[str]:
        name = f"pytest-dcs-test-{uuid.uuid4().hex}"
        yield name
        docker_command("volume", "rm", "--force", name)

    def test_a_volume_has_the_archive_s_content_only(
        self, engine: DockerEngine, image: Image, volume: str, docker_command: DockerCommand
    ) -> None:
        engine.fill_volume(volume, image, io.BytesIO(archive({"jars/a.jar": b"jar"})))
        # The image has files in /usr/bin, which a volume gets a copy of unless told not to.
        spec = ContainerSpec("test-engine", volumes={volume: "/usr/share"})
        container = engine.launch(image, spec)
        answer = output_of(
            container, "ls /usr/share; cat /usr/share/jars/a.jar; touch /usr/share/x"
        )
        assert answer.startswith("jars\njar")
        assert "Read-only file system" in answer
        container.end()
        labels = docker_command("volume", "inspect", "--format", "{{json .Labels}}", volume)
        assert "pytest-dcs.cache" in labels

    def test_a_complete_volume_is_left_alone_and_a_partial_one_is_not(
        self, engine: DockerEngine, image: Image, volume: str, docker_command: DockerCommand
    ) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                raise OSError(5, "disk fault")

        broken = DockerEngine()
        with pytest.raises(errors.EngineLost):
            broken.fill_volume(volume, image, Broken(b"x" * 1000))
        broken.close()
        contents = []
        for content in (b"first", b"second"):
            other = DockerEngine()
            other.fill_volume(volume, image, io.BytesIO(archive({"file": content})))
            other.close()
            container = engine.launch(image, ContainerSpec("test-engine", volumes={volume: "/v"}))
            contents.append(container.read_file("/v/file"))
            container.end()
        assert contents == [b"first", b"first"]
        assert not docker_command("ps", "--all", "--quiet", "--filter", f"volume={volume}")

    def test_two_at_once(self, engine: DockerEngine, image: Image, volume: str) -> None:
        content = archive({"file": bytes(5_000_000)})
        faults: list[BaseException] = []

        def fill() -> None:
            other = DockerEngine()
            try:
                other.fill_volume(volume, image, io.BytesIO(content))
            except BaseException as error:
                faults.append(error)
            other.close()

        threads = [threading.Thread(target=fill) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults


class TestContainer:
    def test_files_in_and_out(self, container: DockerContainer) -> None:
        container.put_archive("/tmp", archive({"file": b"\0content"}))
        assert container.read_file("/tmp/file") == b"\0content"
        output_of(container, "ln -s file /tmp/link; ln -s /tmp/nowhere /tmp/broken")
        assert container.read_file("/tmp/link") == b"\0content"
        for path in ("/tmp/nowhere", "/tmp/broken"):
            with pytest.raises(FileNotFoundError, match=r"/tmp/"):
                container.read_file(path)
        with pytest.raises(IsADirectoryError):
            container.read_file("/tmp")
        with pytest.raises(FileNotFoundError):
            container.put_archive("/no/such", archive({}))

    def test_a_process_starts_with_the_first_write(self, container: DockerContainer) -> None:
        process = container.start(
            ["/bin/sh", "-c", 'echo "$WORD"; cat >&2; exit 4'], environment={"WORD": "a b"}
        )
        with pytest.raises(TimeoutError):
            process.read(0.3)
        assert process.returncode() is None
        process.write(b"in")
        chunks = [process.read(5), process.read(5)]
        assert sorted(chunk for chunk in chunks if chunk) == [
            ("stderr", b"in"),
            ("stdout", b"a b\n"),
        ]
        assert process.returncode() is None
        process.close()
        deadline = time.monotonic() + 5
        while process.returncode() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.returncode() == 4

    def test_the_exit_status_is_there_when_the_output_ends(
        self, container: DockerContainer
    ) -> None:
        process = container.start(["/bin/sh", "-c", "exit 9"])
        process.write(b"")
        assert process.read(5) is None
        assert process.returncode() == 9
        process.close()

    def test_what_is_written_in_the_name_of_the_main_process(
        self, container: DockerContainer
    ) -> None:
        # More than a pipe holds: whoever writes there must not be stopped.
        output_of(container, "head -c 1000000 /dev/zero >/proc/1/fd/1; echo last >/proc/1/fd/1")
        deadline = time.monotonic() + 5
        while not container.logs().endswith("last\n") and time.monotonic() < deadline:
            time.sleep(0.02)
        assert container.logs().endswith("last\n")

    def test_a_container_that_has_ended(self, engine: DockerEngine, image: Image) -> None:
        container = engine.launch(image, SPEC)
        process = container.start(["/bin/sh", "-c", "echo up; sleep 100"])
        process.write(b"")
        assert process.read(5) == ("stdout", b"up\n")
        container.end()
        assert process.read(5) is None
        assert process.returncode() == 137
        with pytest.raises(ContainerEnded):
            container.start(["true"])
        with pytest.raises(ContainerEnded):
            container.read_file("/etc/passwd")
        container.end()
        process.close()


def leftovers(docker_command: DockerCommand, run_id: str) -> str:
    of_run = f"label=pytest-dcs.run={run_id}"
    return docker_command("ps", "--all", "--quiet", "--filter", of_run) + docker_command(
        "network", "ls", "--quiet", "--filter", of_run
    )


def remove_leftovers(docker_command: DockerCommand, run_id: str) -> None:
    """Remove what a run could not, whose connection was cut for good."""
    of_run = f"label=pytest-dcs.run={run_id}"
    for container in docker_command("ps", "--all", "--quiet", "--filter", of_run).split():
        docker_command("rm", "--force", container)
    for network in docker_command("network", "ls", "--quiet", "--filter", of_run).split():
        docker_command("network", "rm", network)
