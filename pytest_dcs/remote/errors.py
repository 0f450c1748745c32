"""Every message that stops a remote launch: what happened, the likely cause, the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path


class RemoteExtraMissing(SetupError):
    """The packages that a remote launch needs are not installed."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"a remote launch needs the Databricks SDK ({detail}).",
            cause="It is installed only on demand, with the extra `remote`.",
            next_step="pip install 'pytest-dcs[remote]'",
        )


class NoCredentials(SetupError):
    """Nothing says which workspace to use, or as whom."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            f"no workspace to launch on ({detail}).",
            cause="Neither the environment nor ~/.databrickscfg has a host and credentials, or "
            "they name several kinds of them.",
            next_step="`databricks auth describe` must work in this shell; or set DATABRICKS_HOST "
            "and DATABRICKS_TOKEN, or DATABRICKS_CONFIG_PROFILE.",
        )


class CredentialsRefused(SetupError):
    """The workspace does not let this caller in."""

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(
            f"the workspace {host} refuses these credentials ({detail}).",
            cause="The token has expired or is of another workspace, or an IP access list keeps "
            "this machine out.",
            next_step="`databricks current-user me` must work in this shell.",
        )


class WorkspaceUnreachable(SetupError):
    """The workspace does not answer."""

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(
            f"the workspace {host} does not answer ({detail}).",
            cause="The host is misspelt, or a proxy or firewall is in the way.",
            next_step=f"`curl {host}/api/2.0/preview/scim/v2/Me` must answer, with 401 at least.",
        )


class ContainerServicesOff(SetupError):
    """Custom images are turned off in this workspace."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Databricks Container Services is turned off in the workspace {host}.",
            cause='The workspace says: "Custom containers is turned off for your deployment."',
            next_step="An admin of the workspace turns it on: `curl -X PATCH -H 'Authorization: "
            f'Bearer …\' {host}/api/2.0/workspace-conf -d \'{{"enableDcs": "true"}}\'`',
        )


class JournalUnusable(SetupError):
    """What is launched cannot be written down, so nothing is launched."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"the journal of remote launches {path} cannot be written ({detail}).",
            cause="The folder is read-only or belongs to another user, or the disk is full.",
            next_step="Point XDG_STATE_HOME at a folder that can be written. Without a journal "
            "nothing is launched: a cluster that nobody knows of would go on costing money.",
        )


class TooManyLaunches(SetupError):
    """A run wants to launch more clusters than it may."""

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"this run has launched {cap} clusters and may launch no more.",
            cause="Every launch costs money, so each run has a limit.",
            next_step="Name fewer images in one run.",
        )


class NotListed(SetupError):
    """The workspace does not say what there is, so nothing is removed."""

    def __init__(self, host: str, detail: str) -> None:
        super().__init__(
            f"the clusters and job runs of {host} cannot be listed ({detail}).",
            cause="The caller may not list them, or the workspace has a fault.",
            next_step="`databricks clusters list` must work in this shell; nothing was removed.",
        )


class LoginIncomplete(SetupError):
    """Half of a login at the registry is set."""

    def __init__(self, missing: str, found: str) -> None:
        super().__init__(
            f"{found} is set and {missing} is not.",
            cause="A login at a registry is a user and a password.",
            next_step=f"Set {missing} as well, or unset both for an image that anybody may pull.",
        )


class RecordUnwritable(SetupError):
    """The log of requests cannot be written."""

    def __init__(self, path: Path, detail: str) -> None:
        super().__init__(
            f"the log of requests {path} cannot be written ({detail}).",
            cause="The folder does not exist, is read-only, or the disk is full.",
            next_step="Name a file in a folder that can be written.",
        )


class SpecUnusable(SetupError):
    """A file that should have a cluster's specification."""

    def __init__(self, path: Path, problem: str, next_step: str) -> None:
        super().__init__(
            f"no cluster can be taken from {path}: {problem}.",
            cause="--dcs-remote-cluster names a file with a cluster's specification, a job's "
            "definition or an asset bundle, in JSON or YAML.",
            next_step=next_step,
        )


class SpecAmiss(SetupError):
    """A specification with which no cluster can be launched."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(
            f"the cluster cannot be launched: {problem}.",
            cause="The workspace would refuse it, or end it after minutes that cost money, so "
            "nothing was launched.",
            next_step=next_step,
        )


class NodeTypeNeeded(SetupError):
    """Nothing says on which machines to launch."""

    def __init__(self) -> None:
        super().__init__(
            "no node type is named for the cluster.",
            cause="Each cloud has others, and they differ in price, so none is chosen for you.",
            next_step="--dcs-remote-node-type=i3.xlarge (AWS), =Standard_DS3_v2 (Azure) or "
            "=n2-highmem-4 (Google Cloud), or a file with --dcs-remote-cluster.",
        )


class DigestUnknown(SetupError):
    """An image without a digest is to be pulled by it."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"{reference} has no digest in a registry that is known here.",
            cause="It was built on this machine and neither pushed nor pulled since.",
            next_step=f"`docker push {reference}`, or leave --dcs-remote-by-digest out.",
        )


class LoginElsewhere(SetupError):
    """The login in a specification is for another registry than the image's."""

    def __init__(self, theirs: str, ours: str) -> None:
        super().__init__(
            f"the cluster's login is for {theirs}, and the image is in {ours}.",
            cause="docker_image.basic_auth would go to a registry that it is not meant for.",
            next_step=f"Test the image under its name in {theirs}, or leave basic_auth out of the "
            "cluster's file and set DCS_REMOTE_REGISTRY_USER and DCS_REMOTE_REGISTRY_PASSWORD.",
        )


class LaunchRefused(SetupError):
    """The workspace or the cloud does not launch this cluster, whatever the image."""

    def __init__(self, what: str, cause: str, next_step: str) -> None:
        super().__init__(
            f"no verdict on the image: {what}.",
            cause=f"It is not the image: {cause}.",
            next_step=next_step,
        )
