"""What is done on one GPU, by the probe and by a second process beside it: copies and a kernel.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import array
import ctypes
import os
import time

from dcs_gpu_kernel import NAME, PTX
from dcs_stages import need

MEBIBYTE = 1 << 20
COPIED = 64 * MEBIBYTE
COUNT = 1 << 18
"""How many numbers the kernel computes; all are small enough for float32 to have them exactly."""
BYTES = 4 * COUNT
VISIBLE = "CUDA_VISIBLE_DEVICES"


def copy(driver, device):
    """Copy to a GPU and back, and return the GB/s of either way."""
    driver.enter(device)
    pattern = os.urandom(MEBIBYTE) * (COPIED // MEBIBYTE)
    with driver.pinned(COPIED) as buffer, driver.memory(COPIED) as address:
        ctypes.memmove(buffer, pattern, COPIED)
        there = timed(driver.to_device, address, buffer, COPIED)
        ctypes.memset(buffer, 0, COPIED)
        back = timed(driver.from_device, buffer, address, COPIED)
        same = ctypes.string_at(buffer, COPIED) == pattern
    need(same, "%s gave back other bytes than it was given" % device)
    return COPIED / there / 1e9, COPIED / back / 1e9


def visible():
    """Return what the environment says of the devices that CUDA shows."""
    value = os.environ.get(VISIBLE)
    return "%s is not set" % VISIBLE if value is None else "%s is %r" % (VISIBLE, value)


def timed(function, *arguments):
    """Return the seconds that a call takes."""
    started = time.time()
    function(*arguments)
    return max(time.time() - started, 1e-9)


def compiled(nvrtc, device):
    """Return the kernel's code for a GPU, and what it is made for."""
    if nvrtc is None:
        return PTX, "any GPU, as the image has no NVRTC"
    major, minor = device.capability
    return nvrtc.compile(10 * major + minor)


def compute(driver, device, code):
    """Run the kernel on a GPU; raises `AssertionError` for the first wrong result."""
    driver.enter(device)
    numbers = array.array("f", range(COUNT))
    results = array.array("f", [0.0]) * COUNT
    with driver.memory(BYTES) as source, driver.memory(BYTES) as target:
        driver.to_device(source, ctypes.c_void_p(numbers.buffer_info()[0]), BYTES)
        driver.launch(code, NAME, COUNT, source, target, ctypes.c_uint(COUNT))
        driver.from_device(ctypes.c_void_p(results.buffer_info()[0]), target, BYTES)
    needed = array.array("f", [2.0 * number + 1.0 for number in numbers])
    if results != needed:
        place = next(each for each in range(COUNT) if results[each] != needed[each])
        text = "%s computed %r and not %r, at place %d"
        raise AssertionError(text % (device, results[place], needed[place], place))
