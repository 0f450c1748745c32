"""The official images as objects, built from official_images.toml; nothing is pulled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_dcs import runtimes
from pytest_dcs.image import Image, ImageConfig
from pytest_dcs.inventory import Inventory, Java, OsRelease, Python, User
from pytest_dcs.toml_files import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Table = Mapping[str, Any]

DATA = Path(__file__).with_name("official_images.toml")

UBUNTU_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UBUNTU_COMMAND = ("/bin/bash",)
UBUNTU_USERS = (
    User("root", 0, 0, "/root", "/bin/bash", locked=True),
    User("daemon", 1, 1, "/usr/sbin", "/usr/sbin/nologin", locked=True),
    User("nobody", 65534, 65534, "/nonexistent", "/usr/sbin/nologin", locked=True),
)
UBUNTU_PACKAGES = (
    "apt base-files base-passwd bash bsdutils coreutils dash debianutils diffutils dpkg findutils "
    "grep gzip hostname init-system-helpers libc-bin libc6 login mount ncurses-base ncurses-bin "
    "passwd perl-base sed sysvinit-utils tar util-linux"
)
"""What no image of Ubuntu is without."""

FIRST_USER = 1000
UTF8_BY_DEFAULT = 18
"""The first JDK whose text encoding is UTF-8 in any locale: https://openjdk.org/jeps/400."""


@dataclass(frozen=True)
class OfficialImage:
    """One official image, what it is meant for, and the advice that it is known to get."""

    name: str
    image: Image
    inventory: Inventory
    runtime: str
    profile: str
    advice: frozenset[str]
    source: str

    def __str__(self) -> str:
        return self.name


def official_images() -> Iterator[OfficialImage]:
    """Yield all images of the data, branch by branch."""
    document = read_toml(DATA)
    for branch, tables in document["image"].items():
        for name, table in tables.items():
            layers = chain(table, {**document["base"], **tables})
            yield OfficialImage(
                name=f"{name}-{branch}",
                image=image_of(table["reference"], layers),
                inventory=inventory_of(layers),
                runtime=table["runtime"],
                profile=table["profile"],
                advice=frozenset(table.get("advice", ())),
                source=f"https://github.com/databricks/containers/tree/release-{branch}-LTS",
            )


def chain(table: Table, others: Mapping[str, Table]) -> Sequence[Table]:
    """Return an image's table and those of the images that it is built on, the first one first."""
    base = table.get("base")
    return (*(chain(others[base], others) if base else ()), table)


def image_of(reference: str, layers: Sequence[Table]) -> Image:
    """Return the image that the layers make."""
    entrypoint = newest(layers, "entrypoint", ())
    config = ImageConfig(
        environment=environment_of(layers),
        entrypoint=tuple(entrypoint),
        command=() if entrypoint else UBUNTU_COMMAND,  # an ENTRYPOINT resets the CMD of the base
        working_directory=newest(layers, "working_directory", ""),
    )
    digest = hashlib.sha256(repr(config).encode()).hexdigest()
    return Image(reference=reference, id=f"sha256:{digest}", config=config)


def inventory_of(layers: Sequence[Table]) -> Inventory:
    """Return what would be read off a container, as far as the data knows it."""
    environment = environment_of(layers)
    return Inventory(
        os=OsRelease("ubuntu", newest(layers, "ubuntu", None), ("debian",)),
        users=users_of(layers),
        environment={"HOME": "/root", **environment},
        java=java_of(newest(layers, "jdk", {}), environment),
        python=python_of(layers),
        packages=packages_of(layers),
    )


def newest(layers: Sequence[Table], field: str, default: Any) -> Any:
    """Return a field's value in the last layer that has it."""
    return next((layer[field] for layer in reversed(layers) if field in layer), default)


def environment_of(layers: Sequence[Table]) -> Mapping[str, str]:
    """Return the ENV of all layers, `${PATH}` filled in."""
    environment = {"PATH": UBUNTU_PATH}
    for layer in layers:
        for name, value in layer.get("environment", {}).items():
            environment[name] = value.replace("${PATH}", environment["PATH"])
    return environment


def users_of(layers: Sequence[Table]) -> tuple[User, ...]:
    """Return the users of all layers; `useradd` counts from 1000 and locks the password."""
    added = [user.split(":") for layer in layers for user in layer.get("users", ())]
    return UBUNTU_USERS + tuple(
        User(name, uid, uid, f"/home/{name}", shell, locked=True)
        for uid, (name, shell) in enumerate(added, FIRST_USER)
    )


def java_of(jdk: Table, environment: Mapping[str, str]) -> Java | None:
    """Return the JVM, with the encoding that it takes from the locale."""
    if not jdk:
        return None
    is_utf8 = "UTF-8" in environment.get("LC_ALL", "") or jdk["major"] >= UTF8_BY_DEFAULT
    return Java(**jdk, encoding="UTF-8" if is_utf8 else "ANSI_X3.4-1968")


def python_of(layers: Sequence[Table]) -> Python | None:
    """Return the interpreter of /databricks/python3 with the packages on its path."""
    version = newest(layers, "python", None)
    if version is None:
        return None
    catalogue = runtimes.load()
    packages: dict[str, str] = {}
    for layer in layers:
        packages |= layer.get("python_packages", {})
        if "pins" in layer:
            packages |= catalogue.find(layer["pins"]).pins
    return Python(
        executable="/databricks/python3/bin/python",
        version=version,
        release_level="final",
        prefix="/databricks/python3",
        packages=packages,
    )


def packages_of(layers: Sequence[Table]) -> Mapping[str, str]:
    """Return the Debian packages of all layers; a version that nothing pins is empty."""
    packages = dict.fromkeys(UBUNTU_PACKAGES.split(), "")
    for layer in layers:
        for package in layer.get("packages", ()):
            name, _, version = package.partition("=")
            packages[name] = version
    return packages
