"""INI: the init scripts, by what they say and by what they did in the launched image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_dcs.rules import Blocked, Item, NotApplicable, require_none, rule
from pytest_dcs.script_text import (
    commands_of,
    first_carriage_return,
    interpreter,
    is_shell_script,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testinfra.host import Host

    from pytest_dcs.init_scripts import InitScript, ScriptRun
    from pytest_dcs.launch import Launch

PAGE = "https://docs.databricks.com/aws/en/init-scripts/"
SILENT_FAILURE = "https://github.com/databricks/terraform-provider-databricks/issues/2976"
GLOBAL_SCRIPTS = "https://github.com/databricks/terraform-provider-databricks/blob/main/docs/resources/global_init_script.md"
HOST_LAYOUT = "https://github.com/mspnp/spark-monitoring/issues/98"
SYSTEMD = "https://github.com/systemd/systemd/issues/1224"

LINE_END = b"\n"
SIZE_LIMIT = 64 * 1024
TOLD_LINES = 5
"""How many of its last lines on stdout and on stderr a finding quotes."""

NO_WAY_OUT = re.compile(
    r"(?i)could not resolve|temporary failure (in name resolution|resolving)"
    r"|unable to resolve host address|network is unreachable"
    r"|name or service not known"
)
"""What programs say that look for a host outside: a launch has no network to reach one."""

HOST_PATHS = {
    "/mnt/driver-daemon": "/databricks/jars for jars",
    "/etc/monit": "a program that the script starts itself, with nohup",
    "/etc/systemd": "a program that the script starts itself, with nohup",
    "/databricks/spark/conf": "/databricks/driver/conf, or the cluster's Spark config",
}
"""What scripts rely on that were written for clusters without an image of their own, and what is
there with one."""

SYSTEMCTL = "systemctl"
SIGNS_OF_SYSTEMD = frozenset({SYSTEMCTL, "/run/systemd/system", "/run/systemd/system/"})
GPU_TOOL = "nvidia-smi"
GPU_CALL = re.compile(r"\bnvmlInit")
TESTS = frozenset({"[", "[[", "command", "hash", "test", "type", "which"})
"""Commands by which a script looks whether something is there."""
LOOPS = frozenset({"sleep", "until", "while"})
"""What a script has that waits for something."""


@pytest.fixture(scope="session")
def launch_with_scripts(_dcs_started: Launch) -> Launch:
    """Return the launch if any init script was to run in it."""
    if not _dcs_started.request.init_scripts:
        msg = "no init script was given (--dcs-init-script)"
        raise NotApplicable(msg)
    return _dcs_started


@rule(
    "INI001",
    "init-script-succeeds",
    level="fail",
    effect="blocks-start",
    where="container",
    step="init-scripts",
    requires=("INI002", "INI003", "INI004", "INI005"),
    sources=(PAGE, SILENT_FAILURE),
)
def test_init_script_succeeds(request: pytest.FixtureRequest, launch_with_scripts: Launch) -> None:
    """An init script that ends with another status than 0 ends the launch, and the cluster tells
    no more than "Cluster scoped init script … failed: Script exit status is non-zero". Here it
    comes with the whole output.

    Fix: correct what its last lines name. What the script installs belongs into the image:
    `RUN apt-get install -y jq`. A last command that may fail ends with `|| true`.
    """
    failed = [run for run in launch_with_scripts.script_runs if run.failed]
    for run in failed:
        for stream, text in (("stdout", run.stdout), ("stderr", run.stderr)):
            if text.strip():
                request.node.add_report_section("call", f"{stream} of {run.script.name}", text)
        if looks_outside(run) and not launch_with_scripts.request.open_network:
            raise Blocked(
                f"{run.script.name} looks for a host outside, which a launch reaches with "
                f"--dcs-open-network only: {answer_of(run)}"
            )
    require_none(Item(run.script.name, answer_of(run), "exit status 0") for run in failed)


@rule(
    "INI002",
    "init-script-line-ends",
    level="fail",
    effect="blocks-start",
    where="container",
    step="init-scripts",
    sources=(
        "https://github.com/GoogleCloudDataproc/initialization-actions/issues/666",
        "https://github.com/MicrosoftDocs/architecture-center/issues/1614",
    ),
)
def test_init_script_line_ends(launch_with_scripts: Launch) -> None:
    """Linux takes the carriage return at the end of a line of Windows for a part of the line:
    "/bin/bash^M: bad interpreter: No such file or directory". Of this a cluster shows only
    "Script exit status is non-zero".

    Fix: `*.sh text eol=lf` in .gitattributes, then once `git add --renormalize .`
    """
    require_none(
        Item(f"{script.name}:{line}", "the line end of Windows, CRLF", "LF")
        for script, content in texts_of(launch_with_scripts)
        if (line := first_carriage_return(content)) is not None
    )


@rule(
    "INI003",
    "init-script-interpreter",
    level="fail",
    effect="blocks-start",
    where="container",
    step="script-interpreter",
    sources=(PAGE, "https://man7.org/linux/man-pages/man2/execve.2.html"),
)
def test_init_script_interpreter(host: Host, launch_with_scripts: Launch) -> None:
    """The first line of a script names the program of the image that reads it. Where the image
    does not have it, the script ends at once with "No such file or directory", and the launch with
    "Script exit status is non-zero".

    Fix: begin the script with `#!/bin/bash`, which every image for Databricks has, or install what
    it names.
    """
    require_none(
        Item(f"{run.script.name}:1", f"#!{program}: {fault}", "a program that the image has")
        for run in launch_with_scripts.script_runs
        for program in programs_of(run.script)
        if (fault := fault_of_program(host, program))
    )


@rule(
    "INI004",
    "init-script-size",
    level="fail",
    effect="blocks-start",
    where="container",
    step="init-scripts",
    sources=(PAGE, GLOBAL_SCRIPTS),
)
def test_init_script_size(launch_with_scripts: Launch) -> None:
    """With a larger script no cluster launches, and a larger global one cannot even be saved: "The
    size of a global init script source code must not exceed 64Kb."

    Fix: move what it carries into the image, `COPY company.pem /etc/ssl/certs/`, and leave the
    script to what only a cluster knows.
    """
    require_none(
        Item(script.name, f"{len(content):,} bytes", f"at most {SIZE_LIMIT:,}")
        for script, content in texts_of(launch_with_scripts)
        if len(content) > SIZE_LIMIT
    )


@rule(
    "INI005",
    "init-script-in-image",
    level="fail",
    effect="blocks-start",
    where="container",
    step="init-scripts",
    sources=(
        PAGE,
        "https://github.com/NVIDIA/spark-rapids-container/blob/main/Databricks/README.md",
    ),
)
def test_init_script_in_image(launch_with_scripts: Launch) -> None:
    """The destination `file:/…` of an init script is a path in the container. Where no file is
    there, the cluster ends with INIT_SCRIPT_FAILURE before Spark has started.

    Fix: `COPY --chmod=755 init.sh /opt/company/init.sh`, with the very path that the cluster names.
    """
    require_none(
        Item(f"file:{run.script.path}", run.fault, "a script")
        for run in launch_with_scripts.script_runs
        if run.script.in_image and run.script.content is None
    )


@rule(
    "INI006",
    "init-script-last-line",
    level="advice",
    effect="blocks-start",
    where="container",
    step="init-scripts",
    sources=("https://github.com/AnalyticJeremy/Azure-Databricks-Monitoring/issues/11",),
)
def test_init_script_last_line(launch_with_scripts: Launch) -> None:
    """Shells read a last line without a line end like any other, but a user's cluster failed with
    "Script exit status is non-zero" until "a blank line is added to the end of the last line".

    Fix: end the script with a line end; `insert_final_newline = true` in .editorconfig keeps it.
    """
    require_none(
        Item(f"{script.name}:{content.count(LINE_END) + 1}", "a line without an end", "a line end")
        for script, content in texts_of(launch_with_scripts)
        if content and not content.endswith(LINE_END)
    )


@rule(
    "INI007",
    "init-script-paths",
    level="advice",
    effect="disables-feature",
    where="container",
    step="init-scripts",
    sources=(
        HOST_LAYOUT,
        "https://github.com/microsoft/Purview-ADB-Lineage-Solution-Accelerator/issues/48",
    ),
)
def test_init_script_paths(host: Host, launch_with_scripts: Launch) -> None:
    """Scripts for clusters without an image of their own rely on folders that a container of yours
    need not have: "cp: cannot create regular file '/mnt/driver-daemon/jars': No such file or
    directory".

    Fix: name what Container Services have, `/databricks/jars` for jars, or let the image have the
    folder: `RUN mkdir -p /mnt/driver-daemon && ln -s /databricks/jars /mnt/driver-daemon/jars`.
    """
    require_none(
        Item(f"{script.name}:{line}", f"{path}, which the container has not", instead)
        for script, content in texts_of(launch_with_scripts)
        for path, instead in HOST_PATHS.items()
        if (line := line_of_path(content, path)) and host.run("test -e %s", path).failed
    )


@rule(
    "INI008",
    "init-script-systemctl",
    level="advice",
    effect="disables-feature",
    where="container",
    step="init-scripts",
    sources=(SYSTEMD, "https://docs.databricks.com/aws/en/compute/custom-containers"),
)
def test_init_script_systemctl(launch_with_scripts: Launch) -> None:
    """No official image has systemd, and what the first process of a node's container is, nobody
    has published: "System has not been booted with systemd as init system (PID 1). Can't operate."
    Behind `|| true` the daemon just never runs.

    Fix: start the daemon itself, `nohup my-daemon >/var/log/my-daemon.log 2>&1 &`, or with its
    script: `service my-daemon start`.
    """
    require_none(
        Item(f"{script.name}:{line}", SYSTEMCTL, "a start that needs no systemd")
        for script, content in texts_of(launch_with_scripts)
        if (line := line_of_command(content, SYSTEMCTL))
        and not looks_for(content, SIGNS_OF_SYSTEMD)
    )


@rule(
    "INI009",
    "init-script-gpu",
    level="advice",
    effect="disables-feature",
    where="container",
    step="init-scripts",
    sources=("https://github.com/rapidsai/deployment/issues/410",),
)
def test_init_script_gpu(launch_with_scripts: Launch) -> None:
    """The libraries of the GPU's driver may not yet be there when init scripts run: one that asked
    for GPUs found no NVML, where a notebook of the same cluster did.

    Fix: wait for the driver for a limited time,
    `timeout 60 sh -c 'until nvidia-smi; do sleep 2; done' || true`, or ask in the job.
    """
    require_none(
        Item(f"{script.name}:{line}", "a question to the GPU", "one that waits for its driver")
        for script, content in texts_of(launch_with_scripts)
        if (line := line_of_gpu(content))
    )


def texts_of(launch: Launch) -> Iterator[tuple[InitScript, bytes]]:
    """Yield the scripts and what they say, each once; without those that were not come to."""
    scripts = {
        (script.scope, script.path, script.in_image): script
        for script in (*launch.request.init_scripts, *(run.script for run in launch.script_runs))
    }
    for script in scripts.values():
        if script.content is not None:
            yield script, script.content


def answer_of(run: ScriptRun) -> str:
    """Return how a script ended, with the last lines that it wrote."""
    stdout, stderr = last_lines(run.stdout), last_lines(run.stderr)
    cause = (stderr or stdout or ["it wrote nothing"])[-1]
    told = [f"{run.ending}: {cause}"]
    for name, lines in (("stdout", stdout), ("stderr", stderr)):
        told += [f"    {name}: {line}" for line in lines]
    return "\n".join(told)


def looks_outside(run: ScriptRun) -> bool:
    """Tell whether a script failed for want of a network; sudo only grumbles without one."""
    lines = last_lines(run.stdout) + last_lines(run.stderr)
    return any(NO_WAY_OUT.search(line) for line in lines if not line.startswith("sudo: "))


def last_lines(text: str) -> list[str]:
    """Return the end of an output."""
    return text.strip().splitlines()[-TOLD_LINES:]


def programs_of(script: InitScript) -> list[str]:
    """Return what the first line needs: the interpreter, and what `env` has to find."""
    words = " ".join(interpreter(script.content or b"")).split()
    program = words[:1]
    if program and program[0].endswith("/env"):
        named = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return [*program, *named[:1]]
    return program


def fault_of_program(host: Host, program: str) -> str:
    """Return why a program cannot be run, nothing if it can."""
    if "/" not in program:
        return "" if host.run("command -v %s", program).succeeded else "it is not on PATH"
    if host.run("test -e %s", program).failed:
        return "no such file"
    is_program = host.run("test -f %s && test -x %s", program, program).succeeded
    return "" if is_program else "it may not be executed"


def line_of_path(content: bytes, path: str) -> int | None:
    """Return the first line of a script that names a path, or one below it."""
    if not is_shell_script(content):
        return None
    names = re.compile(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])")
    return next((word.line for word in words_of(content) if names.search(word.text)), None)


def line_of_command(content: bytes, program: str) -> int | None:
    """Return the first line where a shell script runs a program."""
    if not is_shell_script(content):
        return None
    return next((each.line for each in commands_of(content) if each.program == program), None)


def looks_for(content: bytes, names: frozenset[str]) -> bool:
    """Tell whether a shell script asks whether one of these is there."""
    return any(
        command.program in TESTS
        and any(
            word.text in names or word.text.rpartition("/")[2] in names for word in command.words
        )
        for command in commands_of(content)
    )


def line_of_gpu(content: bytes) -> int | None:
    """Return the first line that asks for GPUs and neither waits nor looks first."""
    if not is_shell_script(content):
        lines = content.decode(errors="replace").splitlines()
        asked = (
            number
            for number, line in enumerate(lines, 1)
            if GPU_CALL.search(line.partition("#")[0])
        )
        return next(asked, None)
    if looks_for(content, frozenset({GPU_TOOL})) or any(
        word.text in LOOPS for word in words_of(content)
    ):
        return None
    return line_of_command(content, GPU_TOOL)
