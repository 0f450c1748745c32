"""A kernel for the GPU: compiled by the image's NVRTC, or by the driver where the image has none.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. NVRTC is
described at https://docs.nvidia.com/cuda/nvrtc/
"""

import ctypes
import glob
import os
import sys

from dcs_cuda import Library, LibraryFailed

NAME = "twice_plus_one"
SOURCE = """
extern "C" __global__ void twice_plus_one(const float *from, float *to, unsigned int count)
{
    unsigned int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count)
        to[index] = from[index] * 2.0f + 1.0f;
}
"""
PTX = b"""
.version 6.0
.target sm_50
.address_size 64

.visible .entry twice_plus_one(.param .u64 from, .param .u64 to, .param .u32 count)
{
    .reg .pred %beyond;
    .reg .b32 %index, %block, %threads, %thread, %count;
    .reg .b64 %offset, %from, %to;
    .reg .f32 %value;

    ld.param.u32 %count, [count];
    mov.u32 %block, %ctaid.x;
    mov.u32 %threads, %ntid.x;
    mov.u32 %thread, %tid.x;
    mad.lo.u32 %index, %block, %threads, %thread;
    setp.ge.u32 %beyond, %index, %count;
    @%beyond bra $end;
    ld.param.u64 %from, [from];
    ld.param.u64 %to, [to];
    cvta.to.global.u64 %from, %from;
    cvta.to.global.u64 %to, %to;
    mul.wide.u32 %offset, %index, 4;
    add.u64 %from, %from, %offset;
    add.u64 %to, %to, %offset;
    ld.global.f32 %value, [%from];
    fma.rn.f32 %value, %value, 0f40000000, 0f3F800000;
    st.global.f32 [%to], %value;
$end:
    ret;
}
"""
"""The same kernel in the driver's own language, for its oldest GPUs that are in use."""

NVRTC = ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so")
TOOLKITS = "/usr/local/cuda*/lib64"


class Nvrtc(Library):
    """NVIDIA's compiler for code that is written while a program runs."""

    def explain(self, status):
        """Return what a status means."""
        function = self.library.nvrtcGetErrorString
        function.restype = ctypes.c_char_p
        return (function(status) or b"").decode()

    def version(self):
        """Return its version, as in 12.4."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return "%d.%d" % (major.value, minor.value)

    def architectures(self, wanted):
        """Return the GPUs that it knows, as in 75 or 90; before CUDA 11.2 it does not tell."""
        if not hasattr(self.library, "nvrtcGetSupportedArchs"):
            return [wanted]
        numbers = (ctypes.c_int * self.ask("nvrtcGetNumSupportedArchs", ctypes.c_int))()
        self.call("nvrtcGetSupportedArchs", numbers)
        return sorted(numbers)

    def compile(self, wanted):
        """Return the code for a GPU and what it was compiled for.

        For a GPU that is younger than the compiler the code is that of the youngest it knows, in
        the driver's own language, which the driver translates. Raises `LibraryFailed`.
        """
        older = [each for each in self.architectures(wanted) if each <= wanted]
        if not older:
            message = "NVRTC %s compiles for no GPU as old as compute capability %s"
            raise LibraryFailed(message % (self.version(), "%d.%d" % divmod(wanted, 10)))
        if older[-1] == wanted:
            target, kind = "sm_%d" % wanted, "CUBIN"
        else:
            target, kind = "compute_%d" % older[-1], "PTX"
        program = ctypes.c_void_p()
        self.call(
            "nvrtcCreateProgram",
            ctypes.byref(program),
            SOURCE.encode(),
            b"kernel.cu",
            ctypes.c_int(0),
            None,
            None,
        )
        try:
            options = (ctypes.c_char_p * 1)(("--gpu-architecture=" + target).encode())
            try:
                self.call("nvrtcCompileProgram", program, ctypes.c_int(1), options)
            except LibraryFailed as error:
                log = self.read("ProgramLog", program).rstrip(b"\0").decode(errors="replace")
                raise LibraryFailed("%s: %s" % (error, log.strip())) from None
            return self.read(kind, program), target
        finally:
            self.call("nvrtcDestroyProgram", ctypes.byref(program))

    def read(self, what, program):
        """Return something of a program: its log, or its code in one of two forms."""
        size = ctypes.c_size_t()
        self.call("nvrtcGet%sSize" % what, program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self.call("nvrtcGet%s" % what, program, content)
        return content.raw


def find_nvrtc(load=ctypes.CDLL):
    """Return the image's NVRTC, or None where it has none; raises `LibraryFailed` for a broken one.

    It is looked for as frameworks do: where the loader looks, in wheels, in toolkits.
    """
    library = find(NVRTC, "libnvrtc.so.*", load)
    return library and Nvrtc(library)


def find(names, pattern, load):
    """Return the first library that the loader, the Python packages or a toolkit has."""
    for name in names:
        try:
            return load(name)
        except OSError as error:
            if not str(error).startswith(name + ": cannot open shared object file"):
                raise LibraryFailed("%s cannot be opened (%s)" % (name, error)) from None
    sites = [os.path.join(glob.escape(site), "nvidia", "*", "lib") for site in sys.path if site]
    for folder in [*sites, TOOLKITS]:
        for path in sorted(glob.glob(os.path.join(folder, pattern))):
            try:
                return load(path)
            except OSError as error:
                raise LibraryFailed("%s cannot be opened (%s)" % (path, error)) from None
    return None
