"""SEC: who and what may get into a cluster of the image, as far as its files tell."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pytest_dcs.errors import InvalidReference
from pytest_dcs.image.accounts import passwords_of
from pytest_dcs.image.history import layer_in_words
from pytest_dcs.image.layers import real_path
from pytest_dcs.image.reference import Reference
from pytest_dcs.image.secret_files import host_keys_of
from pytest_dcs.rules import Item, NotApplicable, require, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import Image
    from pytest_dcs.image.layers import File, Layers

STANDARD_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/standard/Dockerfile"
)
SSH_DOCKERFILE = "https://github.com/databricks/containers/blob/master/ubuntu/ssh/Dockerfile"

WEB_TERMINAL = "7681/tcp"
JUDGED_ELSEWHERE = "libraries"
"""The account of SYS008."""

PATH_OF_ROOT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What Docker sets where an image says nothing."""
CODE_OF_PLATFORM = ("/databricks/jars", "/databricks/python3/bin", "/databricks/python-lsp/bin")
PACKAGES = ("/site-packages", "/dist-packages")
WRITABLE_BY_ALL = 0o002

BASE_LABEL = "org.opencontainers.image.base.name"
BASES_OF_DATABRICKS = "databricksruntime"
PATCHED = "-LTS"


@rule(
    "SEC004",
    "no-ssh-host-keys",
    level="advice",
    effect="leak",
    where="image",
    sources=(
        STANDARD_DOCKERFILE,
        "https://github.com/atmoz/sftp/issues/32",
        "https://github.com/dnviti/arsenale/issues/588",
    ),
)
def test_no_ssh_host_keys(dcs_layers: Layers) -> None:
    """Installing openssh-server makes the keys by which a host proves who it is. In an image they
    are the same on every node of every cluster, and known to all who can pull it: anybody of them
    can stand between a user and the node. The official `standard` and `ssh` images are so too.

    Fix: remove the keys in the line that installs the server,
    `RUN apt-get update && apt-get install -y openssh-server && rm /etc/ssh/ssh_host_*`, and let an
    init script make new ones: `ssh-keygen -A`.
    """
    require_none(
        Item(
            file.path,
            f"a private key in {layer_in_words(dcs_layers, layer, number)}",
            "none: each node makes its own",
        )
        for file, number, layer in host_keys_of(dcs_layers)
    )


@rule(
    "SEC006",
    "web-terminal-port-is-free",
    level="advice",
    effect="leak",
    where="image",
    sources=("https://learn.microsoft.com/azure/databricks/compute/web-terminal",),
)
def test_web_terminal_port_is_free(dcs_image: Image) -> None:
    """The platform hands what listens on port 7681 of the driver to all users who may open the web
    terminal: Databricks warns that other services there "expose users to security exploits".

    Fix: let the service listen on another port, and remove `EXPOSE 7681`.
    """
    require(
        WEB_TERMINAL not in dcs_image.config.exposed_ports,
        "EXPOSE of the image",
        found=WEB_TERMINAL,
        needed="another port: this one is the web terminal's",
    )


@rule(
    "SEC007",
    "accounts-have-no-password",
    level="advice",
    effect="leak",
    where="image",
    sources=(SSH_DOCKERFILE, "https://man7.org/linux/man-pages/man5/shadow.5.html"),
)
def test_accounts_have_no_password(dcs_layers: Layers) -> None:
    """A password in an image is the same on all nodes, and its hash can be tried at leisure by all
    who can pull the image; with an empty one anybody becomes that user by `su`. The official
    recipe for SSH says "Warning: the created user has root permissions inside the container". On a
    cluster people log in by key, and `sudo` without a password needs none.

    Fix: `RUN passwd --lock root`, and for log-in by SSH a key in `~/.ssh/authorized_keys`.
    """
    require_none(
        Item(f"user {user}", described, "locked: nobody logs in by password")
        for user, state in passwords_of(dcs_layers).items()
        if user != JUDGED_ELSEWHERE
        for described in ["an empty password" if state == "empty" else "a password that is set"]
    )


@rule(
    "SEC008",
    "code-directories-are-protected",
    level="advice",
    effect="leak",
    where="image",
    sources=(
        "https://cwe.mitre.org/data/definitions/732.html",
        "https://cwe.mitre.org/data/definitions/427.html",
    ),
)
def test_code_directories_are_protected(dcs_image: Image, dcs_layers: Layers) -> None:
    """What lies on PATH, in site-packages and in /databricks/jars runs as root on the driver. Where
    every user may write there, a notebook's or a library's user can put code of theirs into the
    jobs of all others.

    Fix: give rights to those who need them, `RUN chmod --recursive o-w /databricks`, instead of
    `chmod 777`.
    """
    merged = dcs_layers.merged
    path = dcs_image.config.environment.get("PATH", PATH_OF_ROOT)
    places = [
        *filter(posixpath.isabs, path.split(":")),
        *CODE_OF_PLATFORM,
        *(file.path for file in merged.values() if file.path.endswith(PACKAGES)),
    ]
    require_none(
        Item(directory.path, f"mode {directory.mode & 0o7777:04o}", "not writable by all users")
        for directory in directories(places, merged)
        if directory.mode & WRITABLE_BY_ALL
    )


@rule(
    "SEC009",
    "base-image-is-patched",
    level="advice",
    effect="leak",
    where="image",
    sources=(
        "https://github.com/databricks/containers/issues/185",
        "https://github.com/databricks/containers#readme",
    ),
)
def test_base_image_is_patched(dcs_image: Image) -> None:
    """Of Databricks' images only those with a tag that ends in `-LTS` get security fixes; the
    others are examples that stay as they were built.

    Fix: `FROM databricksruntime/python:15.4-LTS`, and build anew now and then.
    """
    base = dcs_image.config.labels.get(BASE_LABEL)
    if not base:
        raise NotApplicable(f"no label {BASE_LABEL} names the base image")
    try:
        reference = Reference.parse(base)
    except InvalidReference:
        raise NotApplicable(f"the label {BASE_LABEL} is no reference of an image") from None
    owner, _, name = reference.path.rpartition("/")
    if owner.rpartition("/")[2] != BASES_OF_DATABRICKS:
        raise NotApplicable("the base is none of Databricks' images")
    if reference.tag is None or name.startswith("gpu-"):
        raise NotApplicable("the base has no tag that would tell: GPU images have none with -LTS")
    require(
        reference.tag.endswith(PATCHED),
        f"label {BASE_LABEL}",
        found=f"{name}:{reference.tag}",
        needed=f"a tag that ends in {PATCHED}",
    )


def directories(places: list[str], merged: Mapping[str, File]) -> Iterator[File]:
    """Yield the directories that the places are, links followed, each once."""
    real = dict.fromkeys(real_path(place, merged) for place in places)
    for path in real:
        file = merged.get(path)
        if file is not None and file.kind == "directory":
            yield file
