from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_dcs.checks import python, python_imports
from pytest_dcs.inventory import Inventory, Python
from pytest_dcs.python_imports import (
    INTERPRETER,
    NOTEBOOK_MODULES,
    SPARK_CONNECT_MODULES,
    TRY_STATEMENTS,
    Imports,
)
from pytest_dcs.rules import Blocked, NotApplicable, RuleBroken
from pytest_dcs.runtimes import load

from .fake_host import EMPTY_FILE, MISSING, FakeHost, Result, finding_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = Python("/databricks/python3/bin/python", "3.11.2", "final", "/databricks/python3")
PIP = "pip 23.2.1 from {}/pip (python 3.11)\n"
SITE_PACKAGES = "/databricks/python3/lib/python3.11/site-packages"
DIST_PACKAGES = "/usr/lib/python3/dist-packages"


@pytest.mark.parametrize("result", [MISSING, EMPTY_FILE], ids=["missing", "empty"])
def test_an_interpreter_that_does_not_run_is_found(result: Result) -> None:
    python.test_interpreter_runs(FakeHost({"/databricks/python3/bin/python": Result("ready\n")}))
    found = finding_of(python.test_interpreter_runs, FakeHost(otherwise=result))
    assert found.startswith("/databricks/python3/bin/python: found")


def test_a_release_candidate_is_found() -> None:
    python.test_final_release(PYTHON)
    candidate = replace(PYTHON, version="3.11.0", release_level="candidate")
    assert "3.11.0 (candidate)" in finding_of(python.test_final_release, candidate)


def pip_in(location: str, resolved: str = "") -> FakeHost:
    return FakeHost(
        {
            "--version": Result(PIP.format(location)),
            "readlink": Result(f"{resolved or location}/pip\n"),
        }
    )


def test_pip_must_be_the_environments() -> None:
    python.test_pip_of_the_environment(pip_in(SITE_PACKAGES), PYTHON)
    found = finding_of(python.test_pip_of_the_environment, pip_in(DIST_PACKAGES), PYTHON)
    assert found == (
        f"/databricks/python3/bin/pip: found pip 23.2.1 from {DIST_PACKAGES}/pip (python 3.11); "
        "needed the pip of /databricks/python3"
    )
    finding_of(python.test_pip_of_the_environment, FakeHost(otherwise=EMPTY_FILE), PYTHON)


def test_an_environment_behind_a_link_has_its_pip() -> None:
    elsewhere = replace(PYTHON, prefix="/opt/venv")
    python.test_pip_of_the_environment(
        pip_in(SITE_PACKAGES, "/opt/venv/lib/python3.11/site-packages"), elsewhere
    )


def environment(**variables: str) -> Inventory:
    return Inventory(environment={"PATH": "/usr/bin:/bin", **variables})


MINORS = {
    "/databricks/python3/bin/python3": Result("3.11\n"),
    "/databricks/python3/bin/python": Result("3.11\n"),
    "/usr/bin/python3": Result("3.10\n"),
}


def test_pyspark_python_must_run_and_have_the_drivers_minor_version() -> None:
    check = python.test_pyspark_python_resolves
    good = {"PYSPARK_PYTHON": "/databricks/python3/bin/python3"}
    check(FakeHost(MINORS), environment(**good))
    assert finding_of(check, FakeHost(MINORS), environment()) == (
        "ENV PYSPARK_PYTHON: found not set; needed Python 3.11, as in /databricks/python3"
    )
    conda = environment(PYSPARK_PYTHON="/opt/conda/bin/python")
    assert "/opt/conda/bin/python: exit status 127" in finding_of(check, FakeHost(MINORS), conda)
    driver = environment(**good, PYSPARK_DRIVER_PYTHON="/usr/bin/python3")
    found = finding_of(check, FakeHost(MINORS), driver)
    assert found.startswith("ENV PYSPARK_DRIVER_PYTHON: found /usr/bin/python3: 3.10")


def test_an_environment_that_could_not_be_read_is_no_finding() -> None:
    with pytest.raises(Blocked):
        python.test_pyspark_python_resolves(FakeHost(MINORS), Inventory())


def test_the_python_of_another_runtime_is_found() -> None:
    catalogue = load()
    python.test_python_minor(PYTHON, catalogue.find("15.4"))
    found = finding_of(python.test_python_minor, PYTHON, catalogue.find("16.4"))
    assert "found 3.11.2; needed 3.12" in found
    with pytest.raises(NotApplicable):
        python.test_python_minor(PYTHON, replace(catalogue.find("15.4"), python=None))


def test_the_conda_environment_of_an_old_runtime_must_run() -> None:
    check = python.test_conda_environment
    named = environment(DATABRICKS_ROOT_CONDA_ENV="dcs-minimal")
    check(FakeHost({"/databricks/conda/envs/dcs-minimal": Result("Python 3.7.5\n")}), named)
    assert "not set" in finding_of(check, FakeHost(), environment())
    found = finding_of(check, FakeHost(otherwise=EMPTY_FILE), named)
    assert found.startswith("conda environment dcs-minimal: found no output")
    with pytest.raises(NotApplicable):
        check(FakeHost(), replace(named, python=PYTHON))


def test_conda_is_found_by_its_variable_and_by_its_folder() -> None:
    check = python.test_no_conda
    virtualenv = FakeHost({"conda-meta": Result(rc=1)})
    check(virtualenv, environment(), PYTHON)
    variable = environment(DATABRICKS_ROOT_CONDA_ENV="dcs-minimal")
    assert "DATABRICKS_ROOT_CONDA_ENV" in finding_of(check, virtualenv, variable, PYTHON)
    conda = FakeHost({"conda-meta": Result()})
    assert "/databricks/python3/conda-meta" in finding_of(check, conda, environment(), PYTHON)


@pytest.mark.parametrize(
    "answer",
    [
        Result('["ANSI_X3.4-1968", "utf-8", true]\n'),
        Result('["UTF-8", "ascii", true]\n'),
        Result('["UTF-8", "utf-8", false]\n'),
        MISSING,
    ],
    ids=["text", "names", "bytes", "missing"],
)
def test_another_encoding_than_utf8_is_found(answer: Result) -> None:
    python.test_utf8_in_python(FakeHost(otherwise=Result('noise\n["UTF-8", "utf-8", true]\n')))
    found = finding_of(python.test_utf8_in_python, FakeHost(otherwise=answer))
    assert found.startswith("encoding of text and of file names: found")


@pytest.mark.parametrize(
    ("variables", "is_utf8"),
    [
        ({"LC_ALL": "C.UTF-8"}, True),
        ({}, True),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, False),
    ],
    ids=["utf8", "unset", "ascii"],
)
def test_the_round_trip_tells_encodings_apart(variables: dict[str, str], is_utf8: bool) -> None:
    argv = [sys.executable, "-c", python.ROUND_TRIP]
    completed = subprocess.run(argv, env=variables, capture_output=True, check=True)
    text, names, kept = json.loads(completed.stdout)
    assert (python.normalised(text) == python.normalised(names) == "utf8") is is_utf8
    assert kept is is_utf8


def imported(**errors: str | None) -> Result:
    return Result("".join(json.dumps([name, error]) + "\n" for name, error in errors.items()))


ALL_NOTEBOOK_MODULES = dict.fromkeys(NOTEBOOK_MODULES)
ALL_CONNECT_MODULES = dict.fromkeys(SPARK_CONNECT_MODULES)


def imports(host: FakeHost, together: Mapping[str, str] | None = None) -> Imports:
    return Imports(cast("Any", host), INTERPRETER, together)


def test_each_module_of_a_notebook_kernel_is_needed() -> None:
    check = python_imports.test_kernel_imports
    check(imports(FakeHost(otherwise=imported(**ALL_NOTEBOOK_MODULES))))
    error = "ValueError: numpy.dtype size changed, may indicate binary incompatibility"
    for module in ALL_NOTEBOOK_MODULES:
        host = FakeHost(otherwise=imported(**{**ALL_NOTEBOOK_MODULES, module: error}))
        found = finding_of(check, imports(host))
        assert found.startswith(f"import {module} in /databricks/python3/bin/python: found {error}")


def test_a_module_that_kills_the_interpreter_is_named_and_the_others_are_tried() -> None:
    others = dict.fromkeys(["traitlets", "six", "numpy", "pandas", "pyarrow"])
    gone = imported(**{**others, "six": "ImportError: it is gone"})
    crashed = replace(imported(IPython=None), rc=139, stderr="Segmentation fault")
    host = FakeHost({'"IPython"': crashed}, otherwise=gone)
    with pytest.raises(RuleBroken) as caught:
        python_imports.test_kernel_imports(imports(host))
    killer, other = caught.value.items
    assert killer.subject.startswith("import ipykernel ")
    assert killer.found == "exit status 139: Segmentation fault"
    assert other.subject.startswith("import six ")


def test_each_module_of_spark_connect_is_needed() -> None:
    check = python_imports.test_spark_connect_imports
    check(imports(FakeHost(otherwise=imported(**ALL_CONNECT_MODULES))))
    for module in ALL_CONNECT_MODULES:
        missing = {
            **ALL_CONNECT_MODULES,
            module: f"ModuleNotFoundError: No module named '{module}'",
        }
        found = finding_of(check, imports(FakeHost(otherwise=imported(**missing))))
        assert found.startswith(f"import {module} in")


def test_modules_that_will_be_asked_for_are_tried_together_and_once() -> None:
    host = FakeHost(otherwise=imported(**ALL_NOTEBOOK_MODULES, **ALL_CONNECT_MODULES))
    both = imports(host, {**NOTEBOOK_MODULES, **SPARK_CONNECT_MODULES})
    python_imports.test_kernel_imports(both)
    python_imports.test_spark_connect_imports(both)
    assert len(host.commands) == 1


def test_the_language_server_is_imported_in_its_own_environment() -> None:
    host = FakeHost({"/databricks/python-lsp/bin/python": imported(pylsp=None, pylsp_jsonrpc=None)})
    python_imports.test_language_server(host)
    found = finding_of(python_imports.test_language_server, FakeHost())
    assert found.startswith(
        "import pylsp in /databricks/python-lsp/bin/python: found exit status 127"
    )


def test_the_script_that_tries_imports_says_what_each_one_said() -> None:
    statements = {"json": "import json", "nothing": "import no_such_module", "last": "import sys"}
    argv = [sys.executable, "-c", TRY_STATEMENTS, json.dumps(statements)]
    lines = subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        ["json", None],
        ["nothing", "ModuleNotFoundError: No module named 'no_such_module'"],
        ["last", None],
    ]
