"""RUN: what a real cluster does with the image; asked of runs with --dcs-remote only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_dcs.rules import Blocked, NotApplicable, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_dcs.remote.control import RemoteLaunch
    from pytest_dcs.remote.verdict import Answer
    from pytest_dcs.rules import Item
    from pytest_dcs.runtimes import Runtime

CONTAINERS_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
REASONS = "https://kb.databricks.com/en_US/clusters/termination-reasons"
CODES = "https://github.com/databricks/sdk-js/blob/main/packages/clusters/src/v2/model.ts"
SCRIPTS_PAGE = "https://docs.databricks.com/aws/en/init-scripts/cluster-scoped"
LOCATIONS_PAGE = "https://docs.databricks.com/aws/en/init-scripts/"
TERRAFORM = "https://registry.terraform.io/providers/databricks/databricks/latest/docs/resources/cluster#docker_image"
RUNTIME_16 = "https://learn.microsoft.com/azure/databricks/release-notes/runtime/16.0"
VOLUMES = "https://github.com/databricks/containers/issues/138"
RUNS_PAGE = "https://docs.databricks.com/api/workspace/jobs/getrunoutput"
REGISTRY_RULES = ("REG001", "REG002", "REG003", "REG004")
"""What costs nothing to ask, and makes a launch needless where it is broken."""


@rule(
    "RUN001",
    "cluster-starts-with-the-image",
    level="fail",
    effect="blocks-start",
    where="cluster",
    requires=(*REGISTRY_RULES, "RUN005"),
    sources=(CONTAINERS_PAGE, REASONS, CODES),
)
def test_cluster_starts_with_the_image(dcs_remote: RemoteLaunch) -> None:
    """Databricks warns that an image may run on a laptop and still fail on a cluster. The
    termination code of the cluster decides: some name the image, such as
    "DOCKER_CONTAINER_CREATION_EXCEPTION". For those that may mean the image or the platform, such
    as "SPARK_STARTUP_FAILURE", the same cluster was launched once more without the image, and ran.
    A lack of machines, a fault of the cloud or of the network is no verdict on the image.

    Fix: `pytest --dcs-explain=CODE` tells what the code means and which rules find its cause in an
    image; the end of the driver's log is below.
    """
    from pytest_dcs.remote import verdict

    settle(verdict.start(dcs_remote))


@rule(
    "RUN002",
    "init-scripts-pass-on-the-cluster",
    level="fail",
    effect="blocks-start",
    where="cluster",
    requires=("RUN001",),
    sources=(SCRIPTS_PAGE, CODES),
)
def test_init_scripts_pass_on_the_cluster(dcs_remote: RemoteLaunch) -> None:
    """Init scripts run in the image's container, with the programs that it has, and one that ends
    with another status than 0 ends the cluster: "Cluster scoped init script … failed: Script exit
    status is non-zero". The cluster's events say which one it was.

    Fix: install what the script calls, `RUN apt-get install --yes curl`, or mend the script; run it
    here with `--dcs-init-script=FILE` and see its whole output.
    """
    from pytest_dcs.remote import verdict

    settle(verdict.scripts(dcs_remote))


@rule(
    "RUN003",
    "checks-run-on-the-cluster",
    level="fail",
    effect="disables-feature",
    where="cluster",
    requires=("RUN001", "RUN002"),
    sources=(RUNS_PAGE, CONTAINERS_PAGE),
)
def test_checks_run_on_the_cluster(dcs_remote: RemoteLaunch) -> None:
    """A job runs a small Python file on the driver, with the image's own Python, which runs these
    checks there and prints what they have found. Where the driver is up and that file fails, so
    does every Python job on this image. A log that was cut, or a run that was ended, is no verdict.

    Fix: see the run's output below; `pytest --dcs-image=IMAGE --dcs-select=PY` judges the Python
    environment of the image here.
    """
    from pytest_dcs.remote import verdict

    settle(verdict.checks(dcs_remote))


@rule(
    "RUN004",
    "cluster-finds-the-same",
    level="advice",
    effect="wrong-result",
    where="cluster",
    requires=("RUN003",),
    sources=(CONTAINERS_PAGE,),
)
def test_cluster_finds_the_same(
    dcs_remote: RemoteLaunch, dcs_remote_differences: Sequence[Item]
) -> None:
    """Each rule is judged on the cluster as well as here. A rule that comes out differently there
    shows what an image does on a node and not on this machine: another kernel, other mounts, an
    init script. The worse of the two counts for the rule itself; this one shows them together.

    Fix: look at each of them with `pytest --dcs-explain=RULE`; what is right here and wrong there
    has mostly to do with init scripts and `spark_env_vars` of the cluster.
    """
    if dcs_remote.request.unchecked:
        raise NotApplicable(dcs_remote.request.unchecked)
    require_none(dcs_remote_differences)


@rule(
    "RUN005",
    "volumes-are-enabled",
    level="fail",
    effect="disables-feature",
    where="image",
    sources=(CONTAINERS_PAGE, VOLUMES),
)
def test_volumes_are_enabled(dcs_remote_spec: Mapping[str, Any]) -> None:
    """With Container Services, volumes of Unity Catalog are off until the cluster's configuration
    turns them on. An init script, a log or a setting that names /Volumes finds nothing there.

    Fix: `"spark_conf": {"spark.databricks.unityCatalog.volumes.enabled": "true"}` in the cluster's
    file.
    """
    from pytest_dcs.remote import lint

    require_none(lint.unset_volumes(dcs_remote_spec))


@rule(
    "RUN006",
    "registry-password-is-a-secret",
    level="advice",
    effect="leak",
    where="image",
    sources=(TERRAFORM, CONTAINERS_PAGE),
)
def test_registry_password_is_a_secret(dcs_remote_spec: Mapping[str, Any]) -> None:
    """A password that stands in a cluster's specification can be read by whoever may see the
    cluster, by its page or by the API. A reference to a secret of the workspace is replaced when
    the cluster starts, and encrypted until then.

    Fix: `databricks secrets put-secret SCOPE KEY`, and `"password": "{{secrets/SCOPE/KEY}}"` in
    `docker_image.basic_auth` of the cluster's file.
    """
    from pytest_dcs.remote import lint

    require_none(lint.literal_passwords(dcs_remote_spec))


@rule(
    "RUN007",
    "access-mode-is-named",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(CONTAINERS_PAGE,),
)
def test_access_mode_is_named(dcs_remote_spec: Mapping[str, Any]) -> None:
    """Container Services is not supported with shared access. A cluster that leaves the choice of
    its access mode to the platform may get just that.

    Fix: `"data_security_mode": "SINGLE_USER"` in the cluster's file.
    """
    from pytest_dcs.remote import lint

    require_none(lint.automatic_access(dcs_remote_spec))


@rule(
    "RUN008",
    "init-scripts-are-not-on-dbfs",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(LOCATIONS_PAGE,),
)
def test_init_scripts_are_not_on_dbfs(dcs_remote_spec: Mapping[str, Any]) -> None:
    """Init scripts on DBFS are at the end of their life: newer workspaces do not run them, and
    others will stop.

    Fix: `{"workspace": {"destination": "/Shared/setup.sh"}}` in `init_scripts` of the cluster's
    file, or `{"file": {"destination": "file:/opt/setup.sh"}}` for one in the image.
    """
    from pytest_dcs.remote import lint

    require_none(lint.legacy_scripts(dcs_remote_spec))


@rule(
    "RUN009",
    "jname-selects-a-jdk-of-the-runtime",
    level="advice",
    effect="wrong-result",
    where="image",
    sources=(RUNTIME_16,),
)
def test_jname_selects_a_jdk_of_the_runtime(
    dcs_remote_spec: Mapping[str, Any], dcs_runtime: Runtime
) -> None:
    """JNAME in a cluster's variables names the directory in /usr/lib/jvm whose JVM the platform
    starts. A runtime is tested with the JDKs that it can select, and with no other.

    Fix: `"spark_env_vars": {"JNAME": "zulu17-ca-amd64"}` with a value of this runtime in the
    cluster's file, or without it.
    """
    from pytest_dcs.remote import lint

    require_none(lint.foreign_jname(dcs_remote_spec, dcs_runtime))


def settle(answer: Answer) -> None:
    """Pass, fail, or say why nobody knows."""
    if answer.unasked:
        raise NotApplicable(answer.unasked)
    if answer.unknown:
        raise Blocked(answer.unknown)
    require_none(answer.items)
