"""REG: what the nodes of a cluster will find in the registry; asked before a remote launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.rules import Blocked, NotApplicable, require, rule

if TYPE_CHECKING:
    from pytest_dcs.image import Image
    from pytest_dcs.remote.registry.preflight import Preflight

CONTAINERS_PAGE = "https://docs.databricks.com/aws/en/compute/custom-containers"
PULL_ERROR = "https://github.com/MicrosoftDocs/azure-docs/issues/71575"
PULLS_PAGE = "https://docs.docker.com/docker-hub/usage/pulls/"
ASKING_LESS = "; --dcs-ignore=REG launches without asking the registry"


@rule(
    "REG001",
    "image-is-in-the-registry",
    level="fail",
    effect="blocks-start",
    where="image",
    requires=("REG002",),
    sources=(CONTAINERS_PAGE, PULL_ERROR, "https://github.com/hail-is/hail/pull/15529"),
)
def test_image_is_in_the_registry(dcs_registry: Preflight) -> None:
    """Every node pulls the image, long after it was built: a tag that was never pushed, or that a
    clean-up has removed, ends the launch after minutes. The error is the same as for a wrong
    password: "Image doesn't exist or invalid credential to pull image from …".

    Fix: `docker push acme/ml:1.4` before the run, and let the registry keep the tags that clusters
    name.
    """
    refuse_unasked(dcs_registry)
    if dcs_registry.is_refused:
        raise Blocked(f"the registry does not let the nodes look ({dcs_registry.detail})")
    require(
        not dcs_registry.is_missing,
        str(dcs_registry.pull.reference),
        found=f"nothing ({dcs_registry.detail})",
        needed="the image, pushed under this name",
    )


@rule(
    "REG002",
    "registry-lets-the-nodes-in",
    level="fail",
    effect="blocks-start",
    where="image",
    sources=(CONTAINERS_PAGE, PULL_ERROR, "https://github.com/hail-is/hail/pull/15529"),
)
def test_registry_lets_the_nodes_in(dcs_registry: Preflight) -> None:
    """Nodes log in with the `basic_auth` of the cluster and not with yours: a private image without
    one, an expired password, or a robot account without a right to pull end the launch with
    "Failed to set up docker container due to a docker image pull failure". Where a repository does
    not exist, many registries ask for a login as well.

    Fix: set `DCS_REMOTE_REGISTRY_USER` and `DCS_REMOTE_REGISTRY_PASSWORD`, or `docker_image` with
    `"basic_auth": {"username": …, "password": "{{secrets/scope/key}}"}` in the cluster's file, to
    an account that may pull this image.
    """
    refuse_unasked(dcs_registry)
    login = dcs_registry.pull.credentials
    require(
        not dcs_registry.is_refused,
        f"the login for {dcs_registry.pull.reference.repository}",
        found=f"{f'user {login.user!r}' if login else 'none'}: {dcs_registry.detail}",
        needed="a login that may pull the image" if login else "one, or an image that is public",
    )


@rule(
    "REG003",
    "registry-has-the-tested-image",
    level="fail",
    effect="wrong-result",
    where="image",
    requires=("REG001", "REG002", "REG004"),
    sources=(
        "https://github.com/databricks/containers/issues/184",
        "https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull",
    ),
)
def test_registry_has_the_tested_image(dcs_registry: Preflight, dcs_image: Image) -> None:
    """A tag is a name that can move. Where the registry has another image under it than the one on
    this machine, the cluster starts that one, and all findings about the tested image say nothing
    of it. Images count as the same if their digests are, or their layers and configs.

    Fix: `docker push` the tested image, or test what is there with `--dcs-pull=always`; give every
    build a tag of its own.
    """
    refuse_unread(dcs_registry)
    if dcs_registry.is_tested is None:
        raise NotApplicable(dcs_registry.unread)
    require(
        dcs_registry.is_tested,
        str(dcs_registry.pull.reference),
        found=f"{dcs_registry.digest} in the registry",
        needed=f"the tested image {dcs_image.released_as}",
    )


@rule(
    "REG004",
    "registry-has-linux-amd64",
    level="fail",
    effect="blocks-start",
    where="image",
    requires=("REG001", "REG002", "IMG001"),
    sources=(CONTAINERS_PAGE, "https://github.com/databricks/containers/issues/211"),
)
def test_registry_has_linux_amd64(dcs_registry: Preflight) -> None:
    """A name in a registry can hold images for several platforms, or for another one than the image
    of this machine, after a push from an Apple laptop. Container Services takes linux/amd64;
    anything else ends with "exec format error" or "no matching manifest".

    Fix: `docker buildx build --platform linux/amd64 --push …`
    """
    refuse_unread(dcs_registry)
    if not dcs_registry.platforms:
        raise NotApplicable(dcs_registry.unread)
    require(
        "linux/amd64" in dcs_registry.platforms,
        str(dcs_registry.pull.reference),
        found=", ".join(dcs_registry.platforms),
        needed="linux/amd64",
    )


@rule(
    "REG005",
    "pulls-suffice-for-the-nodes",
    level="advice",
    effect="blocks-start",
    where="image",
    sources=(
        CONTAINERS_PAGE,
        PULLS_PAGE,
        "https://github.com/docker/hub-feedback/issues/2429",
    ),
)
def test_pulls_suffice_for_the_nodes(dcs_registry: Preflight) -> None:
    """Each node pulls for itself. Where the registry limits pulls, some workers come up and others
    end with "toomanyrequests: You have reached your pull rate limit", or a cluster cannot grow.
    Without a login the limit is that of an address, which all clusters behind one gateway share;
    what this address has left says nothing of theirs.

    Fix: log in with `DCS_REMOTE_REGISTRY_USER` to an account with a higher limit, copy the image
    into a registry of your cloud, or let a pool pull it once with `preloaded_docker_images`.
    """
    nodes, left = dcs_registry.pull.nodes, dcs_registry.left
    has_login = dcs_registry.pull.credentials is not None
    if left is None or not has_login:
        refuse_unasked(dcs_registry)
    if left is None:
        return
    pulls = left.remaining if has_login else left.limit
    kind = "left for this login" if has_login else "for an address without a login"
    require(
        pulls >= nodes,
        f"pulls of {dcs_registry.pull.reference.repository}",
        found=f"{pulls} {kind}, of {left.limit}{left.window_text}",
        needed=f"{nodes}, one for each node of the cluster",
    )


@rule(
    "REG006",
    "tag-is-not-a-moving-one",
    level="advice",
    effect="wrong-result",
    where="image",
    sources=(
        "https://github.com/databricks/containers/issues/184",
        "https://github.com/databricks/terraform-provider-databricks/blob/main/docs/resources/instance_pool.md",
    ),
)
def test_tag_is_not_a_moving_one(dcs_registry: Preflight) -> None:
    """A tag such as `latest` leads to another image with every push. A cluster that restarts or
    grows then runs an image that nobody has tested, nodes of one cluster can differ, and a pool
    that has pulled the image before goes on with the old one.

    Fix: push under a tag that is never used again, `docker push acme/ml:1.4-8f3c21a`, and name that
    in `docker_image`.
    """
    reference = dcs_registry.pull.reference
    require(
        not dcs_registry.is_floating,
        str(reference),
        found=f"the tag {reference.tag!r}",
        needed="a tag that no other image will get",
    )


@rule(
    "REG007",
    "login-lasts",
    level="advice",
    effect="disables-feature",
    where="image",
    sources=(
        "https://docs.aws.amazon.com/cli/latest/reference/ecr/get-login-password.html",
        "https://cloud.google.com/artifact-registry/docs/docker/authentication",
        "https://learn.microsoft.com/azure/container-registry/container-registry-authentication",
    ),
)
def test_login_lasts(dcs_registry: Preflight) -> None:
    """The cloud's own registries give out passwords that end after hours. The cluster starts with
    one today; a node that is added later, a restart or the next run of the job cannot pull: a token
    of ECR is valid for 12 hours, of Artifact Registry for one, of Azure Container Registry for
    three.

    Fix: give the cluster a login that stays, such as a service principal (Azure) or a service
    account's key (Google), as `{{secrets/scope/key}}`; on AWS leave `basic_auth` out and let the
    nodes' instance profile pull.
    """
    login, hours = dcs_registry.pull.credentials, dcs_registry.pull.hours
    require(
        hours is None,
        f"the login for {dcs_registry.pull.reference.registry}",
        found=f"user {login.user if login else ''!r}, whose password ends after {hours} h",
        needed="a login that outlives the cluster",
    )


def refuse_unasked(registry: Preflight) -> None:
    """Skip a rule where the registry has not told anything."""
    from pytest_dcs.remote.registry.status import Status

    if registry.status is Status.UNKNOWABLE:
        raise NotApplicable(registry.detail)
    if registry.status is Status.UNREACHABLE:
        raise Blocked(f"{registry.detail}{ASKING_LESS}")
    if registry.status is Status.RATE_LIMITED:
        whose = "login" if registry.pull.credentials else "machine's address"
        raise Blocked(f"this {whose} has no pulls left now: {registry.detail}{ASKING_LESS}")


def refuse_unread(registry: Preflight) -> None:
    """Skip a rule where the image itself has not been seen."""
    refuse_unasked(registry)
    if registry.is_refused or registry.is_missing:
        raise Blocked(f"the registry does not show the image ({registry.detail})")
    if registry.failed:
        raise Blocked(f"the image could not be looked into: {registry.unread}{ASKING_LESS}")
