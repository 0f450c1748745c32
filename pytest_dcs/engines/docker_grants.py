"""What a container gets of the engine's machine, where it is asked for: `/dev/fuse` and GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docker.types import DeviceRequest

if TYPE_CHECKING:
    from pytest_dcs.engines import ContainerSpec
    from pytest_dcs.gpu_request import GpuRequest

GPU_CAPABILITIES = ["gpu", "compute", "utility"]
"""What of the driver comes into the container: that for CUDA, and NVML with nvidia-smi.

https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
"""
EVERY_GPU = -1


def grants(spec: ContainerSpec) -> dict[str, Any]:
    """Return the arguments of a host config for what is asked for."""
    asked: dict[str, Any] = {}
    if spec.fuse:
        asked["devices"] = ["/dev/fuse"]
        asked["cap_add"] = ["SYS_ADMIN"]
        asked["security_opt"] = ["apparmor=unconfined"]
    if spec.gpus:
        asked["device_requests"] = [device_request(spec.gpus)]
    return asked


def device_request(gpus: GpuRequest) -> DeviceRequest:
    """Return the request that `docker run --gpus` makes, with the driver's capabilities named."""
    if gpus.devices:
        return DeviceRequest(device_ids=list(gpus.devices), capabilities=[GPU_CAPABILITIES])
    return DeviceRequest(count=gpus.count or EVERY_GPU, capabilities=[GPU_CAPABILITIES])
