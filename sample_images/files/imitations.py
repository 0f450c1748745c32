"""Writes small packages whose files and metadata say what those of frameworks say.

`imitations.py package NAME VERSION [REQUIREMENT …]`
`imitations.py cudnn FOLDER VERSION`
`imitations.py torch VERSION CUDA ARCHITECTURES [REQUIREMENT …]`
`imitations.py extension NAME SYMBOL`

An imitation shows what rules make of such a package, not how the framework works.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_library import library

if TYPE_CHECKING:
    from collections.abc import Iterable

SITE = Path("/databricks/python3/lib/python3.11/site-packages")
CUDNN_PARTS = (
    "graph",
    "ops",
    "cnn",
    "adv",
    "heuristic",
    "engines_precompiled",
    "engines_runtime_compiled",
)
TORCH = """
import ctypes, pathlib
ctypes.CDLL(str(pathlib.Path(__file__).with_name("lib") / "libc10.so"), ctypes.RTLD_GLOBAL)
from torch import _C
"""


def write(path: Path, content: str | bytes) -> None:
    """Write a file and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def package(name: str, version: str, *requirements: str, files: Iterable[str] = ()) -> None:
    """Write the metadata of a package."""
    folder = SITE / f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requirements]
    write(folder / "METADATA", "\n".join([*lines, ""]))
    write(folder / "RECORD", "".join(f"{each},,\n" for each in files))


def cudnn(folder: str, version: str) -> None:
    """Write a whole cuDNN 9 of a version to a folder."""
    major, minor, patch = map(int, version.split("."))
    number = major * 10000 + minor * 100 + patch
    main = Path(folder, f"libcudnn.so.{version}")
    write(main, library("libcudnn.so.9", "cudnnGetVersion", number))
    main.with_name("libcudnn.so.9").symlink_to(main.name)
    for part in CUDNN_PARTS:
        name = f"libcudnn_{part}.so.9"
        write(Path(folder, name), library(name))


def torch(version: str, cuda: str, architectures: str, *requirements: str) -> None:
    """Write a PyTorch whose library is linked with cuDNN where that is required."""
    needs = ["libcudnn.so.9"] if any("cudnn" in each for each in requirements) else []
    files: dict[str, str | bytes] = {
        "torch/__init__.py": TORCH,
        "torch/_C.py": f"def _cuda_getArchFlags():\n    return {architectures!r}\n",
        "torch/version.py": f"__version__ = {version!r}\ncuda = {cuda!r}\n",
        "torch/lib/libc10.so": library("libc10.so", "c10_is_there", 1),
        "torch/lib/libtorch_cuda.so": library(
            "libtorch_cuda.so", needs=needs, runpath="$ORIGIN/../../nvidia/cudnn/lib"
        ),
    }
    for name, content in files.items():
        write(SITE / name, content)
    package("torch", version, *requirements, files=files)


def extension(name: str, symbol: str) -> None:
    """Write a module that is compiled against PyTorch and needs one symbol of it."""
    file = f"{name.replace('-', '_')}.cpython-311-x86_64-linux-gnu.so"
    write(SITE / file, library(file, needs=["libc10.so"], undefined=symbol))
    package(name, "2.5.8", "torch", files=[file])


if __name__ == "__main__":
    {"package": package, "cudnn": cudnn, "torch": torch, "extension": extension}[sys.argv[1]](
        *sys.argv[2:]
    )
