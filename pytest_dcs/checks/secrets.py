"""SEC: secrets that whoever can pull the image can read; needs no container."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_dcs.image.history import instruction_of, layer_in_words, outline
from pytest_dcs.image.secret_files import leaks_of
from pytest_dcs.image.secrets import data, scan, scan_variable
from pytest_dcs.rules import Item, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_dcs.image import Image, ImageConfig
    from pytest_dcs.image.layers import Layers
    from pytest_dcs.image.secret_files import Leak
    from pytest_dcs.image.secrets import Secret

BUILD_SECRETS = "https://docs.docker.com/build/building/secrets/"
IN_NO_IMAGE = "in no image: whoever can pull it can read it"


@rule(
    "SEC001",
    "no-secret-in-config",
    level="fail",
    effect="leak",
    where="image",
    sources=(
        "https://docs.docker.com/reference/build-checks/secrets-used-in-arg-or-env/",
        BUILD_SECRETS,
        "https://github.com/AirbusDefenceAndSpace/pesto/issues/9",
        "https://github.com/datahub-project/datahub/pull/17524",
    ),
)
def test_no_secret_in_config(dcs_image: Image) -> None:
    """An image's config is for all who can pull it: `docker history` and `docker inspect` print
    each `ENV`, `LABEL` and `RUN` line, and the values of `ARG` with them. Docker warns that
    "setting secrets in a Dockerfile using ENV or ARG is insecure because they persist in the final
    image".

    Fix: revoke the secret, then give it to the one line that needs it,
    `RUN --mount=type=secret,id=pip,target=/etc/pip.conf pip install …` with
    `docker build --secret id=pip,src=pip.conf`. What a job needs comes from the cluster:
    `spark_env_vars` with `{{secrets/scope/key}}`.
    """
    in_config = [*secrets_of_config(dcs_image.config)]
    require_none(
        unique(
            [
                *(
                    Item(f"{place}: {secret.what}", "a secret", IN_NO_IMAGE)
                    for place, secret in in_config
                ),
                *secrets_of_history(dcs_image.config, [secret for _, secret in in_config]),
            ]
        )
    )


@rule(
    "SEC002",
    "no-secret-in-files",
    level="fail",
    effect="leak",
    where="image",
    sources=(
        BUILD_SECRETS,
        "https://github.com/frappe/frappe_docker/issues/1860",
        "https://github.com/mlflow/mlflow/issues/11484",
    ),
)
def test_no_secret_in_files(dcs_layers: Layers) -> None:
    """A credential in a file of the image is for all who can pull it and for all users of the
    cluster: pip.conf with the password of a package index, .netrc, .databrickscfg, cloud
    credentials, a private key for cloning. Removing it by a later line leaves it in its layer.

    Fix: revoke the secret, and mount such a file for one line only:
    `RUN --mount=type=secret,id=netrc,target=/root/.netrc pip install …`, or `--mount=type=ssh` for
    keys. In a notebook `dbutils.secrets.get` reads what a job needs.
    """
    require_none(leaked(leak, dcs_layers) for leak in leaks_of(dcs_layers) if leak.is_seen)


@rule(
    "SEC003",
    "no-secret-in-hidden-files",
    level="fail",
    effect="leak",
    where="image",
    sources=(
        BUILD_SECRETS,
        "https://github.com/goldmann/docker-squash/issues/138",
        "https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts",
    ),
)
def test_no_secret_in_hidden_files(dcs_layers: Layers) -> None:
    """`RUN rm` in a line of its own, or writing the file anew, adds a layer that hides the file.
    The layer with the secret is still pulled by everybody, and `docker save` unpacks it.

    Fix: revoke the secret, and never let it into a layer:
    `RUN --mount=type=secret,id=netrc,target=/root/.netrc pip install …`, or a stage of which
    `COPY --from=…` takes the results only. Making and removing the file in one `RUN` line is enough
    where its text is not in the line.
    """
    require_none(leaked(leak, dcs_layers) for leak in leaks_of(dcs_layers) if not leak.is_seen)


@rule(
    "SEC005",
    "no-identity-variables",
    level="advice",
    effect="leak",
    where="image",
    sources=(
        "https://docs.databricks.com/aws/en/dev-tools/auth/env-vars",
        "https://boto3.amazonaws.com/v1/documentation/api/latest/guide/credentials.html",
        "https://learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential",
        "https://cloud.google.com/docs/authentication/application-default-credentials",
    ),
)
def test_no_identity_variables(dcs_image: Image) -> None:
    """The SDKs of Databricks, AWS, Azure and Google Cloud look for credentials in variables before
    they ask the cluster for its own. With such a variable from the image every job is somebody
    else than its cluster's instance profile, service principal or service account says.

    Fix: remove the variable from `ENV`, and give the cluster its identity; where a job needs
    another one, set it in the cluster's `spark_env_vars`.
    """
    environment = dcs_image.config.environment
    require_none(
        Item(f"ENV {name}", "set in the image", f"not set: it is who the {sdk} SDK says it is")
        for sdk, names in data()["identity"].items()
        for name in names
        if environment.get(name) and not scan_variable(name, environment[name])
    )


def secrets_of_config(config: ImageConfig) -> Iterator[tuple[str, Secret]]:
    """Yield the secrets in what a container is started with, each with its place."""
    for instruction, variables in (("ENV", config.environment), ("LABEL", config.labels)):
        for name, value in variables.items():
            for secret in scan_variable(name, value):
                yield f"{instruction} {name}", secret
    for instruction, words in (
        ("ENTRYPOINT", config.entrypoint),
        ("CMD", config.command),
        ("HEALTHCHECK", config.health_check),
    ):
        for secret in scan(" ".join(words)):
            yield instruction, secret


def secrets_of_history(config: ImageConfig, known: Iterable[Secret]) -> Iterator[Item]:
    """Yield an item for each secret that only the steps of the build show.

    A step that set a variable says the same as the config, and the value of a build argument
    stands before each `RUN` line that follows it: that is one leak.
    """
    seen = [*known]
    for number, step in enumerate(config.history, 1):
        for secret in scan(step.created_by):
            if secret.overlaps(seen):
                continue
            seen.append(secret)
            yield Item(
                f"history, {instruction_of(step.created_by)}: {secret.what}",
                f"a secret in step {number} of {len(config.history)}, {outline(step.created_by)}",
                IN_NO_IMAGE,
            )


def leaked(leak: Leak, layers: Layers) -> Item:
    """Return the item of a secret in a file: which line of the Dockerfile brought it."""
    origin = layer_in_words(layers, leak.layer, leak.number)
    hidden = "" if leak.is_seen else ", and a later layer only hides it"
    return Item(
        leak.subject,
        f"a secret, brought by {origin}{hidden}",
        "in no layer: a later `RUN rm` does not take it out",
    )


def unique(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items, with a number on each further one of a subject: waivers go by subjects."""
    seen: Counter[str] = Counter()
    for item in items:
        seen[item.subject] += 1
        count = seen[item.subject]
        yield replace(item, subject=f"{item.subject} ({count})") if count > 1 else item
