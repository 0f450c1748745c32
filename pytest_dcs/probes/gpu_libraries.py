"""Loads CUDA's libraries and asks them for their versions, without a GPU and without its driver.

Runs inside the container with the image's Python and `-I`, beside a copy of pyelftools; else
standard library only, Python 3.7's grammar. Each library is loaded in a process of its own.
"""

import ctypes
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_cuda_files import CudaFiles
from dcs_elf import Loader, loader_of, read_cache
from dcs_packages import Owners, sites

PACKAGES = os.path.join(sys.path[0], "packages")
"""Where pyelftools lies: in a folder of its own, so that none of the image's jobs finds it."""

OPTIONS = "PYTEST_DCS_GPU_LIBRARIES"
"""The variable with a JSON object of options; `pytest_dcs/gpu_libraries.py` writes it."""

FORMAT_VERSION = 1
LOWEST_PRIORITY = 19
LOAD_SECONDS = 30
TORCH_SECONDS = 90

MISSING = re.compile(r"(\S+): cannot open shared object file")
OF_DRIVER = re.compile(r"lib(cuda|nvidia-[\w-]+|nvcuvid)\.so")
"""What comes with the machine's driver, and is nowhere where there is no GPU."""
CUDA_OF_TORCH = re.compile(r"^cuda\b.*=\s*['\"]([\d.]+)['\"]", re.MULTILINE)
TOOLKIT = re.compile(r"cuda-(\d+\.\d+)")

ASK_TORCH = """
import ctypes, json, sys
import torch
flags = getattr(torch._C, "_cuda_getArchFlags", str)()
failed = {}
for path in sys.argv[1:]:
    try:
        ctypes.PyDLL(path)
    except OSError as error:
        failed[path] = str(error)
print(json.dumps({"architectures": flags.split(), "failed": failed}))
"""


def load(path, library, preloaded):
    """Load a library in this process and return its version, as far as it tells one."""
    for other in preloaded:
        ctypes.CDLL(other, mode=ctypes.RTLD_GLOBAL)
    loaded = ctypes.CDLL(path)
    ask = getattr(loaded, library["ask"], None) if library else None
    if ask is None:
        return []
    first, second = ctypes.c_int(), ctypes.c_int()
    if library["answer"] == "pair":
        ask(ctypes.byref(first), ctypes.byref(second))
        return [first.value, second.value]
    if library["answer"] == "property":
        return [asked_part(ask, number) for number in range(3)]
    if library["answer"] == "pointer":
        ask(ctypes.byref(first))
        return split(first.value, library["base"])
    ask.restype = ctypes.c_size_t
    return split(ask(), library["base"])


def asked_part(ask, number):
    """Return one part of a version: https://docs.nvidia.com/cuda/cublas/#cublasgetproperty."""
    value = ctypes.c_int()
    ask(number, ctypes.byref(value))
    return value.value


def split(number, base):
    """Return the parts of a version that is one number."""
    parts = []
    for each in base:
        parts.append(number // each)
        number %= each
    return parts


def in_a_process(path, library, preloaded=()):
    """Load a library in a process of its own; return its version and why it could not be."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as log:
        pid = os.fork()
        if not pid:
            # What a library prints is no report, and one that hangs or aborts must end alone.
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            signal.alarm(LOAD_SECONDS)
            try:
                answer = {"version": load(path, library, preloaded), "error": ""}
            except OSError as error:
                answer = {"version": [], "error": str(error)}
            os.write(writing, json.dumps(answer).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            text = stream.read()
        status = os.waitpid(pid, 0)[1]
        if text and not status:
            return json.loads(text.decode())
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()[-1:]
        number = status & 0x7F
        name = signal.Signals(number).name if number else "exit status %d" % (status >> 8)
        ending = "it ended the process by %s" % name
        return {"version": [], "error": ": ".join([ending, *said])}


def with_others(path, library, wheels):
    """Load a library after those that it needs of other wheels, as frameworks do."""
    preloaded = []
    while True:
        answer = in_a_process(path, library, preloaded)
        missing = MISSING.match(answer["error"])
        other = wheels.get(missing.group(1)) if missing else None
        if missing and OF_DRIVER.match(missing.group(1)):
            return dict(answer, error="")
        if other is None or other in preloaded:
            return answer
        preloaded.insert(0, other)


def library_for(known, name, major):
    """Return what is known of a library, with the numbers of its own major version."""
    library = dict(known[name])
    for before, base in library["base_before"].items():
        if int(major) < int(before):
            library["base"] = base
    return library


def loaded_libraries(files, wanted, in_time):
    """Yield what became of each of CUDA's libraries, and of its parts."""
    seen = set()
    for path, name, major in in_time(files.present(wanted)):
        parts, missing = files.parts(path, name, major)
        answer = with_others(path, library_for(files.known, name, major), files.wheels)
        yield dict(answer, path=path, library=name, missing=missing)
        for part in parts:
            if part not in seen:
                seen.add(part)
                answer = with_others(part, None, files.wheels)
                yield dict(answer, path=part, library=name, missing=[])


def toolkit():
    """Return where CUDA's compiler is and its version; nothing where there is none."""
    for compiler in glob.glob("/usr/local/cuda/bin/nvcc") + glob.glob("/usr/local/cuda-*/bin/nvcc"):
        home = os.path.dirname(os.path.dirname(os.path.realpath(compiler)))
        found = TOOLKIT.search(home)
        try:
            with open(os.path.join(home, "version.json"), encoding="utf-8") as file:
                return {"path": home, "cuda": json.load(file)["cuda"]["version"]}
        except (OSError, ValueError, KeyError):
            if found:
                return {"path": home, "cuda": found.group(1)}
    return {}


def torch(files, *, ask):
    """Return what PyTorch was built for, and which compiled files cannot be loaded beside it."""
    places = [os.path.join(place, "torch", "version.py") for place in files.places]
    text = "".join(map(read, filter(os.path.isfile, places)))
    found = CUDA_OF_TORCH.search(text)
    if not text:
        return {}
    others = {path: package for package, path in files.modules_of_torch if package != "torch"}
    told = {"cuda": found.group(1) if found else "", "architectures": [], "failed": [], "error": ""}
    if not ask and not others:
        return told
    try:
        asked = subprocess.run(
            [sys.executable, "-I", "-c", ASK_TORCH, *others],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=False,
            timeout=TORCH_SECONDS,
        )
        answer = json.loads(asked.stdout.decode().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return dict(told, error="torch was not imported within %d s" % TORCH_SECONDS)
    except (OSError, ValueError, IndexError):
        said = asked.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return dict(told, error="torch cannot be imported: %s" % "".join(said))
    failed = [
        {"path": path, "package": others[path], "error": error}
        for path, error in sorted(answer["failed"].items())
    ]
    return dict(told, architectures=answer["architectures"], failed=failed)


def read(path):
    """Return a file's text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def look(options):
    """Return what was found, as far as it could be looked for."""
    deadline = time.time() + options["seconds"]
    left_out = []

    def in_time(things):
        for each in things:
            if time.time() < deadline:
                yield each
            else:
                left_out.append(each)

    places = sites()
    sys.path.append(PACKAGES)
    try:
        import elftools.elf.elffile  # noqa: F401
    except Exception as error:
        # One that is too young for this Python fails in its grammar.
        why = "pyelftools does not run on Python %d.%d (%s)"
        return {"unknown": why % (*sys.version_info[:2], type(error).__name__)}
    if "ld-linux" not in loader_of(os.path.realpath(sys.executable)):
        return {"unknown": "its loader is not glibc's"}
    cache, problem = read_cache()
    if problem:
        return {"unknown": problem}
    known = {each["name"]: each for each in options["libraries"]}
    loader = Loader(sys.executable, cache)
    files = CudaFiles(loader, Owners(places), places, known, options["extras"])
    files.read_packages(in_time)
    wanted = [*files.wanted_by_headers(), *files.wanted_by_metadata()]
    return {
        "python": "%d.%d" % sys.version_info[:2],
        "libraries": list(loaded_libraries(files, wanted, in_time)),
        "wanted": wanted,
        "torch": torch(files, ask=options["architectures"]),
        "toolkit": toolkit(),
        "left_out": files.left_out + len(left_out),
    }


if __name__ == "__main__":
    os.nice(LOWEST_PRIORITY)
    report = {"version": FORMAT_VERSION, "complete": True}
    report.update(look(json.loads(os.environ[OPTIONS])))
    print(json.dumps(report), flush=True)
