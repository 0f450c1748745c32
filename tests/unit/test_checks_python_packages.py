"""The rules about Python packages find what they are for, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from pytest_dcs import runtimes
from pytest_dcs.checks import python_interpreter, python_packages
from pytest_dcs.inventory import Python
from pytest_dcs.python_imports import INTERPRETER, Imports
from pytest_dcs.python_packages import Clash, Distribution, PythonPackages, expectations
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken
from pytest_dcs.stages import Smoke, Stage
from tests.conformance.official import OfficialImage, official_images

from .fake_host import MISSING, FakeHost, Result, finding_of

KNOWN = runtimes.load()
RUNTIME = KNOWN.find("15.4")
PYTHON = Python("/databricks/python3/bin/python", "3.11.2", "final", "/databricks/python3")
CONTENT = Smoke((Stage("kernel", "passed"), Stage("interrupt", "not-run")), log="", facts={})
UNHAPPY = Smoke((Stage("kernel", "passed"), Stage("cell", "failed")), log="", facts={})
SITE_PACKAGES = "/databricks/python3/lib/python3.11/site-packages"

WITH_PYTHON = [
    image
    for image in official_images()
    if "python" in KNOWN.features(image.profile) and KNOWN.find(image.runtime).pins
]
ABOUT_PACKAGES = (
    python_packages.test_one_owner_per_file,
    python_packages.test_installed_for_notebooks,
    python_packages.test_no_editable_install,
    python_packages.test_namespaces_are_open,
    python_interpreter.test_standard_library_complete,
    python_interpreter.test_pkg_resources,
)


def python_with(**packages: str) -> Python:
    return replace(PYTHON, packages=packages)


def packages_with(*distributions: Distribution, **more: Any) -> PythonPackages:
    return PythonPackages("/databricks/python3", {}, distributions, **more)


def own(name: str, version: str, **more: Any) -> Distribution:
    return Distribution(name, version, SITE_PACKAGES, own=True, installer="pip", **more)


@pytest.mark.parametrize("check", ABOUT_PACKAGES, ids=lambda check: check.__name__)
def test_an_environment_without_a_fault_is_content(check: Any) -> None:
    check(packages_with(own("numpy", "1.23.5")))


def test_another_series_than_the_runtimes_is_found() -> None:
    check = python_packages.test_series_of_the_runtime
    check(python_with(ipykernel="6.29.5", numpy="2.0", protobuf="4.25.0"), RUNTIME, CONTENT)
    found = finding_of(check, python_with(ipykernel="7.0.1"), RUNTIME, CONTENT)
    assert found == (
        "ipykernel: found 7.0.1; needed 6.25.1, as runtime 15.4 LTS has, or newer in 6.x"
    )


@pytest.mark.parametrize("version", ["3.12.3", "3.10.12"])
def test_series_are_not_compared_for_another_python(version: str) -> None:
    other = replace(python_with(ipykernel="7.0.1"), version=version)
    with pytest.raises(NotApplicable):
        python_packages.test_series_of_the_runtime(other, RUNTIME, CONTENT)
    unknown = replace(RUNTIME, python=None)
    finding_of(python_packages.test_series_of_the_runtime, other, unknown, CONTENT)


@pytest.mark.parametrize("official", WITH_PYTHON, ids=str)
def test_official_images_have_the_series_of_their_runtimes(official: OfficialImage) -> None:
    assert official.inventory.python is not None
    runtime = replace(KNOWN.find(official.runtime), python=None)
    python_packages.test_series_of_the_runtime(official.inventory.python, runtime, CONTENT)


@pytest.mark.parametrize("name", sorted(expectations().same_series))
def test_every_series_that_is_compared_is_pinned_by_some_runtime(name: str) -> None:
    assert any(name in runtime.pins for runtime in KNOWN.runtimes.values())


def test_an_unmet_requirement_is_found() -> None:
    check = python_packages.test_requirements_are_met
    kernel = own("ipykernel", "6.15.3", requires=("ipython>=7.23.1",))
    check(packages_with(kernel, own("ipython", "8.15.0")), RUNTIME, CONTENT)
    found = finding_of(check, packages_with(kernel, own("ipython", "7.22.0")), RUNTIME, CONTENT)
    assert found == ("what ipykernel 6.15.3 requires: found ipython 7.22.0; needed ipython>=7.23.1")


@pytest.mark.parametrize(
    ("check", "facts"),
    [
        (python_packages.test_series_of_the_runtime, python_with(ipykernel="7.0.1")),
        (python_packages.test_requirements_are_met, packages_with()),
    ],
    ids=["series", "requirements"],
)
def test_a_runtime_whose_packages_are_unknown_is_not_compared(check: Any, facts: object) -> None:
    with pytest.raises(NotApplicable):
        check(facts, replace(RUNTIME, pins={}), CONTENT)


@pytest.mark.parametrize(
    ("check", "facts"),
    [
        (python_packages.test_series_of_the_runtime, (python_with(ipykernel="7.0.1"), RUNTIME)),
        (python_packages.test_requirements_are_met, (packages_with(), RUNTIME)),
        (python_packages.test_packages_are_readable, (packages_with(unreadable=("/a",)),)),
    ],
    ids=["series", "requirements", "rights"],
)
def test_a_failed_stage_says_more_than_a_comparison(check: Any, facts: tuple[object, ...]) -> None:
    with pytest.raises(Blocked, match="the stage cell has failed"):
        check(*facts, UNHAPPY)


def test_two_versions_of_one_package_are_found() -> None:
    twice = packages_with(own("six", "1.16.0"), own("six", "1.17.0"))
    found = finding_of(python_packages.test_one_owner_per_file, twice)
    assert found == "package six: found 1.16.0 and 1.17.0; needed one version of it"


def test_two_packages_with_the_same_files_are_found() -> None:
    clash = Clash(("databricks_connect-15.4.5", "pyspark-3.5.9"), 412, "pyspark/context.py")
    found = finding_of(python_packages.test_one_owner_per_file, packages_with(clashes=(clash,)))
    assert found == (
        "packages databricks_connect-15.4.5 and pyspark-3.5.9: found pyspark/context.py in both, "
        "with different contents; files like this: 412; needed files of their own"
    )


def test_a_package_for_another_python_is_found() -> None:
    lost = Distribution("toolz", "1.0", "/opt/venv/lib", installer="pip", requested=True)
    found = finding_of(
        python_packages.test_installed_for_notebooks, packages_with(elsewhere=(lost,))
    )
    assert found == (
        "package toolz 1.0: found only in /opt/venv/lib; needed in /databricks/python3 too"
    )


@pytest.mark.parametrize("version", ["3.5.0", "3.5.9"])
def test_pyspark_of_the_runtimes_spark_is_left_alone(version: str) -> None:
    python_packages.test_pyspark_of_the_platform(packages_with(), RUNTIME)
    python_packages.test_pyspark_of_the_platform(packages_with(own("pyspark", version)), RUNTIME)


@pytest.mark.parametrize("version", ["3.4.1", "3.50.0", "4.0.0"])
def test_pyspark_of_another_spark_is_found(version: str) -> None:
    packages = packages_with(own("pyspark", version))
    found = finding_of(python_packages.test_pyspark_of_the_platform, packages, RUNTIME)
    assert found == f"package pyspark: found {version}; needed none, or one of Spark 3.5"


def test_links_to_sources_are_found() -> None:
    modern = own("scoring", "1.4", source="file:///opt/scoring")
    found = finding_of(python_packages.test_no_editable_install, packages_with(modern))
    assert found.startswith("package scoring 1.4: found a link to file:///opt/scoring")
    linked = Distribution("old", "", "", source="/opt/old")
    found = finding_of(python_packages.test_no_editable_install, packages_with(linked=(linked,)))
    assert found.startswith("package old: found a link to /opt/old")


def test_a_closed_namespace_is_found() -> None:
    closed = packages_with(closed_namespaces={"google": f"{SITE_PACKAGES}/google/__init__.py"})
    found = finding_of(python_packages.test_namespaces_are_open, closed)
    assert found.startswith(f"namespace google: found closed by {SITE_PACKAGES}/google")


def imported(**errors: str | None) -> Result:
    return Result("".join(json.dumps([name, error]) + "\n" for name, error in errors.items()))


def imports(answer: Result) -> Imports:
    return Imports(cast("Any", FakeHost(otherwise=answer)), INTERPRETER)


def test_notebook_helpers_are_asked_for_as_far_as_the_runtime_has_them() -> None:
    check = python_packages.test_notebook_helpers
    all_of_them = {"black": None, "ipywidgets": None, "tokenize-rt": None}
    check(imports(imported(**all_of_them)), RUNTIME)
    gone = imported(**{**all_of_them, "tokenize-rt": "ModuleNotFoundError"})
    assert finding_of(check, imports(gone), RUNTIME).startswith("import tokenize-rt in")
    with_two = imported(black=None, ipywidgets=None)
    check(imports(with_two), KNOWN.find("18"))
    with pytest.raises(NotApplicable):
        check(imports(MISSING), replace(RUNTIME, pins={}))


def test_pyopenssl_must_import_where_it_is_installed() -> None:
    check = python_packages.test_pyopenssl_imports
    with pytest.raises(NotApplicable):
        check(imports(MISSING), packages_with())
    present = packages_with(Distribution("pyOpenSSL", "21.0.0", "/usr/lib/python3/dist-packages"))
    check(imports(imported(OpenSSL=None)), present)
    broken = imports(imported(OpenSSL="AttributeError: module 'lib' has no …"))
    assert "found AttributeError" in finding_of(check, broken, present)


def test_packages_of_root_alone_are_found() -> None:
    check = python_packages.test_packages_are_readable
    check(packages_with(), CONTENT)
    found = finding_of(check, packages_with(unreadable=(f"{SITE_PACKAGES}/toolz",)), CONTENT)
    assert found.startswith(f"{SITE_PACKAGES}/toolz: found rights of root only")


def test_a_missing_module_of_the_standard_library_is_found() -> None:
    check = python_interpreter.test_standard_library_complete
    found = finding_of(check, packages_with(incomplete={"lzma": "No module named '_lzma'"}))
    assert found.startswith("import lzma: found No module named '_lzma'")


@pytest.mark.parametrize(
    ("distributions", "found"),
    [((), "no setuptools"), ((own("setuptools", "82.0.0"),), "setuptools 82.0.0")],
)
def test_a_missing_pkg_resources_is_found(
    distributions: tuple[Distribution, ...], found: str
) -> None:
    packages = packages_with(*distributions, pkg_resources=False)
    assert finding_of(python_interpreter.test_pkg_resources, packages) == (
        f"pkg_resources: found {found}; needed setuptools before 82"
    )


HELP = """usage: virtualenv [--no-pip] [--no-periodic-update] [--symlink-app-data] dest
  --download                    pass to enable download (default: {other})
  --no-periodic-update          disable the periodic (once every 14 days) update of the
                                embedded wheels (default: {default})
  --symlink-app-data            symlink the python packages (default: {other})
"""


@pytest.mark.parametrize(
    "text",
    [
        HELP.format(default="True", other="False"),
        HELP.format(default="True -> from env var VIRTUALENV_NO_PERIODIC_UPDATE", other="False"),
        "usage: virtualenv of a time before there were updates",
    ],
    ids=["default", "variable", "old"],
)
def test_a_virtualenv_that_does_not_update_itself_is_content(text: str) -> None:
    host = FakeHost({"virtualenv --help": Result(text)})
    python_interpreter.test_virtualenv_does_not_update(host)


def test_a_virtualenv_that_updates_itself_is_found() -> None:
    host = FakeHost(otherwise=Result(HELP.format(default="False", other="True")))
    found = finding_of(python_interpreter.test_virtualenv_does_not_update, host)
    assert found == "periodic update of virtualenv: found on; needed off"


def test_the_language_server_has_the_environments_python() -> None:
    check = python_interpreter.test_language_server_python
    check(FakeHost({"/databricks/python-lsp/bin/python": Result("3.11\n")}), PYTHON)
    found = finding_of(check, FakeHost(otherwise=Result("3.10\n")), PYTHON)
    assert found.endswith("found 3.10; needed 3.11, as in /databricks/python3")
    with pytest.raises(NotApplicable):
        check(FakeHost(otherwise=MISSING), PYTHON)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(RuleBroken) as caught:
        python_packages.test_series_of_the_runtime(
            python_with(ipykernel="7.0.1", jedi="0.19.2", traitlets="4.3.3"), RUNTIME, CONTENT
        )
    assert [item.subject for item in caught.value.items] == ["ipykernel", "jedi", "traitlets"]
