"""A notebook works on good images, and on bad ones the right stage fails for its cause, in time."""

from __future__ import annotations

import io
import shlex
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_dcs import notebook, runtimes
from pytest_dcs.launch_request import LANGUAGE_SERVER, NOTEBOOK, SPARK

from .launching import RUNTIME, launched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.engines.docker import DockerEngine
    from pytest_dcs.launch import Launch
    from pytest_dcs.stages import Smoke

pytestmark = pytest.mark.docker

PATIENCE = 180.0
SHORT_LIMIT = 6.0
"""Seconds for each answer where a test lets something hang."""
STAGES = list(notebook.STAGES)
BEFORE_THE_KERNEL = STAGES[:4]
CELLS = STAGES[5:]
PACKAGES = "/databricks/python3/lib/python3.11/site-packages"
FIRST_ON_PATH = "/usr/local/sbin"
NO_SPARK = "no Spark job let the notebook into its driver"


@pytest.fixture(scope="module")
def launch(engine: DockerEngine, python_image: str) -> Iterator[Launch]:
    """Return a launch in which each test starts notebooks of its own."""
    with launched(engine, python_image, "python") as launch:
        yield launch


def smoke(launch: Launch, *without: str) -> Smoke:
    catalogue = runtimes.load()
    probe = notebook.start(
        launch.container,
        features=catalogue.features("python"),
        needs=catalogue.needs_of(catalogue.find(RUNTIME)),
        without=frozenset(without),
        gateway=False,
    )
    found = probe.result(PATIENCE)
    launch.shell.run("rm -rf /local_disk0/.ephemeral_nfs/cluster_libraries/python")
    return found


@contextmanager
def replaced(launch: Launch, path: str, content: str) -> Iterator[None]:
    """Put a program or module in the place of the image's."""
    quoted = shlex.quote(path)
    launch.shell.run(f"[ ! -e {quoted} ] || mv {quoted} {quoted}.of-the-image")
    data = content.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(path[1:])
        member.size, member.mode = len(data), 0o755
        archive.addfile(member, io.BytesIO(data))
    launch.container.put_archive("/", buffer.getvalue())
    try:
        yield
    finally:
        launch.shell.run(
            f"rm {quoted}; [ ! -e {quoted}.of-the-image ] || mv {quoted}.of-the-image {quoted}"
        )


def names(smoke: Smoke, outcome: str) -> list[str]:
    return [stage.name for stage in smoke.stages if stage.outcome == outcome]


def kernels(launch: Launch) -> list[str]:
    return launch.shell.run("pgrep -f [i]pykernel_launcher").stdout.decode().split()


@pytest.fixture
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "SECONDS", SHORT_LIMIT)


def test_every_stage_passes_on_the_python_image(engine: DockerEngine, python_image: str) -> None:
    with launched(engine, python_image, "python", NOTEBOOK, SPARK, LANGUAGE_SERVER) as launch:
        found = launch.notebook_smoke()
        assert names(found, "passed") == STAGES, found
        assert names(launch.spark_smoke(), "failed") == []
        help_found = launch.language_server_smoke()
        assert names(help_found, "passed") == [*notebook.SERVER_STAGES]
        assert not launch.shell.run(f"ls {notebook.GATEWAY_FILE}").stdout
        assert kernels(launch) == []


def test_a_notebook_that_fails_lets_the_spark_job_end(
    engine: DockerEngine, python_image: str
) -> None:
    without = frozenset({"kernel"})
    with launched(engine, python_image, "python", NOTEBOOK, SPARK, without=without) as launch:
        assert names(launch.notebook_smoke(), "passed") == BEFORE_THE_KERNEL
        assert names(launch.spark_smoke(), "failed") == []
        waiting = "for n in $(seq 300); do pgrep -x java || break; sleep 0.1; done >/dev/null"
        assert launch.shell.run(f"{waiting}; pgrep -x java").stdout == b""


def test_without_spark_all_other_stages_pass(launch: Launch) -> None:
    found = smoke(launch)
    assert names(found, "passed") == STAGES[:-1]
    assert found.stage("notebook-spark").detail == NO_SPARK
    assert kernels(launch) == []


@pytest.mark.parametrize(
    ("switch", "left_out"),
    [
        ("user-isolation", ["notebook-user"]),
        ("layered-environment", ["notebook-environment", "pip-magic"]),
        ("handed-variables", []),
        ("cluster-libraries", ["cluster-libraries", "library-install"]),
    ],
)
def test_what_is_assumed_can_be_done_otherwise(
    launch: Launch, switch: str, left_out: list[str]
) -> None:
    found = smoke(launch, switch)
    assert names(found, "failed") == []
    assert names(found, "not-run") == [*left_out, "notebook-spark"]


def test_a_kernel_broken_by_its_packages_is_reported_with_the_traceback(launch: Launch) -> None:
    module = f"{PACKAGES}/ipykernel_launcher.py"
    with replaced(launch, module, "raise ImportError('no zmq for this Python')\n"):
        found = smoke(launch)
    assert names(found, "passed") == BEFORE_THE_KERNEL
    assert names(found, "not-run") == CELLS
    detail = found.stage("kernel").detail
    assert detail.startswith("ImportError: no zmq for this Python\n")
    assert "ipykernel_launcher.py" in detail


def test_a_kernel_that_hangs_is_reported_with_where_it_stands(
    launch: Launch, short_limit: None
) -> None:
    source = "import time\ndef wait_for_license():\n    time.sleep(1000)\nwait_for_license()\n"
    with replaced(launch, f"{PACKAGES}/ipykernel_launcher.py", source):
        found = smoke(launch)
    assert names(found, "failed") == ["kernel"]
    detail = found.stage("kernel").detail
    assert "did not open its sockets within 6 s" in detail
    assert "wait_for_license" in detail
    assert kernels(launch) == []


def test_a_kernel_that_dies_in_a_cell_is_reported_with_where_it_died(launch: Launch) -> None:
    with replaced(launch, f"{PACKAGES}/matplotlib/pyplot.py", "import os\nos.abort()\n"):
        found = smoke(launch)
    assert names(found, "failed") == ["picture"]
    detail = found.stage("picture").detail
    assert "Aborted" in detail
    assert "matplotlib/pyplot.py" in detail
    assert found.stage("completion").detail == "the kernel was not running any more"


def test_a_cell_that_hangs_is_reported(launch: Launch, short_limit: None) -> None:
    with replaced(launch, f"{PACKAGES}/matplotlib/pyplot.py", "while True:\n    pass\n"):
        found = smoke(launch)
    assert names(found, "failed") == ["picture"]
    detail = found.stage("picture").detail
    assert "did not answer execute_request within 6 s" in detail
    assert "matplotlib/pyplot.py" in detail
    assert kernels(launch) == []


def test_a_sudo_that_asks_for_a_password_is_reported(launch: Launch) -> None:
    sudo = "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n"
    with replaced(launch, f"{FIRST_ON_PATH}/sudo", sudo):
        found = smoke(launch, "libraries-user")
    assert names(found, "failed") == ["notebook-user"]
    assert "sudo: a password is required" in found.stage("notebook-user").detail


def test_a_sudo_that_hangs_is_killed(launch: Launch, short_limit: None) -> None:
    with replaced(launch, f"{FIRST_ON_PATH}/sudo", "#!/bin/sh\nsleep 1000\n"):
        found = smoke(launch, "libraries-user")
    assert names(found, "failed") == ["notebook-user"]
    assert "sudo did not end within 6 s" in found.stage("notebook-user").detail
    assert launch.shell.run("pgrep -f '[s]leep 1000'").stdout == b""


def test_a_probe_without_interpreter_has_failed(launch: Launch) -> None:
    link = "/databricks/python3/bin/python3"
    launch.shell.run(f"mv {link} {link}.of-the-image")
    try:
        found = smoke(launch)
    finally:
        launch.shell.run(f"mv {link}.of-the-image {link}")
    assert [stage.name for stage in found.stages] == ["start"]
    assert "not found" in found.stage("start").detail


def test_a_language_server_that_hangs_is_killed(launch: Launch, short_limit: None) -> None:
    module = "/databricks/python-lsp/lib/python3.11/site-packages/pylsp/__main__.py"
    with replaced(launch, module, "import time\ntime.sleep(1000)\n"):
        found = notebook.start_language_server(launch.container).result(PATIENCE)
    assert names(found, "failed") == ["language-server"]
    assert "did not answer initialize within 6 s" in found.stage("language-server").detail
    assert launch.shell.run("pgrep -f '[p]ylsp'").stdout == b""


def test_a_language_server_that_prints_is_reported(launch: Launch) -> None:
    module = "/databricks/python-lsp/lib/python3.11/site-packages/pylsp/__main__.py"
    greeting = "print('Welcome to the data platform', end='\\r\\n\\r\\n', flush=True)\ninput()\n"
    with replaced(launch, module, greeting):
        found = notebook.start_language_server(launch.container).result(PATIENCE)
    assert "Welcome to the data platform" in found.stage("language-server").detail
