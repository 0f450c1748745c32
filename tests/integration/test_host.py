"""testinfra's modules answer over the shell as they do over testinfra's own Docker backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import testinfra

from pytest_dcs.engines import ContainerSpec
from pytest_dcs.host import make_host
from pytest_dcs.shell import Shell, ShellError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testinfra.host import Host

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.engines.docker_container import DockerContainer

pytestmark = pytest.mark.docker

LISTENER = "/databricks/python3/bin/python -m http.server --bind 127.0.0.1 8123"
PIP = "/databricks/python3/bin/pip"


@pytest.fixture(scope="module")
def container(engine: DockerEngine, standard_image: str) -> Iterator[DockerContainer]:
    container = engine.launch(engine.resolve(standard_image, "never"), ContainerSpec("test-host"))
    server = container.start(LISTENER.split())
    server.write(b"")
    yield container
    server.close()
    container.end()


@pytest.fixture(scope="module")
def ours(container: DockerContainer) -> Iterator[Host]:
    shell = Shell(container, timeout=30)
    yield make_host(shell)
    shell.close()


@pytest.fixture(scope="module")
def theirs(container: DockerContainer) -> Host:
    return testinfra.get_host(f"docker://{container.name}")


def file_facts(host: Host, path: str) -> dict[str, Any]:
    file = host.file(path)
    names = ("exists", "is_file", "is_directory", "is_symlink", "is_pipe", "is_socket", "user")
    more = ("uid", "group", "gid", "mode", "size", "mtime", "inode", "is_executable")
    return {
        name: getattr(file, name) for name in (*names, *more) if file.exists or name[:2] == "is"
    }


def answer(host: Host, command: str) -> tuple[int, str, str]:
    result = host.run(command)
    # A shell names itself and the line in its messages, which differ by how it was started.
    return result.rc, result.stdout, result.stderr.rpartition(": 1: ")[2].removeprefix("eval: ")


def error_of(question: Callable[[], Any]) -> str:
    try:
        return repr(question())
    except (RuntimeError, AssertionError) as error:
        return type(error).__name__


def under_sudo(host: Host) -> str:
    with host.sudo("nobody"):
        return str(host.check_output("id -un"))


def vars_of(system: Any) -> tuple[str, ...]:
    return system.type, system.distribution, system.release, system.codename, system.arch


CHECKS: dict[str, Callable[[Host], Any]] = {
    "command.exists": lambda host: [host.exists(name) for name in ("bash", "java", "no-such")],
    "command.find": lambda host: host.find_command("ip"),
    "command.check_output": lambda host: host.check_output("echo %s", "a 'b' $c"),
    "run.ok": lambda host: answer(host, "echo out; echo err >&2"),
    "run.fails": lambda host: answer(host, "no-such-command"),
    "run.status": lambda host: answer(host, "exit 42"),
    "run.bytes": lambda host: host.run("printf 'a\\000\\377'").stdout_bytes,
    "run.text": lambda host: host.run("echo é €; echo ü >&2").stdout,
    "run.arguments": lambda host: host.run("printf '%%s|' %s %s", "a b", "é'").stdout,
    "run.environment": lambda host: sorted(host.run("env").stdout.splitlines()),
    "run.expect": lambda host: host.run_expect([3], "exit 3").rc,
    "addr": lambda host: [host.addr(name).is_resolvable for name in ("localhost", "no.such")],
    "addr.addresses": lambda host: host.addr("localhost").ipv4_addresses,
    "block_device": lambda host: error_of(lambda: host.block_device("/dev/sda").size),
    "environment": lambda host: host.environment(),
    "file": lambda host: file_facts(host, "/etc/passwd"),
    "file.directory": lambda host: file_facts(host, "/usr/bin"),
    "file.symlink": lambda host: file_facts(host, "/bin/sh"),
    "file.missing": lambda host: file_facts(host, "/no/such"),
    "file.linked_to": lambda host: host.file("/bin/sh").linked_to,
    "file.content": lambda host: host.file("/etc/debian_version").content,
    "file.content_string": lambda host: host.file("/etc/passwd").content_string,
    "file.contains": lambda host: host.file("/etc/passwd").contains("^root:"),
    "file.listdir": lambda host: sorted(host.file("/etc").listdir()),
    "file.md5sum": lambda host: host.file("/bin/bash").md5sum,
    "file.sha256sum": lambda host: host.file("/bin/bash").sha256sum,
    "group": lambda host: [host.group("root").exists, host.group("no-such").exists],
    "group.members": lambda host: [host.group("root").gid, host.group("sudo").members],
    "interface": lambda host: [host.interface("lo").exists, host.interface("none").exists],
    "interface.addresses": lambda host: host.interface("lo").addresses,
    "interface.names": lambda host: sorted(host.interface.names()),
    "mount_point": lambda host: [host.mount_point("/").exists, host.mount_point("/etc").exists],
    "mount_point.filesystem": lambda host: host.mount_point("/proc").filesystem,
    "mount_point.options": lambda host: sorted(host.mount_point("/proc").options),
    "package": lambda host: [host.package("bash").is_installed, host.package("no").is_installed],
    "package.version": lambda host: host.package("bash").version,
    "pip": lambda host: host.pip("pip", pip_path=PIP).version,
    "pip.packages": lambda host: host.pip.get_packages(pip_path=PIP),
    "pip.check": lambda host: host.pip.check(pip_path=PIP).rc,
    "process": lambda host: [item.args for item in host.process.filter(comm="python")],
    "process.get": lambda host: host.process.get(pid=1).comm,
    "service": lambda host: [host.service("ssh").is_running, host.service("ssh").is_enabled],
    "socket": lambda host: host.socket("tcp://127.0.0.1:8123").is_listening,
    "socket.closed": lambda host: host.socket("tcp://127.0.0.1:8124").is_listening,
    "socket.listening": lambda host: sorted(host.socket.get_listening_sockets()),
    "sudo": under_sudo,
    "sysctl": lambda host: host.sysctl("kernel.ostype"),
    "system_info": lambda host: vars_of(host.system_info),
    "user": lambda host: [host.user("root").exists, host.user("no-such").exists],
    "user.facts": lambda host: [host.user("root").uid, host.user("root").home],
    "user.current": lambda host: [host.user().name, host.user().groups, host.user().shell],
    "user.password": lambda host: host.user("root").password,
}
"""Each module of testinfra whose tool the image has. Without one here: ansible, docker, podman (of
the machine that runs the tests), facter, puppet_resource, salt, supervisor, iptables."""


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_both_backends_give_the_same_answer(
    ours: Host, theirs: Host, check: Callable[[Host], Any]
) -> None:
    assert check(ours) == check(theirs)


def test_the_answers_are_no_empty_ones(ours: Host) -> None:
    assert ours.package("bash").is_installed
    assert ours.socket("tcp://127.0.0.1:8123").is_listening
    assert ours.system_info.distribution == "debian"
    assert ours.file("/etc/passwd").mode == 0o644
    assert ours.pip.get_packages(pip_path=PIP)["pip"]["version"]


def test_the_host_names_its_container(ours: Host, container: DockerContainer) -> None:
    assert repr(ours) == f"<testinfra.host.Host dcs://{container.name}>"


def test_a_time_limit_for_one_command(ours: Host) -> None:
    with pytest.raises(ShellError, match=r"did not end within 0\.3 s"):
        ours.run("sleep 100", timeout=0.3)
    assert ours.run("echo next").stdout == "next\n"


def test_text_that_is_not_utf_8_can_be_read(ours: Host) -> None:
    assert ours.run("printf 'a\\377'").stdout == "a\\xff"
