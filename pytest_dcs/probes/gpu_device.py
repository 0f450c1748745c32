"""Tries the GPUs stage by stage: driver, memory, a kernel, the image's framework, NCCL.

Runs inside the container with the image's Python and `-I`: standard library only, Python 3.7's
grammar; the framework is the image's. What may crash or hang runs in processes of its own, which
are this file with the name of a task behind it. Times are noted under `measurements`; nothing
depends on them.
"""

import glob
import json
import os
import select
import subprocess
import sys
import time

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import dcs_matmul
from dcs_cuda import (
    COMPUTE_MODE,
    DRIVER,
    EXCLUSIVE_PROCESS,
    Driver,
    LibraryFailed,
)
from dcs_gpu_kernel import find_nvrtc
from dcs_gpu_work import MEBIBYTE, compiled, compute, copy, visible
from dcs_nccl import add_up, find_nccl
from dcs_nvml import Nvml
from dcs_processes import run_command
from dcs_stages import Report, last_line, need

OPTIONS = "PYTEST_DCS_GPU"
"""The variable with a JSON object of options; `pytest_dcs/gpu_device.py` writes it."""

STAGES = (
    "driver",
    "devices",
    "mig",
    "memory",
    "kernel",
    "framework",
    "two-processes",
    "release",
    "nccl",
)
HELD = 256 * MEBIBYTE
"""What is taken, and must be free again when whoever took it has ended."""
SLACK = 32 * MEBIBYTE
"""What of it may be missing: the driver hands memory out in pages of 2 MiB and keeps some."""
ATTEMPTS = 3
"""How often that is tried: another process may take memory of the same GPU meanwhile."""
PAUSE = 0.1
QUIET = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""Variables that keep frameworks from taking all memory of a GPU at their start."""


class Trial:
    """The GPUs while they are tried."""

    def __init__(self, options, report):
        self.options = options
        self.report = report
        self.driver = None
        self.nvml = None
        self.devices = []
        self.has_mig = False
        self.serves_two = False
        self.measurements = report.facts.setdefault("measurements", {})

    def start_driver(self):
        """Open CUDA, and NVML, which nvidia-smi and the platform's own scripts ask."""
        self.driver = Driver()
        try:
            self.driver.start()
        except LibraryFailed as error:
            raise LibraryFailed("%s, %s" % (error, visible())) from None
        self.nvml = Nvml()
        self.report.facts["driver"] = {
            "version": self.nvml.driver_version(),
            "cuda": self.driver.version(),
            "cuda_by_nvml": self.nvml.cuda_version(),
            "library": mapped(DRIVER.partition(".")[0]),
        }
        self.has_mig = self.nvml.has_mig_mode()

    def look_at_devices(self):
        """CUDA must see as many devices as were asked for, with the names that NVML knows."""
        self.devices = self.driver.devices()
        self.report.facts["devices"] = [
            {
                "name": each.name,
                "compute_capability": "%d.%d" % each.capability,
                "memory_bytes": each.memory,
            }
            for each in self.devices
        ]
        # One process sees one part of a GPU in MIG mode, however many the container has:
        # https://docs.nvidia.com/datacenter/tesla/mig-user-guide/mig-device-names.html
        wanted = 1 if self.has_mig else self.options["count"] or self.options["listed"] or 1
        seen = "CUDA sees %d GPUs of %d, %s" % (len(self.devices), wanted, visible())
        need(len(self.devices) >= wanted, seen)
        for each in self.devices:
            need(each.memory > 0, "%s has no memory" % each)
            if not self.nvml.is_mig_device(each.identifier):
                known = self.nvml.name_of(each.identifier)
                need(known in (None, each.name), "%s is %r to NVML" % (each, known))

    def look_at_parts(self):
        """Where GPUs are divided into parts, CUDA must see parts."""
        if not self.has_mig:
            self.report.leave_out("mig", "no GPU is in MIG mode")
        for each in self.devices:
            is_part = self.nvml.is_mig_device(each.identifier)
            need(is_part, "all GPUs are in MIG mode, and %s is no part of one to NVML" % each)

    def copy_memory(self):
        """Copy to each GPU and back."""
        speeds = [copy(self.driver, each) for each in self.devices]
        there, back = map(min, zip(*speeds))
        self.measurements["gpu_to_device_gb_s"] = round(there, 2)
        self.measurements["gpu_from_device_gb_s"] = round(back, 2)

    def run_kernel(self):
        """Compile a kernel for each GPU, run it, and look at every result."""
        nvrtc = find_nvrtc()
        taken = 0.0
        for each in self.devices:
            started = time.time()
            code, target = compiled(nvrtc, each)
            taken = max(taken, time.time() - started)
            compute(self.driver, each, code)
            compiler = "NVRTC %s" % nvrtc.version() if nvrtc else "the driver"
            self.report.facts["kernel"] = "%s, for %s" % (compiler, target)
        self.measurements["gpu_kernel_compile_s"] = round(taken, 3)

    def run_framework(self):
        """Let the image's framework multiply matrices."""
        name = dcs_matmul.installed()
        if name is None:
            self.report.leave_out(
                "framework", "the image has none of %s" % ", ".join(dcs_matmul.FRAMEWORKS)
            )
        capability = "%d.%d" % self.devices[0].capability
        found = json.loads(last_line(self.in_process("framework", name, capability)))
        self.report.facts["framework"] = found["framework"]
        self.measurements["gpu_framework_start_s"] = found["start_s"]
        for precision, speed in found["tflop_s"].items():
            self.measurements["gpu_matmul_%s_tflop_s" % precision] = speed

    def give_back(self):
        """Look for memory that is not free again after its owner let it go, or was killed."""
        self.driver.enter(self.devices[0])
        owners = {"this process": self.hold}
        if self.serves_two:
            owners["a killed process"] = self.hold_elsewhere
        for owner, hold in owners.items():
            missing = missing_after(self.driver, hold, self.options["patience"])
            text = "%d MiB of %d MiB are not free again after %s"
            need(missing <= SLACK, text % (missing // MEBIBYTE, HELD // MEBIBYTE, owner))

    def hold(self):
        """Take memory in this process and let it go."""
        with self.driver.memory(HELD):
            pass

    def hold_elsewhere(self):
        """Take memory in a process and kill that."""
        holder = subprocess.Popen(
            own_command("hold"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with holder:
            ready, _, _ = select.select([holder.stdout], [], [], self.options["seconds"])
            said = os.read(holder.stdout.fileno(), 1) if ready else b""
            holder.kill()
        need(said, "a second process could not take %d MiB" % (HELD // MEBIBYTE))

    def run_beside(self):
        """Use the GPU in a second process while this one has a context there."""
        mode = self.driver.attribute(self.devices[0].number, COMPUTE_MODE)
        if mode == EXCLUSIVE_PROCESS:
            self.report.leave_out("two-processes", "the GPU is set to take one process at a time")
        self.in_process("work")
        self.serves_two = True

    def sum_up(self):
        """Let all GPUs add up their numbers."""
        if len(self.devices) == 1:
            self.report.leave_out("nccl", "there is one GPU, and NCCL connects several")
        nccl = find_nccl()
        if nccl is None:
            self.report.leave_out("nccl", "the image has no libnccl.so.2")
        self.report.facts["nccl"] = nccl.version()
        self.in_process("nccl")

    def in_process(self, *task):
        """Run a task in a process of its own and return what it printed."""
        environment = dict(os.environ, **QUIET)
        return run_command(own_command(*task), self.options["seconds"], environment)


def own_command(*task):
    """Return the command that runs a task in a process of its own."""
    return [sys.executable, "-I", "-X", "faulthandler", os.path.abspath(__file__), *task]


def mapped(stem):
    """Return the file that a library of this process was loaded from."""
    with open("/proc/self/maps") as maps:
        paths = [line.split(None, 5)[-1].strip() for line in maps if "/%s.so" % stem in line]
    return paths[0] if paths else ""


def missing_after(driver, hold, patience):
    """Return the bytes that are less free after memory was held than before.

    The driver has some seconds to take back what a killed process had.
    """
    missing = 0
    for _ in range(ATTEMPTS):
        before = driver.free_memory()
        hold()
        deadline = time.time() + patience
        missing = before - driver.free_memory()
        while missing > SLACK and time.time() < deadline:
            time.sleep(PAUSE)
            missing = before - driver.free_memory()
        if missing <= SLACK:
            break
    return missing


def reason_not_to_try(patterns, count):
    """Return why there is no GPU to try that was asked for, or an empty text."""
    if any(glob.glob(pattern) for pattern in patterns):
        try:
            given = Nvml().count()
        except LibraryFailed:
            return ""
        too_few = "%d GPUs were asked for and the machine gives %d" % (count, given)
        return too_few if given < count else ""
    try:
        Driver()
    except LibraryFailed as error:
        return "no NVIDIA driver: %s, and there is no device %s" % (error, patterns[0])
    return "no NVIDIA GPU: there is no device %s" % patterns[0]


def try_gpus(trial):
    """Run the stages, each where those that it builds on have passed."""
    run, skip = trial.report.run, trial.report.skip
    built_on = {
        "driver": (trial.start_driver, None),
        "devices": (trial.look_at_devices, "driver"),
        "mig": (trial.look_at_parts, "devices"),
        "memory": (trial.copy_memory, "devices"),
        "kernel": (trial.run_kernel, "memory"),
        "framework": (trial.run_framework, "kernel"),
        "two-processes": (trial.run_beside, "kernel"),
        "release": (trial.give_back, "memory"),
        "nccl": (trial.sum_up, "kernel"),
    }
    passed = {None}
    for name in STAGES:
        function, needed = built_on[name]
        if needed not in passed:
            skip(name, "it builds on the stage %s" % needed)
        elif run(name, function):
            passed.add(name)


def main():
    """Try the GPUs and report."""
    options = json.loads(os.environ[OPTIONS])
    report = Report(STAGES)
    reason = reason_not_to_try(options["device_files"], options["count"])
    if reason:
        report.facts["no_gpu"] = reason
    else:
        try_gpus(Trial(options, report))
    report.write(complete=True)


def work():
    """Do what the stages for memory and kernel do, on the first GPU."""
    driver = started_driver()
    device = driver.device(0)
    copy(driver, device)
    compute(driver, device, compiled(find_nvrtc(), device)[0])
    driver.close()


def hold():
    """Take memory of the first GPU, say so, and wait to be killed."""
    driver = started_driver()
    driver.enter(driver.device(0))
    with driver.memory(HELD):
        sys.stdout.write("+")
        sys.stdout.flush()
        sys.stdin.read()


def multiply(name, capability):
    """Let the framework multiply, and print what it did."""
    found = dcs_matmul.trial(name, tuple(map(int, capability.split("."))))
    print(json.dumps(found))


def add():
    """Let all GPUs add up their numbers, and compare what each has."""
    driver = started_driver()
    devices = driver.devices()
    total = float(sum(range(1, len(devices) + 1)))
    for device, values in zip(devices, add_up(find_nccl(), driver, devices)):
        wrong = next((each for each in values if each != total), total)
        need(wrong == total, "%s has the sum %r and not %r" % (device, wrong, total))


def started_driver():
    """Return the driver, started."""
    driver = Driver()
    driver.start()
    return driver


TASKS = {"work": work, "hold": hold, "framework": multiply, "nccl": add}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        TASKS[sys.argv[1]](*sys.argv[2:])
    else:
        main()
