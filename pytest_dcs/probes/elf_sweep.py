"""Looks through the compiled files of the Python environment for what could not be loaded.

Runs inside the container with the image's Python and `-I`, beside a copy of pyelftools; else
standard library only, Python 3.7's grammar. Nothing of the image is loaded or run but `ldconfig`.
"""

import glob
import json
import os
import re
import shutil
import sys
import time
from collections import Counter

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_elf import Loader, Unreadable, damage, loader_of, read_cache, read_headers
from dcs_packages import LIBRARY, Owners, sites

PACKAGES = os.path.join(sys.path[0], "packages")
"""Where pyelftools lies: in a folder of its own, so that none of the image's jobs finds it."""

OPTIONS = "PYTEST_DCS_ELF"
"""The variable with a JSON object of options; `pytest_dcs/elf.py` writes it."""

FORMAT_VERSION = 1
LOWEST_PRIORITY = 19
"""A Spark job may run beside this, and somebody waits for that."""
FAULTY_LIMIT = 1000

TAGGED_MODULE = re.compile(r"\w+\.(?:abi3|cpython-(\d+)[^.]*)\.so")
THIS_PYTHON = "%d%d" % sys.version_info[:2]


def programs():
    """Yield what the platform starts, by name and path."""
    yield "bash", "/bin/bash"
    yield "python", sys.executable
    jname = os.environ.get("JNAME")
    java = shutil.which("java", path="/usr/lib/jvm/%s/bin" % jname if jname else None)
    if java:
        yield "java", java
        home = os.path.dirname(os.path.dirname(os.path.realpath(java)))
        for inner in ("lib", "lib/*", "jre/lib/*"):
            for path in glob.glob(os.path.join(home, inner, "server", "libjvm.so")):
                yield "libjvm.so", path


class Sweep:
    """One look at all compiled files.

    What Python imports or loads by its path is a root; all else comes with a root.
    """

    def __init__(self, loader, places, deadline):
        self.loader = loader
        self.places = places
        self.deadline = deadline
        self.seen = set()
        self.left_out = 0
        self.modules, self.libraries, self.foreign = [], [], []
        self.modules_of_others, self.damaged = [], {}

    def run(self):
        """Return how many roots each package has, and those that cannot be loaded."""
        for path in self.compiled_files():
            self.take(path)
        loads = {each.path: self.loader.load(each) for each in self.in_time(self.modules)}
        with_modules = reached(loads)
        alone = [each for each in self.libraries if each.path not in with_modules]
        loads.update((each.path, self.loader.load(each)) for each in self.in_time(alone))
        anyhow = reached(loads)
        return self.by_package(
            {each.path: loads[each.path][1] for each in self.modules if each.path in loads},
            {
                each.path: loads[each.path][1]
                for each in alone
                if each.path in loads and each.path not in anyhow
            },
        )

    def in_time(self, things):
        """Yield what there still is time for, and count the rest."""
        for each in things:
            if time.time() < self.deadline:
                yield each
            else:
                self.left_out += 1

    def compiled_files(self):
        """Yield the compiled files of the packages, each once."""
        for place in self.places:
            for folder, _, names in os.walk(place):
                for name in self.in_time(filter(LIBRARY.search, names)):
                    path = os.path.realpath(os.path.join(folder, name))
                    if path not in self.seen and os.path.isfile(path):
                        self.seen.add(path)
                        yield path

    def take(self, path):
        """Read one file, and put it where it belongs."""
        tagged = TAGGED_MODULE.fullmatch(os.path.basename(path))
        if tagged and tagged.group(1) not in (None, THIS_PYTHON):
            return
        try:
            library = self.loader.read(path)
        except Unreadable:
            why = damage(path)
            if tagged and why:
                self.damaged[path] = why
            else:
                self.left_out += 1
            return
        is_module = tagged or library.is_module
        if library.runs_here:
            (self.modules if is_module else self.libraries).append(library)
            self.loader.brought |= {os.path.basename(path), library.soname}
        else:
            (self.modules_of_others if is_module else self.foreign).append(library)

    def by_package(self, modules, libraries):
        """Return the number of roots by package, and a description of each that has faults.

        A package's roots are its modules, or where it has none the libraries that it loads itself.
        """
        at_hand = {module_name(path) for path in modules}
        for each in self.modules_of_others:
            if module_name(each.path) not in at_hand:
                modules[each.path] = [{"kind": "machine", "subject": each.machine, "by": each.path}]
        for path, why in self.damaged.items():
            modules[path] = [{"kind": "damage", "subject": why, "by": path}]
        owners = Owners(self.places)
        have_modules = {owners.of(path) for path in modules}
        have_libraries = {owners.of(path) for path in libraries}
        for each in self.foreign:
            if owners.of(each.path) not in have_modules | have_libraries:
                libraries[each.path] = [
                    {"kind": "machine", "subject": each.machine, "by": each.path}
                ]
        roots, faulty = Counter(), []
        for path, faults in sorted({**modules, **libraries}.items()):
            package, is_owned = owner = owners.of(path)
            is_root = path in modules or owner not in have_modules
            roots[package] += is_root
            if faults:
                faulty.append(
                    {
                        "path": path,
                        "package": package,
                        "owned": is_owned,
                        "root": is_root,
                        "faults": faults,
                    }
                )
        return roots, faulty


def reached(loads):
    """Return the paths of all that came with something else."""
    return {
        each.path
        for path, (found, _) in loads.items()
        for each in found.values()
        if each.path != path
    }


def module_name(path):
    """Return what a module is imported by, whatever the machine that its file is for."""
    return os.path.join(os.path.dirname(path), os.path.basename(path).partition(".")[0])


def look(seconds):
    """Return what was found, as far as it could be looked for."""
    deadline = time.time() + seconds
    places = sites()
    sys.path.append(PACKAGES)
    try:
        import elftools.elf.elffile  # noqa: F401
    except Exception as error:
        # One that is too young for this Python fails in its grammar.
        why = "pyelftools does not run on Python %d.%d (%s)"
        return {"unknown": why % (*sys.version_info[:2], type(error).__name__)}
    started = list(descriptions(programs()))
    found = {"programs": started}
    if not all(each["runs_here"] for each in started):
        return found
    loader = loader_of(os.path.realpath(sys.executable))
    if "ld-linux" not in loader:
        return dict(found, unknown="its loader (%s) is not glibc's" % (loader or "none"))
    cache, problem = read_cache()
    if problem:
        return dict(found, unknown=problem)
    sweep = Sweep(Loader(sys.executable, cache), places, deadline)
    roots, faulty = sweep.run()
    return dict(
        found,
        files=len(sweep.seen),
        left_out=sweep.left_out,
        faulty=faulty[:FAULTY_LIMIT],
        roots={each["package"]: roots[each["package"]] for each in faulty},
    )


def descriptions(started):
    """Yield what is known of programs; scripts are left out."""
    for name, path in started:
        try:
            program = read_headers(os.path.realpath(path))
        except Unreadable:
            continue
        yield {
            "name": name,
            "path": path,
            "machine": program.machine,
            "runs_here": program.runs_here,
        }


if __name__ == "__main__":
    os.nice(LOWEST_PRIORITY)
    report = {"version": FORMAT_VERSION, "complete": True}
    report.update(look(json.loads(os.environ[OPTIONS])["seconds"]))
    print(json.dumps(report), flush=True)
