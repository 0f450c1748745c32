"""Init scripts are found, run in their order, and ended; how each ended is told."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import errors, init_scripts, node
from pytest_dcs.errors import ContainerEnded
from pytest_dcs.init_scripts import InitScript, ScriptRun, find_address, ordered, parse
from pytest_dcs.options import anchored_script

from .test_probe import LocalContainer, LocalProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 30.0

ADDRESSES = """--- /proc/sys/kernel/hostname
1123-093000-dcslocal-10-0-0-2
--- /proc/net/fib_trie
Main:
+-- 0.0.0.0/0 3 0 5
|-- 127.0.0.1
/32 host LOCAL
|-- 172.18.0.0
/16 link UNICAST
|-- 172.18.0.2
/32 host LOCAL
--- /etc/hosts
127.0.0.1 localhost
10.9.9.9 1123-093000-dcslocal-10-0-0-2
"""


class LocalNode(LocalContainer):
    """A folder of this machine in place of a node."""

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> LocalProcess:
        directory = f"{self.root}{init_scripts.DIRECTORY}"
        local = [word.replace(init_scripts.DIRECTORY, directory) for word in argv]
        return super().start(local, environment=environment)

    def read_file(self, path: str) -> bytes:
        return self.root.joinpath(path.lstrip("/")).read_bytes()


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LocalNode]:
    container = LocalNode(tmp_path)
    yield container
    for process in container.processes:
        process.kill()


def script(text: str, *, name: str = "a.sh", **more: str) -> InitScript:
    found = InitScript("cluster", f"/scripts/{name}", in_image=False, content=text.encode())
    return replace(found, **more)  # type: ignore[arg-type]


def run(
    container: LocalNode,
    *scripts: InitScript,
    timeout: float = PATIENCE,
    by_first_line: bool = True,
) -> list[ScriptRun]:
    return init_scripts.run(container, scripts, timeout=timeout, by_first_line=by_first_line)


def test_a_file_of_this_machine_is_read(tmp_path: Path) -> None:
    path = tmp_path / "proxy.sh"
    path.write_bytes(b"echo\r\n")
    assert parse(str(path)) == InitScript("cluster", str(path), False, b"echo\r\n")
    assert parse(f"global:{path}").scope == "global"
    assert parse(str(path)).name == "proxy.sh"


@pytest.mark.parametrize("text", ["file:/opt/init.sh", "file:///opt/init.sh"])
def test_a_file_of_the_image_is_named_by_its_path(text: str) -> None:
    assert parse(text) == InitScript("cluster", "/opt/init.sh", in_image=True)
    assert parse(f"global:{text}") == InitScript("global", "/opt/init.sh", in_image=True)


@pytest.mark.parametrize(
    "text",
    [
        "dbfs:/databricks/init.sh",
        "s3://bucket/init.sh",
        "abfss://container@account.dfs.core.windows.net/init.sh",
        "gs://bucket/init.sh",
        "global:s3://bucket/init.sh",
        "/Workspace/Shared/init.sh",
        "/Volumes/main/default/scripts/init.sh",
        "/dbfs/databricks/init.sh",
    ],
)
def test_a_place_that_only_a_cluster_reaches_is_refused(text: str) -> None:
    with pytest.raises(errors.InitScriptElsewhere, match="Name the file"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/nowhere/init.sh", "No such file or directory"),
        ("/", "Is a directory"),
        ("file:opt/init.sh", "not absolute"),
        ("file://host/opt/init.sh", "not absolute"),
        ("file:", "not absolute"),
    ],
)
def test_a_script_that_is_not_there_is_a_mistake_of_the_set_up(text: str, problem: str) -> None:
    with pytest.raises(errors.InitScriptUnreadable, match=problem):
        parse(text)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.InitScriptUnreadable, match="Is a pipe"):
        parse(str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("init.sh", "/project/init.sh"),
        ("global:scripts/init.sh", "global:/project/scripts/init.sh"),
        ("/opt/init.sh", "/opt/init.sh"),
        ("file:/opt/init.sh", "file:/opt/init.sh"),
        ("global:file:/opt/init.sh", "global:file:/opt/init.sh"),
        ("s3://bucket/init.sh", "s3://bucket/init.sh"),
    ],
)
def test_relative_paths_count_from_a_folder(tmp_path: Path, text: str, absolute: str) -> None:
    project = type(tmp_path)("/project")
    assert anchored_script(text, project) == absolute


def test_global_scripts_come_first_and_each_kind_in_its_order() -> None:
    given = [parse(name) for name in ("file:/c", "global:file:/b", "file:/a", "global:file:/a")]
    assert [(each.scope, each.path) for each in ordered(given)] == [
        ("global", "/b"),
        ("global", "/a"),
        ("cluster", "/c"),
        ("cluster", "/a"),
    ]


def test_the_address_is_the_kernels() -> None:
    assert find_address(ADDRESSES) == "172.18.0.2"


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (ADDRESSES.replace("/32 host LOCAL", "?"), "10.9.9.9"),
        (ADDRESSES.partition("10.9.9.9")[0].replace("172.18.0.2", "127.0.0.2"), "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_address_is_found_without_the_kernels_table(told: str, address: str) -> None:
    assert find_address(told) == address


def test_the_cluster_is_that_of_the_host_name() -> None:
    assert node.HOST_NAME.startswith(f"{init_scripts.CLUSTER_ID}-")
    assert init_scripts.CLUSTER_ID.count("-") == 2


def test_without_a_script_nothing_is_started(container: LocalNode) -> None:
    assert run(container) == []
    assert container.processes == []


def test_a_script_gets_the_documented_variables_and_no_input(container: LocalNode) -> None:
    text = "#!/bin/sh\nenv | grep ^DB_; cat; [ -t 0 ] || echo no terminal\n"
    (ended,) = run(container, script(text))
    lines = ended.stdout.splitlines()
    assert f"DB_CLUSTER_ID={init_scripts.CLUSTER_ID}" in lines
    assert "DB_IS_DRIVER=TRUE" in lines
    assert "DB_IS_JOB_CLUSTER=FALSE" in lines
    names = {line.partition("=")[0] for line in lines}
    assert {"DB_CLUSTER_NAME", "DB_CONTAINER_IP", "DB_DRIVER_IP", "DB_INSTANCE_TYPE"} <= names
    assert lines[-1] == "no terminal"
    assert ended.returncode == 0
    assert not ended.failed


def test_a_worker_is_told_that_it_is_one(container: LocalNode) -> None:
    (ended,) = init_scripts.run(
        container,
        [script("echo $DB_IS_DRIVER")],
        timeout=PATIENCE,
        by_first_line=True,
        driver=container,
    )
    assert ended.stdout == "FALSE\n"


def test_the_first_script_that_fails_is_the_last(container: LocalNode) -> None:
    scripts = [script(f"exit {status}", name=f"{status}.sh") for status in (0, 3, 0)]
    runs = run(container, *scripts)
    assert [each.returncode for each in runs] == [0, 3]
    assert runs[-1].failed
    assert runs[-1].ending == "exit status 3"


def test_output_is_kept_as_it_was(container: LocalNode) -> None:
    (ended,) = run(container, script("printf 'one\\n\\ntwo'; printf problem >&2"))
    assert ended.stdout == "one\n\ntwo"
    assert ended.stderr == "problem"


def test_only_the_end_of_much_output_is_kept(container: LocalNode) -> None:
    (ended,) = run(container, script("head -c 3000000 /dev/zero | tr '\\0' x; echo the end"))
    assert ended.returncode == 0
    assert ended.stdout.endswith("x the end\n".replace(" ", "", 1))
    assert len(ended.stdout) <= init_scripts.OUTPUT_LIMIT


def test_a_script_that_hangs_is_killed(container: LocalNode) -> None:
    (ended,) = run(container, script("echo before; sleep 600"), timeout=1)
    assert ended.failed
    assert ended.returncode is None
    assert ended.stdout == "before\n"
    assert ended.ending == "no end within 1 s (--dcs-timeout), so it was killed"
    assert container.processes[-1].returncode() == 137


def test_a_script_that_is_killed_by_a_signal_has_failed(container: LocalNode) -> None:
    (ended,) = run(container, script("kill -9 $$"))
    assert ended.ending.startswith("an end by signal 9")


def test_a_script_that_kills_its_parent_has_failed(container: LocalNode) -> None:
    (ended,) = run(container, script("echo before; kill -9 $PPID"))
    assert ended.failed
    assert ended.stdout == "before\n"
    assert ended.ending == "the end of the shell that had started it"


def test_what_a_script_leaves_behind_keeps_nobody_waiting(container: LocalNode) -> None:
    daemon = "i=0; while [ $i -lt 80 ]; do echo tick; sleep 0.1; i=$((i+1)); done"
    (ended,) = run(container, script(f"({daemon}) &\necho started"), timeout=5)
    assert ended.returncode == 0
    assert "started\n" in ended.stdout


def test_a_script_is_started_by_its_first_line(container: LocalNode) -> None:
    python = "#!/usr/bin/env python3\nprint('Hello from ' + 'Python')\n"
    (ended,) = run(container, script(python))
    assert ended.stdout == "Hello from Python\n"


def test_a_script_without_a_first_line_is_started_by_bash(container: LocalNode) -> None:
    (ended,) = run(container, script("[[ $BASH_VERSION ]] && echo bash"))
    assert ended.stdout == "bash\n"


def test_bash_starts_all_scripts_where_the_first_line_is_not_to_count(
    container: LocalNode,
) -> None:
    given = script("#!/nowhere/sh\necho read by ${BASH_VERSION:+bash}")
    (ended,) = run(container, given, by_first_line=False)
    assert ended.stdout == "read by bash\n"


@pytest.mark.parametrize("first_line", ["#!/nowhere/sh", "#!/bin/sh\r", "#!sh"])
def test_a_missing_interpreter_ends_the_script(container: LocalNode, first_line: str) -> None:
    (ended,) = run(container, script(f"{first_line}\necho never\n"))
    assert ended.ending == "exit status 127 (it was not found)"
    assert ended.stdout == ""


def test_a_script_of_the_image_is_read_when_its_turn_has_come(
    container: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalNode, "read_file", lambda *_: b"#!/bin/echo\n")
    (ended,) = run(container, InitScript("cluster", "/opt/init.sh", in_image=True))
    assert ended.script.content == b"#!/bin/echo\n"
    assert ended.stdout == "/opt/init.sh\n"


@pytest.mark.parametrize(
    ("path", "told"),
    [("/opt/init.sh", "no such file in the image"), ("/opt", "no regular file")],
)
def test_a_script_that_the_image_lacks_ends_the_launch(
    container: LocalNode, path: str, told: str
) -> None:
    (container.root / "opt").mkdir()
    (ended,) = run(container, InitScript("cluster", path, in_image=True))
    assert ended.failed
    assert ended.ending.startswith(told)
    assert ended.script.content is None


def test_a_container_that_has_ended_is_said_to_have(container: LocalNode) -> None:
    container.ended = True
    with pytest.raises(ContainerEnded):
        run(container, script("echo"))
