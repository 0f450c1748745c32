"""Init scripts: which there are, in which order they run, and how each ended."""

from __future__ import annotations

import io
import re
import secrets
import stat
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_dcs import node
from pytest_dcs.errors import InitScriptElsewhere, InitScriptUnreadable
from pytest_dcs.execution import Execution, describe_exit
from pytest_dcs.options import GLOBAL_SCRIPT, SCRIPT_SCHEME
from pytest_dcs.script_text import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_dcs.engines import Chunk, Container, Stream

Scope = Literal["global", "cluster"]

DIRECTORY = "/databricks/init_scripts"
"""Where the scripts lie in the container."""
OUTPUT_LIMIT = 200_000
"""Bytes of each script's stdout and stderr that are kept, the last ones."""
IN_IMAGE = "file:"
PLATFORM_FOLDERS = ("/Workspace/", "/Volumes/", "/dbfs/")

CLUSTER_ID = node.HOST_NAME.rsplit("-", 4)[0]
DOCUMENTED_ENVIRONMENT = {
    "DB_CLUSTER_ID": CLUSTER_ID,
    "DB_CLUSTER_NAME": "pytest-dcs",
    "DB_INSTANCE_TYPE": "i3.xlarge",
    "DB_IS_JOB_CLUSTER": "FALSE",
}
"""What is the same on all nodes; pages of 2020 had DB_PYTHON_VERSION too.

https://docs.databricks.com/aws/en/init-scripts/environment-variables
"""

RUN_SCRIPT = """
echo "$$"
token=$1
shift
"$@" </dev/null
status=$?
echo "
$token" >&2
echo "
$token $status"
while read -r _; do :; done
"""
"""Runs a script and says how it ended, behind a token that the script's output does not have.

It then stays, because engines close a command's output two seconds after its end, and a daemon
that the script has left behind would die of its next line. Its stdin ends with the connection.
"""

TELL_ADDRESSES = """
for file in /proc/sys/kernel/hostname /proc/net/fib_trie /etc/hosts; do
    echo "--- $file"
    while read -r line; do echo "$line"; done <"$file"
done
"""
"""Prints three files with the builtins of `/bin/sh` alone."""
ADDRESSES_TIMEOUT = 10.0
LOCAL_ADDRESS = re.compile(r"^\|-- (\d+\.\d+\.\d+\.\d+)\n/32 host LOCAL$", re.MULTILINE)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class InitScript:
    """One script as the cluster's definition would name it."""

    scope: Scope
    path: str
    """Where it lies on the machine that runs pytest, or in the image."""
    in_image: bool
    content: bytes | None = None
    """What it says; None for one in the image that has not been looked at."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class ScriptRun:
    """How one script ended."""

    script: InitScript
    returncode: int | None
    """The exit status, None where it has none: see `fault`."""
    stdout: str
    stderr: str
    """What it wrote, each at most `OUTPUT_LIMIT` bytes, the last ones."""
    seconds: float
    fault: str = ""
    """Why it was not run to its end: it hung and was killed, or was never started."""

    @property
    def failed(self) -> bool:
        """Whether it ends the launch."""
        return self.returncode != 0

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.returncode is None:
            return self.fault
        told = describe_exit(self.returncode)
        return (
            f"exit {told.removeprefix('with ')}" if told.startswith("with ") else f"an end {told}"
        )


def parse(text: str) -> InitScript:
    """Return the script that an option or a matrix file names: `[global:]PATH` or `file:PATH`.

    Raises `InitScriptElsewhere` for a place that only a cluster can reach, `InitScriptUnreadable`.
    """
    scope: Scope = "global" if text.startswith(GLOBAL_SCRIPT) else "cluster"
    name = text.removeprefix(GLOBAL_SCRIPT)
    if name.startswith(IN_IMAGE):
        path = re.sub("^//(?=/)", "", name.removeprefix(IN_IMAGE))
        if not path.startswith("/") or path.startswith("//"):
            raise InitScriptUnreadable(text, "the path in the image is not absolute")
        return InitScript(scope, path, in_image=True)
    if SCRIPT_SCHEME.match(name):
        raise InitScriptElsewhere(text)
    try:
        if stat.S_ISFIFO(Path(name).stat().st_mode):
            # Its end may never come, and it could be read but once.
            raise InitScriptUnreadable(text, "Is a pipe")
        return InitScript(scope, name, in_image=False, content=Path(name).read_bytes())
    except OSError as error:
        if name.startswith(PLATFORM_FOLDERS):
            raise InitScriptElsewhere(text) from None
        raise InitScriptUnreadable(text, error.strerror or str(error)) from None


def ordered(scripts: Iterable[InitScript]) -> list[InitScript]:
    """Return them in the order in which a node runs them: global ones first."""
    return sorted(scripts, key=lambda script: script.scope != "global")


def run(
    container: Container,
    scripts: Iterable[InitScript],
    *,
    timeout: float,
    by_first_line: bool,
    driver: Container | None = None,
) -> list[ScriptRun]:
    """Run the scripts one after the other; the first that fails is the last.

    `timeout` is in seconds for each. `by_first_line` starts a script by its `#!` line; otherwise
    bash starts it, whatever that line says. `driver` is the driver's container where this one is a
    worker's. Raises `ContainerEnded` and `EngineLost`.
    """
    runs: list[ScriptRun] = []
    waiting = ordered(scripts)
    environment = environment_of(container, driver) if waiting else {}
    for number, script in enumerate(waiting, 1):
        runs.append(
            _run_one(
                container,
                script,
                number,
                environment=environment,
                timeout=timeout,
                by_first_line=by_first_line,
            )
        )
        if runs[-1].failed:
            break
    return runs


def environment_of(container: Container, driver: Container | None) -> Mapping[str, str]:
    """Return the variables that only init scripts get on a node."""
    address = address_of(container)
    return {
        **DOCUMENTED_ENVIRONMENT,
        "DB_CONTAINER_IP": address,
        "DB_DRIVER_IP": address if driver is None else address_of(driver),
        "DB_IS_DRIVER": "TRUE" if driver is None else "FALSE",
    }


def address_of(container: Container) -> str:
    """Return the container's own address: as the kernel knows it, else as /etc/hosts has it."""
    execution = Execution.start(
        container,
        ["/bin/sh", "-c", TELL_ADDRESSES],
        name="addresses",
        limits=(OUTPUT_LIMIT, OUTPUT_LIMIT),
    )
    if not execution.wait(ADDRESSES_TIMEOUT):
        execution.kill()
    return find_address(execution.stdout.text())


def find_address(told: str) -> str:
    """Return the address in what `TELL_ADDRESSES` printed; the loopback's if there is no other."""
    known = [each for each in LOCAL_ADDRESS.findall(told) if not each.startswith("127.")]
    _, _, host_name = told.partition("--- /proc/sys/kernel/hostname\n")
    host_name = host_name.partition("\n")[0].strip()
    _, _, hosts = told.partition("--- /etc/hosts\n")
    for line in hosts.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if host_name in names:
            known.append(address)
    return known[0] if known else LOOPBACK


def _run_one(
    container: Container,
    script: InitScript,
    number: int,
    *,
    environment: Mapping[str, str],
    timeout: float,
    by_first_line: bool,
) -> ScriptRun:
    path = script.path
    if script.content is None:
        try:
            script = replace(script, content=container.read_file(path))
        except FileNotFoundError:
            return ScriptRun(script, None, "", "", 0.0, "no such file in the image")
        except IsADirectoryError:
            return ScriptRun(script, None, "", "", 0.0, "no regular file in the image")
    else:
        path = f"{DIRECTORY}/{number:02}_{script.name}"
        container.put_archive("/", _archive(path, script.content))
    # An interpreter that is started with the path does what executing the file does, and does it
    # also for files of an image that have lost their executable bit.
    words = interpreter(script.content or b"") if by_first_line else ()
    execution = Execution.start(
        container,
        [token := secrets.token_hex(16), *(words or ("bash",)), path],
        name=script.name,
        limits=(OUTPUT_LIMIT, OUTPUT_LIMIT),
        environment=environment,
        announce=RUN_SCRIPT,
        is_over=_EndOfBoth(token),
    )
    return _end_of(execution, script, token, timeout)


def _end_of(execution: Execution, script: InitScript, token: str, timeout: float) -> ScriptRun:
    """Wait for a script, kill it where it hangs, and return how it ended."""
    fault = ""
    if not execution.pid:
        fault = "no start by /bin/sh"
    elif not execution.wait(timeout):
        execution.kill()
        fault = f"no end within {timeout:g} s (--dcs-timeout), so it was killed"
    execution.raise_fault()
    stdout, mark, status = execution.stdout.text().rpartition(f"\n{token} ")
    if not mark:
        stdout, fault = status, fault or "the end of the shell that had started it"
    return ScriptRun(
        script=script,
        returncode=None if fault else int(status.split()[0]),
        stdout=stdout,
        stderr=execution.stderr.text().partition(f"\n{token}\n")[0],
        seconds=execution.seconds,
        fault=fault,
    )


class _EndOfBoth:
    """Finds the lines with the token in both streams, of which either may come later."""

    def __init__(self, token: str) -> None:
        self._mark = f"\n{token}".encode()
        self._last: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    def __call__(self, _execution: Execution, chunk: Chunk) -> bool:
        if all(map(self._is_whole, self._last.values())):
            return True
        written = self._last[chunk.stream] + chunk.data
        _, mark, rest = written.partition(self._mark)
        # The line may come in pieces, so what can be its beginning is kept.
        self._last[chunk.stream] = mark + rest if mark else written[-len(self._mark) :]
        return all(map(self._is_whole, self._last.values()))

    def _is_whole(self, last: bytes) -> bool:
        return last.startswith(self._mark) and b"\n" in last[1:]


def _archive(path: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
