"""A sum over all GPUs by NCCL, which distributed training is made of, by ctypes.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. The
functions and their numbers are those of
https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/api.html
"""

import array
import ctypes

from dcs_cuda import Library
from dcs_gpu_kernel import find

NCCL = ("libnccl.so.2",)
FLOAT, SUM = 7, 0
COUNT = 1 << 20
BYTES = 4 * COUNT


class Nccl(Library):
    """NVIDIA's library for what several GPUs do together."""

    def explain(self, status):
        """Return what a status means."""
        function = self.library.ncclGetErrorString
        function.restype = ctypes.c_char_p
        return (function(status) or b"").decode()

    def version(self):
        """Return its version, as in 2.21.5."""
        number = self.ask("ncclGetVersion", ctypes.c_int)
        return "%d.%d.%d" % (number // 10000, number % 10000 // 100, number % 100)


def find_nccl(load=ctypes.CDLL):
    """Return the image's NCCL, or None where it has none; raises `LibraryFailed` for a broken one.

    It is looked for where the loader looks, and in wheels.
    """
    library = find(NCCL, "libnccl.so.*", load)
    return library and Nccl(library)


def add_up(nccl, driver, devices):
    """Let each GPU add its number to those of the others, and return what each has then."""
    communicators = (ctypes.c_void_p * len(devices))()
    numbers = (ctypes.c_int * len(devices))(*(device.number for device in devices))
    nccl.call("ncclCommInitAll", communicators, ctypes.c_int(len(devices)), numbers)
    addresses = []
    for position, device in enumerate(devices):
        driver.enter(device)
        address = ctypes.c_uint64(
            driver.ask("cuMemAlloc_v2", ctypes.c_uint64, ctypes.c_size_t(BYTES))
        )
        addresses.append(address)
        values = array.array("f", [position + 1.0]) * COUNT
        driver.to_device(address, ctypes.c_void_p(values.buffer_info()[0]), BYTES)
    nccl.call("ncclGroupStart")
    for device, address, communicator in zip(devices, addresses, communicators):
        driver.enter(device)
        nccl.call(
            "ncclAllReduce",
            address,
            address,
            ctypes.c_size_t(COUNT),
            ctypes.c_int(FLOAT),
            ctypes.c_int(SUM),
            ctypes.c_void_p(communicator),
            None,
        )
    nccl.call("ncclGroupEnd")
    results = []
    for device, address in zip(devices, addresses):
        driver.enter(device)
        driver.call("cuCtxSynchronize")
        values = array.array("f", [0.0]) * COUNT
        driver.from_device(ctypes.c_void_p(values.buffer_info()[0]), address, BYTES)
        driver.call("cuMemFree_v2", address)
        results.append(values)
    for communicator in communicators:
        nccl.call("ncclCommDestroy", ctypes.c_void_p(communicator))
    return results
