"""NVML, NVIDIA's library behind nvidia-smi, by ctypes.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. The
functions and their numbers are those of https://docs.nvidia.com/deploy/nvml-api/
"""

import ctypes

from dcs_cuda import Library, LibraryFailed, dotted

NVML = "libnvidia-ml.so.1"
TEXT_LENGTH = 96
ENABLED = 1


class Nvml(Library):
    """The library, once it has started."""

    def __init__(self, load=ctypes.CDLL):
        try:
            super().__init__(load(NVML))
        except OSError as error:
            raise LibraryFailed("%s cannot be opened (%s)" % (NVML, error)) from None
        self.call("nvmlInit_v2")

    def explain(self, status):
        """Return what a status means."""
        function = self.library.nvmlErrorString
        function.restype = ctypes.c_char_p
        return (function(status) or b"").decode()

    def text(self, function, *arguments):
        """Return what a function writes to a buffer, its last two arguments."""
        buffer = ctypes.create_string_buffer(TEXT_LENGTH)
        self.call(function, *arguments, buffer, ctypes.c_uint(TEXT_LENGTH))
        return buffer.value.decode()

    def driver_version(self):
        """Return the version of the driver, as in 550.54.14."""
        return self.text("nvmlSystemGetDriverVersion")

    def cuda_version(self):
        """Return the newest CUDA that the driver knows, as in 12.4."""
        return dotted(self.ask("nvmlSystemGetCudaDriverVersion_v2", ctypes.c_int))

    def count(self):
        """Return the number of GPUs, whatever CUDA_VISIBLE_DEVICES says."""
        return self.ask("nvmlDeviceGetCount_v2", ctypes.c_uint)

    def name_of(self, identifier):
        """Return the name of a GPU, or of a part of one, by its UUID; None for an unknown one."""
        handle = self.find(identifier)
        return self.text("nvmlDeviceGetName", handle) if handle else None

    def is_mig_device(self, identifier):
        """Tell whether a UUID is that of a part of a GPU."""
        handle, answer = self.find(identifier), ctypes.c_uint()
        if handle:
            self.call("nvmlDeviceIsMigDeviceHandle", handle, ctypes.byref(answer))
        return bool(answer.value)

    def has_mig_mode(self):
        """Tell whether all GPUs are divided into parts."""
        modes = [self.mig_mode(number) for number in range(self.count())]
        return bool(modes) and all(mode == ENABLED for mode in modes)

    def find(self, identifier):
        """Return the handle of a UUID, or None."""
        for form in ("GPU-%s", "MIG-%s"):
            handle = ctypes.c_void_p()
            status = self.library.nvmlDeviceGetHandleByUUID(
                (form % identifier).encode(), ctypes.byref(handle)
            )
            if status == 0:
                return handle
        return None

    def identifier(self, number):
        """Return the UUID of the GPU to which nvidia-smi gives a number, as CUDA tells it."""
        return self.text("nvmlDeviceGetUUID", self.handle(number)).partition("-")[2]

    def handle(self, number):
        """Return the handle of the GPU to which nvidia-smi gives a number."""
        handle = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(number), ctypes.byref(handle))
        return handle

    def mig_mode(self, number):
        """Return the current mode of a GPU, 0 where it knows no such mode."""
        mode, pending = ctypes.c_uint(), ctypes.c_uint()
        status = self.library.nvmlDeviceGetMigMode(
            self.handle(number), ctypes.byref(mode), ctypes.byref(pending)
        )
        return 0 if status else mode.value
