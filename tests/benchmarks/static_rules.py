"""Time the rules about an image's layers, and what they and all others add to a run.

    python -m tests.benchmarks.static_rules [IMAGE] [ROUNDS]

Cold means that no layer was read before; the cache's folder of layers is emptied for it. The ways
take turns, so that a slow moment of the machine meets all of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile

from pytest_dcs import options, rules
from tests.benchmarks.ways import judge, medians, show

IMAGE, PROFILE = "pytest-dcs/standard", "standard"
ROUNDS = 3
SAVE_RATIO = 1.3
WARM_SECONDS = 1.0
BESIDE_SECONDS = 2.0
CONTAINER_SECONDS = 4.0

SAVE = "docker save to nowhere"
COLD = "static rules, cold"
WARM = "static rules, warm"
START = "one rule, no layers"
WITHOUT = "all but the rules about layers"
ALL_COLD = "all rules, cold"
ALL_WARM = "all rules, warm"
CONTAINER_START = "one rule in a container"
CONTAINER_ALL = "all rules in a container"

ABOUT_LAYERS = ",".join(
    rule.id for rule in rules.catalogue().values() if rule.probe == rules.LAYERS_FIXTURE
)
STATIC = ",".join(rule.id for rule in rules.catalogue().values() if rule.where == "image")
WITHOUT_SLOW = (f"--dcs-ignore=SPK,DAT,NB,{STATIC}", "--dcs-without=kernel,language-server")


def save(image: str) -> None:
    """Let the engine save an image, and throw it away."""
    subprocess.run(["docker", "save", image], stdout=subprocess.DEVNULL, check=True)


def forget() -> None:
    """Remove all layers from the cache."""
    shutil.rmtree(options.default_cache_directory() / "layers", ignore_errors=True)


def main(image: str, rounds: int) -> None:
    """Print the medians, and each limit beside its figure."""
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:

        def run(*more: str, cold: bool = False) -> None:
            if cold:
                forget()
            judge(folder, image, PROFILE, *more)

        found = medians(
            {
                SAVE: lambda: save(image),
                COLD: lambda: run(f"--dcs-select={STATIC}", cold=True),
                WARM: lambda: run(f"--dcs-select={STATIC}"),
                START: lambda: run("--dcs-select=IMG001"),
                ALL_COLD: lambda: run(cold=True),
                ALL_WARM: run,
                WITHOUT: lambda: run(f"--dcs-ignore={ABOUT_LAYERS}"),
                CONTAINER_START: lambda: run("--dcs-select=SYS001"),
                CONTAINER_ALL: lambda: run(*WITHOUT_SLOW),
            },
            rounds,
        )
    show("static rules, cold, to docker save", found[COLD] / found[SAVE], "", SAVE_RATIO)
    show("static rules, warm", found[WARM] - found[START], "s", WARM_SECONDS)
    show("beside the Spark job, cold", found[ALL_COLD] - found[WITHOUT], "s", BESIDE_SECONDS)
    show("beside the Spark job, warm", found[ALL_WARM] - found[WITHOUT], "s", BESIDE_SECONDS)
    show(
        "rules in a container",
        found[CONTAINER_ALL] - found[CONTAINER_START],
        "s",
        CONTAINER_SECONDS,
    )


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else IMAGE,
        int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS,
    )
