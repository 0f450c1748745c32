"""PY: the packages of /databricks/python3, one by one and beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.python_packages import (
    clashes_of_two,
    editable,
    expectations,
    in_another_series,
    installed_elsewhere,
    installed_twice,
    series,
    unmet_requirements,
)
from pytest_dcs.rules import Blocked, Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_dcs.inventory import Python
    from pytest_dcs.python_imports import Imports
    from pytest_dcs.python_packages import PythonPackages
    from pytest_dcs.runtimes import Runtime
    from pytest_dcs.stages import Smoke

CONTAINERS_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
GPU_README = "https://github.com/databricks/containers/blob/master/ubuntu/gpu/README.md"
PYTHON_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/python/Dockerfile"
OPENSSL = "pyopenssl"


@rule(
    "PY014",
    "series-of-the-runtime",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="container",
    requires=("PY001", "PY007", "PY012"),
    sources=(
        GPU_README,
        "https://github.com/databricks/containers/issues/118",
        "https://github.com/ipython/ipython/issues/12740",
    ),
)
def test_series_of_the_runtime(
    dcs_python: Python, dcs_runtime: Runtime, dcs_notebook_smoke: Smoke
) -> None:
    """The runtime's own code imports these packages from the image and was tested with one version
    of each: "the python packages used in the image HAVE to match". Newer releases of the same
    series do; in another series something that the runtime uses may be gone, which a plain kernel
    does not show: "Driver down cause: driver state change (exit code: 10)".

    Fix: `RUN /databricks/python3/bin/pip install --no-deps ipykernel==6.25.1`, each package in the
    version that is named here.
    """
    pins = pins_of(dcs_runtime)
    minor = ".".join(dcs_python.version.split(".")[:2])
    if dcs_runtime.python not in {None, minor}:
        raise NotApplicable(f"Python {minor} is not the runtime's, and has packages of its own")
    leave_to_stages(dcs_notebook_smoke)
    names = expectations().same_series
    require_none(
        Item(
            name,
            found,
            f"{pinned}, as runtime {dcs_runtime.name} has, or newer in {series(pinned)}.x",
        )
        for name, found, pinned in in_another_series(dcs_python.packages, pins, names)
    )


@rule(
    "PY015",
    "requirements-are-met",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="container",
    requires=("PY001", "PY007", "PY012"),
    sources=(
        "https://github.com/databricks-industry-solutions/auto-data-linkage/issues/95",
        "https://pip.pypa.io/en/stable/cli/pip_check/",
        PYTHON_DOCKERFILE,
    ),
)
def test_requirements_are_met(
    dcs_python_packages: PythonPackages, dcs_runtime: Runtime, dcs_notebook_smoke: Smoke
) -> None:
    """The packages of the official images are installed with `--no-deps`, and who adds to them in
    the same way hears nothing of what is missing or too old: "ipykernel 6.15.3 requires
    ipython>=7.23.1, but you have ipython 7.22.0 which is incompatible". It fails when it is first
    used. What the runtime's own list leaves open is not counted.

    Fix: install what is named here, `RUN /databricks/python3/bin/pip install 'ipython>=7.23.1'`, or
    another version of the package that asks for it; look with `pip check`.
    """
    pins = pins_of(dcs_runtime)
    leave_to_stages(dcs_notebook_smoke)
    unmet = unmet_requirements(dcs_python_packages, pins, expectations().of_the_platform)
    require_none(
        Item(f"what {each.distribution} requires", each.found, each.requirement) for each in unmet
    )


@rule(
    "PY016",
    "one-owner-per-file",
    level="advice",
    effect="wrong-result",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/databricks-vscode/pull/2121",
        "https://packaging.python.org/en/latest/specifications/recording-installed-packages/",
    ),
)
def test_one_owner_per_file(dcs_python_packages: PythonPackages) -> None:
    """Two packages with the same files overwrite each other, and what is imported is a mixture of
    both: pyspark and databricks-connect give an "opaque Java or protobuf gencode error". A second
    version copied over the first leaves two descriptions, of which an arbitrary one is believed.

    Fix: remove both and install the one that is needed: `RUN /databricks/python3/bin/pip uninstall
    --yes opencv-python opencv-python-headless && /databricks/python3/bin/pip install
    opencv-python-headless`; copy no site-packages over another.
    """
    twice = [
        Item(f"package {second.name}", f"{first.version} and {second.version}", "one version of it")
        for first, second in installed_twice(dcs_python_packages)
    ]
    shared = [
        Item(
            f"packages {' and '.join(clash.packages)}",
            f"{clash.example} in both, with different contents; files like this: {clash.files}",
            "files of their own",
        )
        for clash in clashes_of_two(dcs_python_packages)
    ]
    require_none(twice + shared)


@rule(
    "PY017",
    "installed-for-notebooks",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        CONTAINERS_PAGE,
        "https://github.com/databricks/containers/issues/146",
        "https://github.com/databricks/containers/issues/21",
    ),
)
def test_installed_for_notebooks(dcs_python_packages: PythonPackages) -> None:
    """Notebooks and Spark see the packages of /databricks/python3. A plain `pip install` goes to
    the first Python on PATH, and `pip install --user` to root alone: the build is green, and on the
    cluster it is "ModuleNotFoundError". Packages that bring commands are taken for programs.

    Fix: `RUN /databricks/python3/bin/pip install …` instead of `RUN pip install …`
    """
    elsewhere = installed_elsewhere(dcs_python_packages, expectations().installers)
    require_none(
        Item(f"package {each}", f"only in {each.folder}", f"in {dcs_python_packages.prefix} too")
        for each in elsewhere
    )


@rule(
    "PY018",
    "pyspark-of-the-platform",
    level="advice",
    effect="wrong-result",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(PYTHON_DOCKERFILE, "https://github.com/databricks/containers/issues/187"),
)
def test_pyspark_of_the_platform(dcs_python_packages: PythonPackages, dcs_runtime: Runtime) -> None:
    """The platform lays its own Spark over the image, and that is imported: "You do not need to
    install pyspark - it is injected when the cluster is launched". One of another Spark is only
    what pip believes in: the packages that it chooses do not fit the Spark that runs.

    Fix: `RUN /databricks/python3/bin/pip uninstall --yes pyspark`, or install the version of the
    runtime's Spark.
    """
    installed = dcs_python_packages.installed.get("pyspark")
    if installed is None:
        return
    require(
        feature_release(installed.version) == feature_release(dcs_runtime.pyspark),
        "package pyspark",
        found=installed.version,
        needed=f"none, or one of Spark {feature_release(dcs_runtime.pyspark)}",
    )


@rule(
    "PY019",
    "no-editable-install",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/cli/issues/1619",
        "https://packaging.python.org/en/latest/specifications/direct-url-data-structure/",
    ),
)
def test_no_editable_install(dcs_python_packages: PythonPackages) -> None:
    """`pip install --editable` leaves a pointer to the sources, by a `.pth` file or an import hook.
    The platform sets up the paths of notebooks by itself and has import hooks of its own: what
    could be imported in `docker run` is "ModuleNotFoundError" in a notebook.

    Fix: install a copy: `RUN /databricks/python3/bin/pip install /opt/src/mypackage`
    """
    require_none(
        Item(f"package {each}", f"a link to {each.source}", "files in the environment")
        for each in editable(dcs_python_packages)
    )


@rule(
    "PY020",
    "namespaces-are-open",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001", "PY012"),
    sources=(
        "https://peps.python.org/pep-0420/",
        "https://packaging.python.org/en/latest/guides/packaging-namespace-packages/",
        "https://github.com/databricks/containers/issues/131",
    ),
)
def test_namespaces_are_open(dcs_python_packages: PythonPackages) -> None:
    """`google`, `databricks` and `azure` have parts of many makers, some of which notebooks install
    into their own environment. A plain `__init__.py` in the image's part closes the package: the
    others are not found any more, "ModuleNotFoundError: No module named 'google.cloud'".

    Fix: `RUN rm /databricks/python3/lib/python3.11/site-packages/google/__init__.py`; a package of
    your own needs a name of its own, not `databricks`.
    """
    closed = dcs_python_packages.closed_namespaces
    require_none(
        Item(f"namespace {name}", f"closed by {file}", "open for parts in other folders")
        for name, file in closed.items()
    )


@rule(
    "PY021",
    "notebook-helpers",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="notebook_helpers",
    where="cluster",
    requires=("PY007",),
    sources=(
        "https://github.com/databricks/containers/issues/188",
        "https://github.com/databricks/containers/tree/release-15.4-LTS/ubuntu/python",
    ),
)
def test_notebook_helpers(dcs_python_imports: Imports, dcs_runtime: Runtime) -> None:
    """Notebooks format cells with black and tokenize-rt and show widgets with ipywidgets, all of
    the image. Without them the menu does nothing, and widgets stay text: "No module named
    'tokenize_rt'".

    Fix: `RUN /databricks/python3/bin/pip install --no-deps black==23.3.0 tokenize-rt==4.2.1
    ipywidgets==7.7.2` for 15.4; for other runtimes the versions of their official image.
    """
    pins = pins_of(dcs_runtime)
    helpers = expectations().notebook_helpers
    statements = {name: helpers[name] for name in helpers if name in pins}
    require_none(dcs_python_imports.failures(statements))


@rule(
    "PY022",
    "pyopenssl-imports",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="cluster",
    requires=("PY001",),
    sources=(
        "https://github.com/pypa/pip/issues/11795",
        "https://github.com/pyca/pyopenssl/issues/1114",
    ),
)
def test_pyopenssl_imports(
    dcs_python_imports: Imports, dcs_python_packages: PythonPackages
) -> None:
    """The environment also sees the packages of the system's Python. apt's pyOpenSSL beside a newer
    cryptography of pip's breaks in the middle of what is using it: "AttributeError: module 'lib'
    has no attribute 'X509_V_FLAG_CB_ISSUER_CHECK'".

    Fix: `RUN /databricks/python3/bin/pip install --upgrade pyOpenSSL`
    """
    if OPENSSL not in dcs_python_packages.installed:
        raise NotApplicable("pyOpenSSL is not installed")
    require_none(dcs_python_imports.failures({"OpenSSL": "import OpenSSL.SSL"}))


@rule(
    "PY023",
    "packages-are-readable",
    level="advice",
    effect="disables-feature",
    feature="python",
    need="no_conda",
    where="container",
    requires=("PY001",),
    sources=(
        "https://github.com/databricks/containers/pull/135",
        "https://docs.databricks.com/aws/en/libraries/cluster-libraries",
    ),
)
def test_packages_are_readable(
    dcs_python_packages: PythonPackages, dcs_notebook_smoke: Smoke
) -> None:
    """Where users are kept apart a notebook runs as a user without rights. What was installed under
    a strict umask, or copied with the rights that it had on a laptop, only root can import:
    "PermissionError: [Errno 13] Permission denied".

    Fix: `RUN chmod -R a+rX /databricks/python3`, or `umask 022` before the installation.
    """
    leave_to_stages(dcs_notebook_smoke)
    require_none(
        Item(path, "rights of root only", "readable for all")
        for path in dcs_python_packages.unreadable
    )


def pins_of(runtime: Runtime) -> Mapping[str, str]:
    """Return the runtime's versions; raises `NotApplicable` where they are not known."""
    if not runtime.pins:
        raise NotApplicable(f"the packages of runtime {runtime.version} are not known")
    return runtime.pins


def leave_to_stages(smoke: Smoke) -> None:
    """Raise `Blocked` where a stage has failed: its finding says more than this one could."""
    failed = next((stage.name for stage in smoke.stages if stage.outcome == "failed"), None)
    if failed is not None:
        raise Blocked(f"the stage {failed} has failed, which says more")


def feature_release(version: str) -> str:
    """Return major and minor version, as `3.5`."""
    return ".".join(version.split(".")[:2])
