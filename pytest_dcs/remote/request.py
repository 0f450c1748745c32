"""From one image and what the user asked for to the orders of a launch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_dcs import rules
from pytest_dcs.options import JOBS_MODE
from pytest_dcs.remote import errors, lint, spec_files
from pytest_dcs.remote.hiding import Unshown
from pytest_dcs.remote.outcome import Order
from pytest_dcs.remote.registry.pull import nodes_of, of_environment
from pytest_dcs.remote.spec import IMAGE_TAG, Wanted, complete
from pytest_dcs.remote.tags import NAME_PREFIX
from pytest_dcs.remote.workspace import Refused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pytest_dcs.image import Image
    from pytest_dcs.options import Settings
    from pytest_dcs.remote.workspace import Workspace
    from pytest_dcs.runtimes import Runtime

CONF = "/api/2.0/workspace-conf"
SWITCH = "enableDcs"
CONTROL = "-control"
SHOWN = 8
"""Characters of an id in a name."""
IN_IMAGE = "file"
"""The kind of init scripts that lie in the image."""


@dataclass(frozen=True)
class Request:
    """One image to launch, and the cluster for it."""

    name: str
    spec: Mapping[str, Any] = field(repr=False)
    mode: Literal["jobs", "interactive"]
    timeout: float
    """Seconds."""
    arguments: tuple[str, ...] = field(repr=False)
    run_id: str
    said: tuple[str, ...] = ()
    """What was changed of the user's specification."""
    unchecked: str = ""
    """Why the checks are not run on the cluster; empty: they are."""

    @property
    def nodes(self) -> int:
        """How many nodes the cluster has at most."""
        return nodes_of(self.spec)

    @property
    def title(self) -> str:
        """What is launched, for people."""
        spec = self.spec
        machine = spec.get("node_type_id") or f"pool {spec.get('instance_pool_id')}"
        if not (spec.get("node_type_id") or spec.get("instance_pool_id")):
            machine = f"policy {spec.get('policy_id')}"
        count = f"{self.nodes} node{'' if self.nodes == 1 else 's'}"
        return (
            f"cluster {self.name} with {spec['docker_image']['url']} on {spec['spark_version']}, "
            f"{count} of {machine}, mode {self.mode}, for at most {self.timeout / 60:.0f} minutes"
        )

    def order(self, bundle: bytes | None) -> Order:
        """Return the order for the image's cluster; without a bundle it only has to start."""
        return Order(
            name=self.name,
            spec=self.spec,
            mode=self.mode,
            timeout=self.timeout,
            bundle=bundle,
            arguments=self.arguments,
            run_id=self.run_id,
            with_image=True,
        )

    def control(self) -> Order:
        """Return the order for the same cluster without the image, and without what lies in it."""
        spec = Unshown({key: self.spec[key] for key in self.spec if key != "docker_image"})
        tags = spec.get("custom_tags") or {}
        spec["custom_tags"] = {key: tags[key] for key in tags if key != IMAGE_TAG}
        if spec.get("init_scripts"):
            spec["init_scripts"] = [each for each in spec["init_scripts"] if IN_IMAGE not in each]
        return Order(
            name=f"{self.name}{CONTROL}",
            spec=spec,
            mode=self.mode,
            timeout=self.timeout,
            bundle=None,
            arguments=(),
            run_id=self.run_id,
            with_image=False,
        )


def make(
    image: Image,
    runtime: Runtime,
    profile: tuple[str, frozenset[str]],
    settings: Settings,
    *,
    run_id: str,
    environment: Mapping[str, str],
    floor: tuple[int, int],
) -> Request:
    """Return the request for an image; `profile` is its name and features.

    The checks need the Python of `floor`. Raises a `SetupError` where nothing can be launched.
    """
    source, (named, features) = settings.remote_cluster.value, profile
    login = of_environment(environment)
    wanted = Wanted(
        reference=image.reference,
        digest=image.digest,
        runtime=runtime,
        features=features,
        node_type=settings.remote_node_type.value,
        by_digest=settings.remote_by_digest.value,
        login=(login.user, login.password) if login else None,
    )
    completed = complete(spec_files.load(source) if source else None, wanted)
    lint.refuse(completed.spec, runtime)
    mode: Literal["jobs", "interactive"] = settings.remote_mode.value
    said = list(completed.said)
    if "python" not in features and mode == JOBS_MODE:
        mode = "interactive"
        said.append("mode interactive: a job would need Python, which the profile does not have")
    return Request(
        name=name_of(image, runtime, run_id),
        spec=completed.spec,
        mode=mode,
        timeout=settings.remote_timeout.value,
        arguments=arguments_of(image, runtime, named, settings),
        run_id=run_id,
        said=tuple(said),
        unchecked=why_unchecked(runtime, features, settings, floor),
    )


def name_of(image: Image, runtime: Runtime, run_id: str) -> str:
    """Return the cluster's name, by which it is found when an answer was lost."""
    what = hashlib.sha256(f"{image.reference} {image.id} {runtime.version}".encode()).hexdigest()
    return f"{NAME_PREFIX}{run_id[:SHOWN]}-{what[:SHOWN]}"


def why_unchecked(
    runtime: Runtime, features: frozenset[str], settings: Settings, floor: tuple[int, int]
) -> str:
    """Return why the checks are not run on the cluster, empty where they are."""
    if "python" not in features:
        return "the profile has no Python, and the checks need one on the cluster"
    python = tuple(map(int, (runtime.python or "").split("."))) if runtime.python else floor
    if python < floor:
        needed = ".".join(map(str, floor))
        return f"the checks need Python {needed}, and runtime {runtime.version} has no newer one"
    select, ignore = settings.select.value, settings.ignore.value
    asked = [each for each in ("RUN003", "RUN004") if rules.is_selected(each, select, ignore)]
    return "" if asked else "neither RUN003 nor RUN004 is selected"


def arguments_of(
    image: Image, runtime: Runtime, profile: str, settings: Settings
) -> tuple[str, ...]:
    """Return the arguments of the checks on the cluster: what was asked for here as well."""
    given = [
        f"--dcs-image={image.reference}",
        f"--dcs-runtime={runtime.version}",
        f"--dcs-profile={profile}",
        f"--dcs-timeout={settings.timeout.value:g}",
    ]
    # Who selects nothing but the rules about the launch wants all checks to run there.
    given += [f"--dcs-select={each}" for each in settings.select.value if is_of_image(each)]
    given += [f"--dcs-ignore={each}" for each in settings.ignore.value]
    return (*given, *(["--dcs-deep"] if settings.deep.value else []))


def is_of_image(prefix: str) -> bool:
    """Tell whether a prefix selects any rule that is not about the launch."""
    return any(rule.family not in rules.REMOTE_FAMILIES for rule in rules.matching(prefix))


def refuse_switched_off(workspace: Workspace) -> None:
    """Raise `ContainerServicesOff` where the workspace takes no images; nothing is changed.

    Whoever may not read the setting learns it from the launch itself.
    """
    try:
        answer = workspace.get(CONF, {"keys": SWITCH})
    except (Refused, Unanswered):
        return
    if str(answer.get(SWITCH)).lower() != "true":
        raise errors.ContainerServicesOff(workspace.host)
