"""IMG: variables of the image that reach every process of the platform; needs no container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_dcs.image.secrets import masked
from pytest_dcs.rules import Item, require_none, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_dcs.image import Image

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
WITHOUT_PROXY = ("127.0.0.1", "169.254.169.254")
"""Addresses that no proxy can reach: the machine itself and the cloud's service for its nodes."""

LOADER_PATH = "LD_LIBRARY_PATH"
OF_NVIDIA = ("/usr/local/nvidia/", "/usr/local/cuda")
"""Folders that NVIDIA's base images put on the loader's path."""

REACHES_ALL = {
    "LD_PRELOAD": "every program loads it, Java and the platform's own among them",
    "PYTHONHOME": "every Python takes its standard library from there",
    "PYTHONSTARTUP": "it runs in Python shells of the platform",
    "PYTHONINSPECT": "Python waits for input where it should end",
    "PYTHONOPTIMIZE": "assertions and docstrings vanish, which libraries rely on",
    "PYARROW_IGNORE_TIMEZONE": "pandas on Spark drops the time zone of timestamps",
}
"""Variables that change what programs of the platform do, and how."""


@rule(
    "IMG009",
    "proxy-leaves-the-cluster-out",
    level="advice",
    effect="disables-feature",
    where="image",
    sources=(
        "https://github.com/h2oai/sparkling-water/issues/2727",
        "https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service",
    ),
)
def test_proxy_leaves_the_cluster_out(dcs_image: Image) -> None:
    """Driver, executors and the cloud's metadata service talk to each other by plain addresses.
    With a proxy in the environment and no exception for them, these calls go to the proxy and
    fail, long after the cluster has started.

    Fix: `ENV NO_PROXY=localhost,127.0.0.1,169.254.169.254,10.0.0.0/8` beside the proxy, in capital
    and small letters; or set the proxy in a cluster init script, where it is needed.
    """
    environment = dcs_image.config.environment
    require_none(unguarded(environment))


def unguarded(environment: Mapping[str, str]) -> Iterator[Item]:
    """Yield an item for each proxy that addresses of the cluster go through."""
    for name in PROXIES:
        exception = "NO_PROXY" if name.isupper() else "no_proxy"
        listed = environment.get(exception, "").replace(",", " ").split()
        missing = [address for address in WITHOUT_PROXY if address not in listed]
        if environment.get(name) and missing and listed != ["*"]:
            needed = f"{exception} with {', '.join(missing)}"
            yield Item(f"ENV {name} of the image", f"{exception}={','.join(listed)}", needed)


@rule(
    "IMG010",
    "no-variables-for-every-process",
    level="advice",
    effect="wrong-result",
    where="image",
    sources=(
        "https://man7.org/linux/man-pages/man8/ld.so.8.html",
        "https://docs.python.org/3/using/cmdline.html#environment-variables",
        "https://spark.apache.org/docs/latest/api/python/user_guide/pandas_on_spark/faq.html",
        "https://github.com/NVIDIA/cudf/issues/8128",
    ),
)
def test_no_variables_for_every_process(dcs_image: Image) -> None:
    """What an image sets with `ENV` reaches each program that the platform starts, not only the one
    that it was meant for: libraries are taken from elsewhere ("version `GLIBCXX_3.4.26' not
    found"), Python loses its standard library, timestamps lose their time zone.

    Fix: remove the variable from `ENV` and set it where it is needed, `RUN LD_LIBRARY_PATH=… make`
    or in the one script; for own libraries write their folder to /etc/ld.so.conf.d and run
    `ldconfig`.
    """
    environment = dcs_image.config.environment
    folders = [
        folder
        for folder in environment.get(LOADER_PATH, "").split(":")
        if folder and not folder.startswith(OF_NVIDIA)
    ]
    items = [
        Item(f"ENV {name} of the image", masked(environment[name]), f"not set: {effect}")
        for name, effect in REACHES_ALL.items()
        if environment.get(name)
    ]
    needed = "not set: every program takes its libraries from there"
    items += [Item(f"ENV {LOADER_PATH} of the image", folder, needed) for folder in folders]
    require_none(items)
