"""Builds the sample images: `python -m sample_images.build [--broken] [--only ID]`.

The good images stand on the Ubuntu of their Dockerfile or, where that cannot be pulled, on a Debian
12 made here. Docker's own layer cache makes a second call quick.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sample_images import layouts, machine, variants
from sample_images.variants import PLATFORM, REPOSITORY, SCRATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sample_images.variants import Variant

HERE = Path(__file__).parent
UBUNTU = "ubuntu:22.04"
UBUNTU_TAG = "ubuntu22.04"
DEBIAN = "bookworm"
DEBIAN_TAG = "debian12"
GOOD = {
    "minimal": "base",
    "python": "minimal",
    "standard": "python",
    "rbase": "minimal",
    "gpu": "python",
}
"""The good images, and what each stands on."""
WITH_PYTHON_PACKAGES = ("python", "gpu")
PULL_SECONDS = 120
LAST_LINES = 20
PARALLEL_BUILDS = 4


class BuildFailed(Exception):
    """A command has failed; the message holds its last lines."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print a line with the step's name and its seconds."""
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"  {name:<48} failed", flush=True)
        raise
    print(f"  {name:<48} {time.monotonic() - start:6.1f} s", flush=True)


def run(
    command: Sequence[str],
    *,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command and return its stdout; raises `BuildFailed`."""
    try:
        done = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        msg = f"{command[0]} could not be started: {error.strerror}"
        raise BuildFailed(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"{' '.join(command[:3])} took more than {timeout:.0f} s"
        raise BuildFailed(msg) from error
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:]
        msg = "\n".join([f"{' '.join(command[:3])} ended with {done.returncode}:", *last])
        raise BuildFailed(msg)
    return done.stdout


def has_image(reference: str) -> bool:
    """Tell whether the engine has an image."""
    try:
        run(["docker", "image", "inspect", "--format", "{{.Id}}", reference])
    except BuildFailed:
        return False
    return True


def docker_build(tag: str, *options: str, context: Path | None = None, stdin: str = "") -> None:
    """Build an image from a folder, or from a Dockerfile on stdin that needs none."""
    has_buildx = shutil.which("docker") and _succeeds("docker", "buildx", "version")
    run(
        [
            "docker",
            "build",
            f"--tag={tag}",
            *machine.proxy_arguments(),
            *options,
            str(context) if context is not None else "-",
        ],
        stdin=stdin,
        # Without its plugin BuildKit fails, and where the old builder is gone the plugin is there.
        environment={} if has_buildx else {"DOCKER_BUILDKIT": "0"},
    )


def _succeeds(*command: str) -> bool:
    try:
        run(command)
    except BuildFailed:
        return False
    return True


def name(image: str, tag: str) -> str:
    """Return the reference of a sample image."""
    return f"{REPOSITORY}/{image}:{tag}"


def build_base() -> str:
    """Make the base image that all samples stand on, once; returns its tag."""
    for tag in (UBUNTU_TAG, DEBIAN_TAG):
        if has_image(name("base", tag)):
            return tag
    try:
        with step(f"pull {UBUNTU}"):
            run(
                ["docker", "pull", "--quiet", f"--platform={PLATFORM}", UBUNTU],
                timeout=PULL_SECONDS,
            )
        raw, tag = UBUNTU, UBUNTU_TAG
    except BuildFailed as error:
        print(f"  {str(error).splitlines()[-1]}\n  so the samples stand on a Debian 12 made here")
        with step("mmdebstrap and docker import"):
            raw, tag = import_debian(), DEBIAN_TAG
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder, step(name("base", tag)):
        add_certificates(raw, name("base", tag), Path(folder))
    return tag


def import_debian() -> str:
    """Import a Debian 12 with this machine's package sources; returns its reference."""
    if shutil.which("mmdebstrap") is None:
        msg = "mmdebstrap is missing: `apt-get install mmdebstrap`"
        raise BuildFailed(msg)
    sources = machine.apt_sources(DEBIAN)
    options = [f"--aptopt={option}" for option in machine.apt_options()]
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
        archive = Path(folder, "root.tar")
        run(
            [
                "mmdebstrap",
                "--variant=minbase",
                "--architectures=amd64",
                "--include=ca-certificates",
                *options,
                DEBIAN,
                str(archive),
                *(["-"] if sources else []),
            ],
            stdin=sources,
        )
        run(["docker", "import", '--change=CMD ["bash"]', str(archive), name("raw", DEBIAN_TAG)])
    return name("raw", DEBIAN_TAG)


def add_certificates(raw: str, reference: str, folder: Path) -> None:
    """Add the certificates that this machine trusts, so that apt and pip work behind its proxy."""
    certificates = machine.certificates()
    if not certificates:
        run(["docker", "tag", raw, reference])
        return
    for number, certificate in enumerate(certificates):
        folder.joinpath(f"machine-{number}.crt").write_text(certificate + "\n", encoding="ascii")
    folder.joinpath("Dockerfile").write_text(
        f"FROM {raw}\n"
        f"COPY *.crt {machine.LOCAL_CERTIFICATES}/\n"
        "RUN ! command -v update-ca-certificates || update-ca-certificates\n",
        encoding="ascii",
    )
    docker_build(reference, f"--platform={PLATFORM}", context=folder)


def build_good() -> str:
    """Build the good images, tag them also without a version, and return their tag."""
    tag = build_base()
    for image, below in GOOD.items():
        with step(name(image, tag)):
            build_one_good(image, tag, name(below, tag))
            run(["docker", "tag", name(image, tag), name(image, "latest")])
    return tag


def build_one_good(image: str, tag: str, base: str) -> None:
    """Build one good image; its package index is set up in a stage that it leaves behind."""
    folder = HERE / image
    options = [f"--platform={PLATFORM}", f"--build-arg=BASE_IMAGE={base}"]
    if image in WITH_PYTHON_PACKAGES:
        bundle = machine.SYSTEM_BUNDLE if machine.certificates() else None
        settings = machine.pip_configuration(bundle=bundle)
        if settings:
            interpreter = name(f"{image}-interpreter", tag)
            docker_build(interpreter, "--target=interpreter", *options, context=folder)
            with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as temporary:
                Path(temporary, "pip.conf").write_text(settings, encoding="utf-8")
                Path(temporary, "Dockerfile").write_text(
                    f"FROM {interpreter}\nCOPY pip.conf /etc/pip.conf\n", encoding="utf-8"
                )
                docker_build(name(f"{image}-build", tag), options[0], context=Path(temporary))
            options.append(f"--build-arg=BUILD_IMAGE={name(f'{image}-build', tag)}")
    docker_build(name(image, tag), *options, context=folder)


def build_variants(tag: str, ids: Sequence[str] = ()) -> None:
    """Build the variants of the good images, or those with the ids."""
    chosen = [each for each in variants.all_variants() if not ids or each.id in ids]
    unknown = set(ids) - {each.id for each in chosen}
    if unknown:
        msg = f"neither broken.toml nor good.toml has {', '.join(sorted(unknown))}"
        raise BuildFailed(msg)

    def build(variant: Variant) -> None:
        with step(variant.reference):
            build_variant(variant, tag)

    with ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
        list(pool.map(build, chosen))


def build_variant(variant: Variant, tag: str) -> None:
    """Build one variant; its wheels are fetched here, where the package index is set up."""
    if variant.layout is not None:
        layouts.write(variant.folder, variant.layout, variant.platform)
        return
    if variant.base == SCRATCH:
        load_empty(variant.reference, variant.platform)
        return
    base = name(variant.base, tag)
    platform = f"--platform={PLATFORM}"
    if not variant.wheels and not variant.files:
        docker_build(variant.reference, platform, stdin=f"FROM {base}\n{variant.dockerfile}\n")
        return
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
        copies = ""
        if variant.wheels:
            download_wheels(variant.wheels, Path(folder, "wheels"))
            copies += "COPY wheels /wheels\n"
        if variant.files:
            Path(folder, "files").mkdir()
            for file in variant.files:
                shutil.copy(HERE / "files" / file, Path(folder, "files", file))
            copies += "COPY files /files\n"
        Path(folder, "Dockerfile").write_text(
            f"FROM {base}\n{copies}{variant.dockerfile}\n", encoding="utf-8"
        )
        docker_build(variant.reference, platform, context=Path(folder))


def download_wheels(wheels: Sequence[str], folder: Path) -> None:
    """Fetch wheels for the Python of the good images, without what they require."""
    run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--python-version=3.11", "--platform=manylinux2014_x86_64"),
            f"--dest={folder}",
            *wheels,
        ]
    )


def load_empty(reference: str, platform: str) -> None:
    """Load an image without files for any platform, which the old builder cannot make."""
    system, _, architecture = platform.partition("/")
    layer = io.BytesIO()
    tarfile.open(fileobj=layer, mode="w").close()
    digest = f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    config = {
        "os": system,
        "architecture": architecture,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tempfile.TemporaryDirectory(prefix="pytest-dcs-") as folder:
        Path(folder, "layer.tar").write_bytes(layer.getvalue())
        Path(folder, "config.json").write_text(json.dumps(config), encoding="ascii")
        Path(folder, "manifest.json").write_text(json.dumps(manifest), encoding="ascii")
        archive = Path(folder, "image.tar")
        with tarfile.open(archive, "w") as tar:
            for file in ("manifest.json", "config.json", "layer.tar"):
                tar.add(Path(folder, file), file)
        run(["docker", "load", "--quiet", f"--input={archive}"])


def main() -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m sample_images.build", description=__doc__)
    parser.add_argument("--broken", action="store_true", help="build all variants too")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="one variant")
    arguments = parser.parse_args()
    try:
        tag = build_good()
        if arguments.broken or arguments.only:
            build_variants(tag, arguments.only)
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
