"""Which GPUs a launch asks for, in the words that `docker run --gpus` takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_dcs import errors

NONE = "none"
ALL = "all"
DEVICE = re.compile(r"\d+(:\d+)?|(GPU|MIG)-[0-9A-Za-z/-]+")
"""An index, that of a MIG device behind the index of its GPU, or a UUID.

https://docs.docker.com/engine/containers/gpu/
"""
FORMS = "all, a number above 0, device=0,1 with indexes or UUIDs, or none"


@dataclass(frozen=True)
class GpuRequest:
    """The GPUs that a container is to have: so many, these, or all."""

    count: int | None = None
    devices: tuple[str, ...] = ()
    """Indexes or UUIDs."""

    @property
    def visible(self) -> str:
        """The value of CUDA_VISIBLE_DEVICES that lets a process see these; empty: all."""
        return ",".join(self.devices or map(str, range(self.count or 0)))


def parse(text: str, source: str) -> GpuRequest | None:
    """Return the GPUs that a text asks for, None for none; raises `InvalidValue`."""
    word = text.strip()
    if word in {"", NONE}:
        return None
    if word == ALL:
        return GpuRequest()
    if word.isdecimal() and int(word) > 0:
        return GpuRequest(count=int(word))
    name, _, listed = word.partition("=")
    devices = tuple(listed.split(","))
    if name == "device" and all(map(DEVICE.fullmatch, devices)):
        return GpuRequest(devices=devices)
    raise errors.InvalidValue(source, text, FORMS)
