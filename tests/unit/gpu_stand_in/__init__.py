"""A stand-in for NVIDIA's libraries, without any GPU: what passes on it says nothing of one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "gpu.c"
LIBRARY = "libcuda.so.550.54.14"
NAMES = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvrtc.so.12", "libnccl.so.2")


def build(folder: Path) -> Path:
    """Compile the stand-in into a folder and return its file; skips the test without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a compiler for C: apt-get install gcc")
    library = folder / LIBRARY
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE], check=True)
    return library
