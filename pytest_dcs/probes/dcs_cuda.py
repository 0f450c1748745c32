"""NVIDIA's driver for CUDA, by ctypes: devices, contexts, memory and kernels.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. The
functions and their numbers are those of https://docs.nvidia.com/cuda/cuda-driver-api/
"""

import ctypes
import uuid
from contextlib import contextmanager

DRIVER = "libcuda.so.1"
NAME_LENGTH = 256
MAJOR, MINOR, COMPUTE_MODE = 75, 76, 20
"""Attributes of a device."""
EXCLUSIVE_PROCESS = 3
"""The compute mode in which a GPU takes one process at a time."""
THREADS = 256


class LibraryFailed(Exception):
    """A function of a library answered with an error, or the library cannot be opened."""


class Library:
    """A shared library whose functions return 0 when all is well."""

    def __init__(self, library):
        self.library = library

    def call(self, function, *arguments):
        """Call a function with arguments of ctypes; raises `LibraryFailed`."""
        status = getattr(self.library, function)(*arguments)
        if status:
            raise LibraryFailed("%s answered %d (%s)" % (function, status, self.explain(status)))

    def ask(self, function, kind, *arguments):
        """Return what a function writes to its first argument, a pointer to this type."""
        answer = kind()
        self.call(function, ctypes.byref(answer), *arguments)
        return answer.value

    def explain(self, status):
        """Return what a status means."""
        raise NotImplementedError


class Device:
    """One GPU, or one part of a GPU, as CUDA counts them."""

    def __init__(self, number, name, identifier, capability, memory):
        self.number = number
        self.name = name
        self.identifier = identifier
        self.capability = capability
        self.memory = memory

    def __str__(self):
        return "GPU %d (%s)" % (self.number, self.name)


class Driver(Library):
    """The driver, once it has started."""

    def __init__(self, load=ctypes.CDLL):
        try:
            super().__init__(load(DRIVER))
        except OSError as error:
            raise LibraryFailed("%s cannot be opened (%s)" % (DRIVER, error)) from None
        self.contexts = {}

    def start(self):
        """Start CUDA; raises `LibraryFailed`."""
        self.call("cuInit", ctypes.c_uint(0))

    def explain(self, status):
        """Return the name of an error and what it means."""
        name, text = ctypes.c_char_p(), ctypes.c_char_p()
        self.library.cuGetErrorName(status, ctypes.byref(name))
        self.library.cuGetErrorString(status, ctypes.byref(text))
        return ": ".join(each.value.decode() for each in (name, text) if each.value)

    def version(self):
        """Return the newest CUDA that the driver knows, as in 12.4."""
        return dotted(self.ask("cuDriverGetVersion", ctypes.c_int))

    def devices(self):
        """Return all devices."""
        return [self.device(number) for number in range(self.ask("cuDeviceGetCount", ctypes.c_int))]

    def device(self, number):
        """Return what the driver says of one device."""
        handle = self.ask("cuDeviceGet", ctypes.c_int, ctypes.c_int(number))
        name = ctypes.create_string_buffer(NAME_LENGTH)
        self.call("cuDeviceGetName", name, ctypes.c_int(NAME_LENGTH), ctypes.c_int(handle))
        capability = (self.attribute(handle, MAJOR), self.attribute(handle, MINOR))
        memory = self.ask("cuDeviceTotalMem_v2", ctypes.c_size_t, ctypes.c_int(handle))
        return Device(handle, name.value.decode(), self.identifier(handle), capability, memory)

    def identifier(self, handle):
        """Return a device's UUID; of a MIG device its own, where the driver has a word for it."""
        is_recent = hasattr(self.library, "cuDeviceGetUuid_v2")
        raw = ctypes.create_string_buffer(16)
        self.call("cuDeviceGetUuid_v2" if is_recent else "cuDeviceGetUuid", raw, handle)
        return str(uuid.UUID(bytes=raw.raw))

    def attribute(self, handle, number):
        """Return an attribute of a device."""
        return self.ask("cuDeviceGetAttribute", ctypes.c_int, ctypes.c_int(number), handle)

    def enter(self, device):
        """Take the device's context, which is made the first time and kept."""
        if device.number not in self.contexts:
            context = self.ask("cuDevicePrimaryCtxRetain", ctypes.c_void_p, device.number)
            self.contexts[device.number] = ctypes.c_void_p(context)
        self.call("cuCtxSetCurrent", self.contexts[device.number])

    def close(self):
        """Let go of all contexts."""
        for number in self.contexts:
            self.call("cuDevicePrimaryCtxRelease_v2", ctypes.c_int(number))
        self.contexts.clear()

    def free_memory(self):
        """Return the bytes that are free on the current device."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    @contextmanager
    def memory(self, size):
        """Have so many bytes on the current device."""
        address = ctypes.c_uint64(self.ask("cuMemAlloc_v2", ctypes.c_uint64, ctypes.c_size_t(size)))
        try:
            yield address
        finally:
            self.call("cuMemFree_v2", address)

    @contextmanager
    def pinned(self, size):
        """Have so many bytes of the machine's memory that the device reads by itself."""
        pointer = self.ask("cuMemAllocHost_v2", ctypes.c_void_p, ctypes.c_size_t(size))
        try:
            yield ctypes.c_void_p(pointer)
        finally:
            self.call("cuMemFreeHost", ctypes.c_void_p(pointer))

    def to_device(self, address, source, size):
        """Copy bytes of the machine's memory to the device."""
        self.call("cuMemcpyHtoD_v2", address, source, ctypes.c_size_t(size))

    def from_device(self, target, address, size):
        """Copy bytes of the device to the machine's memory."""
        self.call("cuMemcpyDtoH_v2", target, address, ctypes.c_size_t(size))

    def launch(self, code, name, count, *arguments):
        """Load code, run its kernel so many times beside each other, and wait for its end."""
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code))
        try:
            self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
            grid = (-(-count // THREADS), 1, 1, THREADS, 1, 1)
            pointers = (ctypes.c_void_p * len(arguments))(
                *(ctypes.addressof(argument) for argument in arguments)
            )
            self.call(
                "cuLaunchKernel",
                function,
                *map(ctypes.c_uint, grid),
                ctypes.c_uint(0),
                None,
                pointers,
                None,
            )
            self.call("cuCtxSynchronize")
        finally:
            self.call("cuModuleUnload", module)


def dotted(number):
    """Return a version that CUDA writes as 12040 in the way that people do."""
    return "%d.%d" % (number // 1000, number % 1000 // 10)
