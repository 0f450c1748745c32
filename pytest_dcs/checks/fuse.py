"""FUS: /dbfs, /Workspace and /Volumes as directories."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_dcs.rules import Item, answer, require, require_none, rule

if TYPE_CHECKING:
    from testinfra.host import Host

    from pytest_dcs.fuse import FuseMount
    from pytest_dcs.image import Image

DBFSFUSE_DOCKERFILE = (
    "https://github.com/databricks/containers/blob/master/ubuntu/dbfsfuse/Dockerfile"
)
START_SCRIPT = "https://github.com/Data-drone/db_dcs_toolkit"

MOUNT_TOOLS = {
    "fusermount -V": ("version", "fusermount of FUSE 2 or 3"),
    "mountpoint /": ("/ is a mountpoint", "mountpoint of util-linux"),
}
"""What the platform's daemons call, what it prints, and what it is."""

REFUSED_BY_ENGINE = re.compile(r"mount failed: (Operation not permitted|Permission denied)")
"""What fusermount says as root where the engine of this run keeps the right to mount."""


@rule(
    "FUS001",
    "fuse-mounts",
    level="fail",
    effect="disables-feature",
    feature="fuse",
    where="cluster",
    requires=("PY001",),
    sources=(DBFSFUSE_DOCKERFILE, START_SCRIPT),
)
def test_fuse_mounts(host: Host, dcs_fuse_smoke: FuseMount | None) -> None:
    """The platform's daemons mount /dbfs and /Workspace with the image's `fusermount` and look at
    the mounts with `mountpoint`. Without them the directories are empty, and what jobs write there
    stays on the local disk and is lost with the cluster: "fusermount: command not found".

    Fix: `RUN apt-get update && apt-get install -y fuse`
    """
    answers = {command: host.run(command) for command in MOUNT_TOOLS}
    broken = [
        Item(command, answer(answers[command]), needed)
        for command, (printed, needed) in MOUNT_TOOLS.items()
        if printed not in answers[command].stdout
    ]
    if (
        dcs_fuse_smoke is not None
        and not dcs_fuse_smoke.written
        and not REFUSED_BY_ENGINE.search(dcs_fuse_smoke.detail)
    ):
        broken.append(
            Item("a file in a FUSE mount", dcs_fuse_smoke.detail, "it can be read and written")
        )
    require_none(broken)


@rule(
    "FUS002",
    "user-variable-is-set",
    level="fail",
    effect="wrong-result",
    feature="fuse",
    where="image",
    sources=(DBFSFUSE_DOCKERFILE, "https://github.com/databricks/containers/pull/16"),
)
def test_user_variable_is_set(dcs_image: Image) -> None:
    """Databricks' Dockerfile says: "Make sure the USER env variable is set. The files exposed by
    dbfs-fuse will be owned by this user." This is the variable, not the instruction `USER`.

    Fix: `ENV USER=root`
    """
    user = dcs_image.config.environment.get("USER")
    require(user, "ENV USER of the image", found="not set", needed="the owner of /dbfs, root")
