"""What a daemon's words mean: which fault they tell of, and how a user should read them."""

from __future__ import annotations

import re

from pytest_dcs import errors

_RUNTIME_NOISE = re.compile(
    r"^.*?(?:OCI runtime create failed|starting container process caused|runc create failed"
    r"|container_linux\.go:\d+|unable to start container process|crun|exec failed): ?"
)
_LAUNCHER = re.compile(r"\[FATAL +tini \(\d+\)\] (?P<what>.*)")
_NOT_THERE = ("not found", "manifest unknown", "does not exist", "no such image", "name unknown")
_OTHER_PLATFORM = (
    "no matching manifest",
    "does not match the specified platform",
    "no image found in image index for architecture",
)
_PARTS_OF_ENGINE = ("docker-init", "catatonit", "conmon", "/proc/", "/sys/")
_FAULTS_OF_IMAGE = (
    "no such file or directory",
    "executable file not found",
    "exec format error",
    "permission denied",
    "not a directory",
    "is a directory",
    "too many levels of symbolic links",
    "unable to find user",
    "no matching entries in passwd file",
)
_NO_GPU_DRIVER = "could not select device driver"
_GPU_TOOLKIT = re.compile(r"nvidia-c[\w.-]+: .*|.*\bCDI device.*|.*\bnvidia\.com/gpu\b.*")
"""How errors of NVIDIA's Container Toolkit begin or what they name: its programs, its devices."""
_NO_FUSE = ("/dev/fuse", "fuse", "capabilit", "apparmor")


def pull_error(reference: str, detail: str) -> errors.SetupError:
    """Return the error for a pull that a daemon or registry has refused."""
    lower = detail.lower()
    if any(phrase in lower for phrase in _OTHER_PLATFORM):
        return errors.WrongArchitecture(reference, "other platforms")
    if any(phrase in lower for phrase in _NOT_THERE):
        return errors.ImageNotFound(reference, detail)
    return errors.PullFailed(reference, detail)


def readable(detail: str) -> str:
    """Return why a main process did not start, without the names of the engine's own parts."""
    detail = " ".join(detail.split())
    launcher = _LAUNCHER.search(detail)
    if launcher:
        return launcher["what"]
    while (shorter := _RUNTIME_NOISE.sub("", detail)) != detail:
        detail = shorter
    return detail.removesuffix(": unknown")


def is_image_fault(detail: str) -> bool:
    """Whether a container did not start because of what the image has or lacks.

    Anything that is not known to be so counts as the engine's fault, so that a trouble of the
    engine is never held against an image.
    """
    lower = detail.lower()
    if any(part in lower for part in _PARTS_OF_ENGINE):
        return False
    return any(phrase in lower for phrase in _FAULTS_OF_IMAGE)


def gpu_refusal(detail: str) -> str:
    """Return why a container did not start because it asked for GPUs; else an empty text.

    An image that the toolkit refuses, for a driver that is too old for it or for files in the
    driver's place, is judged without GPUs: other machines may well take it.
    """
    detail = readable(detail)
    if _NO_GPU_DRIVER in detail:
        return f"the engine has no NVIDIA Container Toolkit ({detail})"
    said = _GPU_TOOLKIT.search(detail)
    return said[0] if said else ""


def refuses_fuse(detail: str) -> bool:
    """Whether a container did not start because it asked for `/dev/fuse`."""
    lower = detail.lower()
    return any(phrase in lower for phrase in _NO_FUSE)
