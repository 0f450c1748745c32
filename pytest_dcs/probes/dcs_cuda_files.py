"""Which of CUDA's libraries an environment has, and which of them its packages would load.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar, but for
pyelftools, which a probe that uses this brings along.
"""

import glob
import os
import re

from dcs_elf import Unreadable
from dcs_packages import LIBRARY

MAIN = re.compile(r"lib(\w+)\.so\.(\d+)(\.[\d.]+)?")
WHEEL = re.compile(r"nvidia-([a-z-]+?)(-cu\d+)?\s*(\[[^]]*\])?\s*\(?\s*[<>=~!]*\s*(\d+)")
EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


class CudaFiles:
    """CUDA's libraries by their paths, and what packages want of them.

    `known` are the libraries of gpu.toml by name, `extras` the extras that count of each package.
    """

    def __init__(self, loader, owners, places, known, extras):
        self.loader = loader
        self.owners = owners
        self.places = places
        self.known = known
        self.extras = extras
        self.wheels = self.files_of_wheels()
        self.by_package = {}
        self.left_out = 0
        self.modules_of_torch = []

    def files_of_wheels(self):
        """Return CUDA's libraries that came as Python packages, path by name."""
        found = {}
        for place in self.places:
            for path in sorted(
                glob.glob(os.path.join(glob.escape(place), "nvidia/*/lib/lib*.so*"))
            ):
                found.setdefault(os.path.basename(path), path)
        return found

    def name_of(self, file):
        """Return the name and the major version of one of CUDA's libraries, None for others."""
        found = MAIN.fullmatch(file)
        return (found.group(1), found.group(2)) if found and found.group(1) in self.known else None

    def read_packages(self, in_time):
        """Read the headers of all compiled files that are not CUDA's own."""
        for path in in_time(self.compiled_files()):
            try:
                library = self.loader.read(path)
            except Unreadable:
                self.left_out += 1
                continue
            package = self.owners.of(path)[0]
            self.by_package.setdefault(package, []).append(library)
            if any(re.match("lib(torch|c10)", name) for name in library.needed):
                self.modules_of_torch.append((package, path))

    def compiled_files(self):
        """Yield the compiled files of the packages, each once."""
        seen = set(map(os.path.realpath, self.wheels.values()))
        for place in self.places:
            for folder, _, names in os.walk(place):
                for name in sorted(filter(LIBRARY.search, names)):
                    path = os.path.realpath(os.path.join(folder, name))
                    if path not in seen and os.path.isfile(path):
                        seen.add(path)
                        yield path

    def wanted_by_headers(self):
        """Yield what compiled files name, and where the loader finds it."""
        for package, libraries in sorted(self.by_package.items()):
            found = {}
            for library in libraries:
                for name in library.needed:
                    if self.name_of(name):
                        path = self.find(name, [library])
                        found[name] = found.get(name) or path
            for name, by_loader in sorted(found.items()):
                path = by_loader or self.wheels.get(name, "")
                yield {
                    "package": package,
                    "library": self.name_of(name)[0],
                    "file": name,
                    "path": os.path.realpath(path) if path else "",
                }

    def wanted_by_metadata(self):
        """Yield what packages say that they require, and where they would find it."""
        by_wheel = {each["wheel"]: name for name, each in self.known.items() if each["wheel"]}
        for package, requirement in self.requirements():
            found = WHEEL.match(requirement)
            if not found or found.group(1) not in by_wheel:
                continue
            name = by_wheel[found.group(1)]
            file = "lib%s.so.%s" % (name, found.group(4))
            path = self.find(file, self.by_package.get(package, ())) or self.wheels.get(file, "")
            yield {
                "package": package,
                "library": name,
                "file": file,
                "path": os.path.realpath(path) if path else "",
                "requirement": requirement,
            }

    def requirements(self):
        """Yield each package with each of its requirements that count."""
        for place in self.places:
            for path in sorted(glob.glob(os.path.join(glob.escape(place), "*.dist-info/METADATA"))):
                stem = os.path.basename(os.path.dirname(path))[: -len(".dist-info")]
                package = re.sub(r"[-_.]+", "-", stem.rpartition("-")[0]).lower()
                if package.startswith("nvidia-"):
                    continue
                with open(path, encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        if not line.strip():
                            break
                        extra = EXTRA.search(line)
                        counts = not extra or extra.group(1) in self.extras.get(package, ())
                        if line.startswith("Requires-Dist:") and counts:
                            yield package, line.partition(":")[2].strip()

    def find(self, name, libraries):
        """Return the path of what a name stands for in the first library that finds it, else ""."""
        main = self.loader.main
        for library in libraries:
            found = self.loader.find(name, library, [library, main])
            if found:
                return found.path
        found = self.loader.find(name, main, [main])
        return found.path if found else ""

    def present(self, wanted):
        """Yield all of CUDA's libraries in the image, each once, with name and major version."""
        listed = [each["path"] for each in wanted if each["path"]]
        listed += [*self.wheels.values(), *self.loader.cache.values()]
        for folder in self.loader.library_path:
            listed += glob.glob(os.path.join(glob.escape(folder), "lib*.so.*"))
        seen = set()
        for path in listed:
            is_of = self.name_of(os.path.basename(path))
            real = os.path.realpath(path)
            if is_of and real not in seen and os.path.isfile(real):
                seen.add(real)
                yield (real, *is_of)

    def parts(self, path, name, major):
        """Return what a library loads when it is used: paths, and the names that are not there."""
        library = self.known[name]
        if library["partial"] and os.environ.get(library["partial"]):
            return [], []
        there, missing = [], []
        for part in library["parts"].get(major, ()):
            folder = os.path.dirname(os.path.realpath(path))
            found = sorted(glob.glob(os.path.join(glob.escape(folder), part)))
            if not found and "*" not in part:
                elsewhere = self.find(part, ())
                found = [elsewhere] if elsewhere else []
            there += found[:1]
            missing += [] if found else [part]
        return there, missing
