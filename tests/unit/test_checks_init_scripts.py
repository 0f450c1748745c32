from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs.checks import init_scripts as checks
from pytest_dcs.init_scripts import InitScript, ScriptRun
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken, catalogue

from .fake_host import FakeHost, Result, finding_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_dcs.launch import Launch

BASH = "#!/bin/bash\n"
PRESENT = Result()
ABSENT = Result(rc=1)
STATIC = [
    checks.test_init_script_line_ends,
    checks.test_init_script_size,
    checks.test_init_script_last_line,
    checks.test_init_script_systemctl,
    checks.test_init_script_gpu,
]
WITH_HOST = [checks.test_init_script_paths, checks.test_init_script_interpreter]


class Sections:
    """A request that takes the sections of a report."""

    def __init__(self) -> None:
        self.node = self
        self.taken: dict[str, str] = {}

    def add_report_section(self, when: str, key: str, content: str) -> None:
        self.taken[key] = content


def script(
    text: str | None, *, path: str = "/scripts/init.sh", in_image: bool = False
) -> InitScript:
    content = None if text is None else text.encode()
    return InitScript("cluster", path, in_image, content)


def run(text: str | None, returncode: int | None = 0, **more: Any) -> ScriptRun:
    stdout, stderr = more.pop("stdout", ""), more.pop("stderr", "")
    fault = more.pop("fault", "")
    return ScriptRun(script(text, **more), returncode, stdout, stderr, 1.0, fault)


def launch(*runs: ScriptRun, waiting: tuple[InitScript, ...] = ()) -> Launch:
    scripts = (*(run.script for run in runs), *waiting)
    fake = SimpleNamespace(
        request=SimpleNamespace(init_scripts=scripts, open_network=False), script_runs=[*runs]
    )
    return cast("Launch", fake)


def findings_of(check: Callable[..., None], *facts: object) -> list[str]:
    with pytest.raises(RuleBroken) as caught:
        check(*facts)
    return [item.subject for item in caught.value.items]


def test_without_init_scripts_no_rule_applies() -> None:
    fixture = checks.launch_with_scripts
    function = getattr(fixture, "__wrapped__", None) or fixture.__pytest_wrapped__.obj  # type: ignore[attr-defined]
    with pytest.raises(NotApplicable, match="--dcs-init-script"):
        function(launch())
    given = launch(run(BASH))
    assert function(given) is given


def test_every_rule_is_about_the_launchs_step() -> None:
    steps = {rule.step for rule in catalogue().values() if rule.family == "INI"}
    assert steps == {"init-scripts", "script-interpreter"}


@pytest.mark.parametrize("check", STATIC)
@pytest.mark.parametrize(
    "text",
    [
        f"{BASH}set -euo pipefail\napt-get install -y jq\n",
        "",
        "echo without a first line\n",
        f"{BASH}# systemctl start x; nvidia-smi; cp a /mnt/driver-daemon/jars\r\necho\n",
        f"{BASH}echo 'systemctl start x' nvidia-smi\n",
        f"{BASH}cat >/opt/later.sh <<'END'\nsystemctl start x\nnvidia-smi\nEND\n",
        f"{BASH}command -v systemctl && command -v nvidia-smi && systemctl start x && nvidia-smi\n",
        f"{BASH}[ -d /run/systemd/system ] && systemctl start x\n",
        f"{BASH}until nvidia-smi; do sleep 1; done\n",
        f"{BASH}apt-get install -y systemctl nvidia-smi\n",
        "#!/databricks/python3/bin/python\nimport os  # nvmlInit\nprint('systemctl')\n",
    ],
)
def test_a_good_script_breaks_no_rule(check: Callable[..., None], text: str) -> None:
    check(launch(run(text)))


@pytest.mark.parametrize("check", WITH_HOST)
def test_a_good_script_breaks_no_rule_that_asks_the_container(check: Callable[..., None]) -> None:
    text = f"{BASH}mkdir -p /mnt/driver-daemon/jars\n# /etc/monit\nls /etc/monitrc /x/etc/monit\n"
    check(FakeHost(otherwise=PRESENT), launch(run(text)))


def test_a_failure_names_the_exit_status_and_the_last_lines() -> None:
    sections = Sections()
    failed = run(BASH, 2, stdout="one\ntwo\n", stderr="grep: /x: No such file\n")
    with pytest.raises(RuleBroken) as caught:
        checks.test_init_script_succeeds(cast("Any", sections), launch(run(BASH), failed))
    assert str(caught.value).splitlines() == [
        "init.sh: found exit status 2: grep: /x: No such file",
        "    stdout: one",
        "    stdout: two",
        "    stderr: grep: /x: No such file; needed exit status 0",
    ]
    assert sections.taken == {
        "stdout of init.sh": "one\ntwo\n",
        "stderr of init.sh": "grep: /x: No such file\n",
    }


def test_a_failure_without_a_word_says_so() -> None:
    fault = "no end within 60 s (--dcs-timeout), so it was killed"
    sections = Sections()
    hung = launch(run(BASH, None, fault=fault))
    found = finding_of(checks.test_init_script_succeeds, sections, hung)
    assert found == f"init.sh: found {fault}: it wrote nothing; needed exit status 0"
    assert sections.taken == {}


@pytest.mark.parametrize(
    "said",
    [
        "curl: (6) Could not resolve host: example.com",
        "Temporary failure resolving 'mirror.example.com'",
        "wget: unable to resolve host address 'example.com'",
        "OSError: [Errno 101] Network is unreachable",
    ],
)
def test_a_script_that_needs_the_world_outside_is_not_judged(said: str) -> None:
    failed = launch(run(BASH, 1, stderr=f"{said}\n"))
    with pytest.raises(Blocked, match="--dcs-open-network"):
        checks.test_init_script_succeeds(cast("Any", Sections()), failed)


def test_the_noise_of_sudo_hides_no_failure() -> None:
    noise = "sudo: unable to resolve host node: Temporary failure in name resolution\nno\n"
    assert not checks.looks_outside(run(BASH, 1, stderr=noise))


def test_scripts_that_end_well_pass() -> None:
    checks.test_init_script_succeeds(cast("Any", Sections()), launch(run(BASH), run("")))


def test_line_ends_of_windows_are_found_in_every_script() -> None:
    waiting = script(f"{BASH}echo\r\n", path="/scripts/second.sh")
    found = findings_of(
        checks.test_init_script_line_ends, launch(run("#!/bin/bash\r\n"), waiting=(waiting,))
    )
    assert found == ["init.sh:1", "second.sh:2"]


@pytest.mark.parametrize(
    ("first_line", "answers", "found"),
    [
        ("#!/no/bash", {"-e": ABSENT}, "#!/no/bash: no such file"),
        ("#!/etc", {"-e": PRESENT, "-x": ABSENT}, "#!/etc: it may not be executed"),
        (
            "#!/usr/bin/env -S python9 -u",
            {"python9": ABSENT, "test": PRESENT},
            "#!python9: it is not on PATH",
        ),
    ],
)
def test_an_interpreter_that_cannot_be_run_is_found(
    first_line: str, answers: dict[str, Result], found: str
) -> None:
    given = launch(run(f"{first_line}\n", 127))
    finding = finding_of(checks.test_init_script_interpreter, FakeHost(answers), given)
    assert finding == f"init.sh:1: found {found}; needed a program that the image has"


def test_the_carriage_return_behind_an_interpreter_is_another_rules() -> None:
    host = FakeHost({"/bin/bash ": PRESENT}, otherwise=PRESENT)
    checks.test_init_script_interpreter(cast("Any", host), launch(run("#!/bin/bash\r\n", 127)))
    assert not [command for command in host.commands if "\r" in command]


def test_an_interpreter_is_not_asked_for_before_its_script_was_run() -> None:
    given = launch(run(BASH, 1), waiting=(script("#!/no/bash\n"),))
    checks.test_init_script_interpreter(
        cast("Any", FakeHost({"/no/bash": ABSENT}, otherwise=PRESENT)), given
    )


@pytest.mark.parametrize(("size", "is_broken"), [(65_536, False), (65_537, True)])
def test_a_script_has_at_most_64_kilobytes(size: int, is_broken: bool) -> None:
    given = launch(run("x" * (size - 1) + "\n"))
    if is_broken:
        found = finding_of(checks.test_init_script_size, given)
        assert found == "init.sh: found 65,537 bytes; needed at most 65,536"
    else:
        checks.test_init_script_size(given)


def test_a_script_that_the_image_lacks_is_found() -> None:
    missing = run(None, None, path="/opt/init.sh", in_image=True, fault="no such file in the image")
    found = finding_of(checks.test_init_script_in_image, launch(missing))
    assert found == "file:/opt/init.sh: found no such file in the image; needed a script"


def test_a_script_that_was_not_come_to_is_not_missed() -> None:
    waiting = script(None, in_image=True)
    checks.test_init_script_in_image(launch(run(BASH, 1), waiting=(waiting,)))


def test_a_last_line_without_an_end_is_found() -> None:
    found = findings_of(checks.test_init_script_last_line, launch(run(f"{BASH}\necho")))
    assert found == ["init.sh:3"]


def test_paths_of_other_clusters_are_found_with_their_lines() -> None:
    text = f"{BASH}\ncp a.jar /mnt/driver-daemon/jars\ncat >'/etc/monit/conf.d/a' </dev/null\n"
    found = findings_of(checks.test_init_script_paths, FakeHost(), launch(run(text)))
    assert found == ["init.sh:3", "init.sh:4"]


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("systemctl start x", True),
        ("sudo systemctl start x || true", True),
        ("if systemctl is-active x; then :; fi", True),
        ("/bin/systemctl daemon-reload", True),
        ("service x start", False),
        ("man systemctl", False),
    ],
)
def test_a_use_of_systemctl_is_found(line: str, is_found: bool) -> None:
    given = launch(run(f"{BASH}{line}\n"))
    if is_found:
        assert findings_of(checks.test_init_script_systemctl, given) == ["init.sh:2"]
    else:
        checks.test_init_script_systemctl(given)


@pytest.mark.parametrize(
    "text",
    [
        f"{BASH}nvidia-smi || true\n",
        f"{BASH}A=$(nvidia-smi -L)\n",
        "#!/databricks/python3/bin/python\npynvml.nvmlInit()\n",
    ],
)
def test_a_question_to_the_gpu_is_found(text: str) -> None:
    assert findings_of(checks.test_init_script_gpu, launch(run(text))) == ["init.sh:2"]


def test_a_script_that_ran_on_several_nodes_is_looked_at_once() -> None:
    found = findings_of(checks.test_init_script_last_line, launch(run(f"{BASH}x"), run(f"{BASH}x")))
    assert found == ["init.sh:2"]
