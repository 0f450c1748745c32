from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_dcs.checks import jvm
from pytest_dcs.inventory import Inventory, Java
from pytest_dcs.rules import NotApplicable
from pytest_dcs.runtimes import load

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, an_image, finding_of

JAVA_8 = Java("/usr/lib/jvm/zulu8-ca-amd64/jre", 8, "1.8.0_412", "UTF-8")
JAVA_17 = Java("/usr/lib/jvm/java-17-openjdk-amd64", 17, "17.0.15", "UTF-8")
ANSWER = Result(stderr='openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment\n')
WITHOUT_JNAME = Inventory(environment={"PATH": "/usr/bin"})
WITH_JNAME = Inventory(environment={"JNAME": "zulu17-ca-amd64"})


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_java_must_run(result: Result) -> None:
    jvm.test_java_runs(FakeHost({"java -version": ANSWER}))
    noisy = Result(stderr=f"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n{ANSWER.stderr}")
    jvm.test_java_runs(FakeHost({"java -version": noisy}))
    found = finding_of(jvm.test_java_runs, FakeHost({"java -version": result}))
    assert found.startswith("java -version: found")


def test_the_java_of_another_runtime_is_found() -> None:
    catalogue = load()
    jvm.test_java_major(JAVA_8, WITHOUT_JNAME, catalogue.find("15.4"))
    jvm.test_java_major(JAVA_17, WITHOUT_JNAME, catalogue.find("17.3"))
    jvm.test_java_major(JAVA_17, WITH_JNAME, catalogue.find("15.4"))
    found = finding_of(jvm.test_java_major, JAVA_17, WITHOUT_JNAME, catalogue.find("15.4"))
    assert found == (
        "Java in /usr/lib/jvm/java-17-openjdk-amd64: found 17 (17.0.15); "
        "needed 8, as runtime 15.4 LTS has"
    )
    java_11 = replace(JAVA_17, major=11, version="11.0.2")
    found = finding_of(jvm.test_java_major, java_11, WITH_JNAME, catalogue.find("15.4"))
    assert "needed 8 or 17" in found


def test_an_unknown_java_is_no_finding() -> None:
    runtime = load().find("15.4")
    with pytest.raises(NotApplicable):
        jvm.test_java_major(JAVA_17, WITHOUT_JNAME, replace(runtime, java=None))
    with pytest.raises(NotApplicable, match="what JNAME selects"):
        jvm.test_java_major(JAVA_17, WITH_JNAME, load().find("14.3"))


def test_java_home_must_hold_a_jvm() -> None:
    home = "/usr/lib/jvm/java-17-openjdk-amd64"
    image = an_image(environment={"JAVA_HOME": home})
    jvm.test_java_home_exists(FakeHost({f"{home}/bin/java": ANSWER}), image)
    assert finding_of(jvm.test_java_home_exists, FakeHost(), image).startswith(
        f"ENV JAVA_HOME={home}: found exit status 127"
    )
    with pytest.raises(NotApplicable):
        jvm.test_java_home_exists(FakeHost(), an_image())


def test_jname_must_name_a_jvm() -> None:
    jvm.test_jname_exists(FakeHost({"/usr/lib/jvm/zulu17-ca-amd64/": ANSWER}), WITH_JNAME)
    found = finding_of(jvm.test_jname_exists, FakeHost(otherwise=EMPTY_FILE), WITH_JNAME)
    assert found.startswith("ENV JNAME=zulu17-ca-amd64: found no output")
    with pytest.raises(NotApplicable):
        jvm.test_jname_exists(FakeHost(), WITHOUT_JNAME)


def test_a_jre_is_found() -> None:
    tools = {
        "/javac": Result("javac 17.0.15\n"),
        "/jmap": Result("Usage:\n    jmap -clstats <pid>\n"),
    }
    jvm.test_jdk_not_jre(FakeHost(tools), JAVA_17)
    assert "javac -version" in finding_of(jvm.test_jdk_not_jre, FakeHost(), JAVA_17)
    missing = Result("sh: 1: /usr/lib/jvm/bin/jmap: not found\n", rc=127)
    found = finding_of(jvm.test_jdk_not_jre, FakeHost({**tools, "/jmap": missing}), JAVA_17)
    assert "jmap -h: found exit status 127" in found


def test_the_tools_of_java_8_are_beside_its_jre() -> None:
    host = FakeHost()
    finding_of(jvm.test_jdk_not_jre, host, JAVA_8)
    assert host.commands[0].startswith("/usr/lib/jvm/zulu8-ca-amd64/bin/javac")


def test_a_jvm_that_refuses_the_drivers_options_is_found() -> None:
    jvm.test_driver_options_accepted(FakeHost({"-XX:-UseContainerSupport": ANSWER}), JAVA_17)
    refused = Result(rc=1, stderr="Unrecognized VM option 'UseContainerSupport'\n")
    host = FakeHost({"-XX:-UseContainerSupport": refused}, otherwise=ANSWER)
    found = finding_of(jvm.test_driver_options_accepted, host, JAVA_8)
    assert found.startswith(
        "java with the driver's options: found exit status 1: Unrecognized VM option"
    )
    assert host.commands[0].startswith("/usr/lib/jvm/zulu8-ca-amd64/jre/bin/java -D")


def test_a_jvm_that_writes_ascii_is_found() -> None:
    jvm.test_utf8_in_jvm(JAVA_17)
    found = finding_of(jvm.test_utf8_in_jvm, replace(JAVA_17, encoding="ANSI_X3.4-1968"))
    assert found.endswith("found ANSI_X3.4-1968; needed UTF-8")
    with pytest.raises(NotApplicable):
        jvm.test_utf8_in_jvm(replace(JAVA_17, encoding=None))
