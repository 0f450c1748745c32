"""What the headers of compiled files say, and what glibc's loader would load with each.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar, but for
pyelftools, which a probe that uses this brings along. The search is that of
https://man7.org/linux/man-pages/man8/ld.so.8.html
"""

import os
import re
import shutil
import subprocess
from contextlib import suppress

MACHINE, WORD = "EM_X86_64", "ELFCLASS64"
"""What clusters run, whatever machine this is."""
MAGIC = b"\x7fELF"
WEAK = 2
"""The flag of a version that its library may lack: VER_FLG_WEAK of glibc's elf.h."""

PLAIN_MODULE = re.compile(r"(\w+)\.so")
"""The name of a module for any Python, and of many a library."""

LDCONFIG_SECONDS = 20
CACHE = "/etc/ld.so.cache"
CACHED = re.compile(r"^\t(\S+) \(.*x86-64.*\) => (/.+)$", re.MULTILINE)
DEFAULT_FOLDERS = (
    *("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"),
    *("/lib64", "/usr/lib64", "/lib", "/usr/lib"),
)
"""Those that the loaders of Debian and of Red Hat have built in."""


class Unreadable(Exception):
    """A file is no ELF file, or not a whole one."""


class Library:
    """What the headers of one ELF file say."""

    def __init__(self, path, machine, runs_here):
        self.path = path
        self.machine = machine
        self.runs_here = runs_here
        self.soname = ""
        self.needed = []
        self.rpath = []
        self.runpath = []
        self.versions_needed = {}
        self.versions = set()
        self.is_module = False

    def take_dynamic(self, table):
        """Take what it loads, and where that is looked for."""
        origin = os.path.dirname(self.path)
        for tag in table.iter_tags():
            kind = tag.entry.d_tag
            if kind == "DT_NEEDED":
                self.needed.append(tag.needed)
            elif kind == "DT_SONAME":
                self.soname = tag.soname
            elif kind == "DT_RPATH":
                self.rpath = folders(tag.rpath, origin)
            elif kind == "DT_RUNPATH":
                self.runpath = folders(tag.runpath, origin)
        if self.runpath:
            self.rpath = []

    def take_versions_needed(self, section):
        """Take the versions that it needs of each library."""
        for version, entries in section.iter_versions():
            names = [each.name for each in entries if not each["vna_flags"] & WEAK]
            self.versions_needed.setdefault(version.name, []).extend(names)

    def take_versions(self, section):
        """Take the versions that it offers."""
        for _, entries in section.iter_versions():
            self.versions.add(next(entries).name)


TAKERS = {
    "SHT_DYNAMIC": Library.take_dynamic,
    "SHT_GNU_verneed": Library.take_versions_needed,
    "SHT_GNU_verdef": Library.take_versions,
}


def read_headers(path):
    """Return what a file's headers say; raises `Unreadable`."""
    from elftools.elf.elffile import ELFFile

    try:
        with open(path, "rb") as stream:
            file = ELFFile(stream)
            machine = str(file["e_machine"]).replace("EM_", "").lower()
            runs_here = (file["e_machine"], file["e_ident"]["EI_CLASS"]) == (MACHINE, WORD)
            library = Library(path, machine, runs_here)
            for section in sections(file, tuple(TAKERS)):
                TAKERS[section["sh_type"]](library, section)
            if not file.num_sections():
                for segment in file.iter_segments("PT_DYNAMIC"):
                    library.take_dynamic(segment)
            plain = PLAIN_MODULE.fullmatch(os.path.basename(path))
            library.is_module = bool(plain) and exports(file, "PyInit_" + plain.group(1))
            return library
    except Exception as error:
        # In a broken file lengths, offsets and texts may all be wrong.
        raise Unreadable("%s: %s" % (type(error).__name__, error)) from None


def damage(path):
    """Return why a file that cannot be read is certainly none to load, empty where it may be."""
    from elftools.elf.elffile import ELFFile

    end = 0
    with open(path, "rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return "no ELF file"
        size = stream.seek(0, os.SEEK_END)
        # What is behind the parts that are loaded may be broken without harm.
        with suppress(Exception):
            for part in ELFFile(stream).iter_segments("PT_LOAD"):
                end = max(end, part["p_offset"] + part["p_filesz"])
    if not end:
        return "no whole ELF header"
    return "cut off after %d of at least %d bytes" % (size, end) if end > size else ""


def sections(file, types):
    """Yield the sections of these types; others, which may be large, are not parsed."""
    from elftools.common.exceptions import ELFError, ELFParseError

    for number in range(file.num_sections()):
        try:
            section = file.get_section(number, types)
        except ELFParseError:
            raise
        except ELFError:
            continue
        yield section


def exports(file, symbol):
    """Tell whether a library offers a symbol, by its hash table."""
    tables = sections(file, ("SHT_GNU_HASH", "SHT_HASH"))
    return any(table.get_symbol(symbol) is not None for table in tables)


def loader_of(path):
    """Return the program that loads an executable's libraries, empty where none does."""
    from elftools.elf.elffile import ELFFile

    with open(path, "rb") as stream:
        for segment in ELFFile(stream).iter_segments("PT_INTERP"):
            return segment.get_interp_name()
    return ""


def folders(text, origin):
    """Return the folders of a search path, with its own words replaced."""
    words = text.replace("{", "").replace("}", "").replace("$PLATFORM", "x86_64")
    return [
        entry.replace("$ORIGIN", origin).replace("$LIB", name)
        for entry in filter(None, re.split("[:;]", words))
        for name in (("lib/x86_64-linux-gnu", "lib64") if "$LIB" in entry else ("",))
    ]


def read_cache():
    """Return the loader's cache, file by name, and why it cannot be read if it cannot."""
    if not os.path.exists(CACHE):
        return {}, ""
    ldconfig = shutil.which("ldconfig", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if ldconfig is None:
        return {}, "there is no ldconfig to read %s with" % CACHE
    try:
        listed = subprocess.run(
            [ldconfig, "-p"],
            check=True,
            env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LDCONFIG_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {}, "%s cannot be read: %s" % (CACHE, error)
    cache = {}
    for name, path in CACHED.findall(listed.stdout.decode(errors="replace")):
        cache.setdefault(name, path)
    return cache, ""


class Loader:
    """Finds libraries as glibc's loader does in the interpreter's process."""

    def __init__(self, interpreter, cache):
        self.cache = cache
        self.library_path = folders(os.environ.get("LD_LIBRARY_PATH", ""), "")
        self.brought = set()
        """Names of what the environment itself brings: Python loads some of it by path, first."""
        self.files = {}
        self.resident = {}
        self.main = self.read(interpreter)
        self.main.needed += filter(None, re.split("[ :]+", os.environ.get("LD_PRELOAD", "")))
        self.resident = self.load(self.main)[0]

    def read(self, path):
        """Return what a file's headers say, from memory where it can; raises `Unreadable`."""
        path = os.path.realpath(path)
        if path not in self.files:
            try:
                self.files[path] = read_headers(path)
            except Unreadable as error:
                self.files[path] = error
        found = self.files[path]
        if isinstance(found, Unreadable):
            raise found
        return found

    def load(self, root):
        """Return all that comes with a library, by the names it is asked for, and the faults."""
        loaded, faults = dict(self.resident), []
        waiting = [(root, [root, self.main])]
        taken = {root.path}
        while waiting:
            library, chain = waiting.pop(0)
            for name in library.needed:
                found = loaded.get(name) or self.find(name, library, chain)
                if found is None:
                    if name not in self.brought:
                        faults.append({"kind": "library", "subject": name, "by": library.path})
                    continue
                faults += older_than_needed(library, name, found)
                loaded[name] = found
                if found.path not in taken:
                    taken.add(found.path)
                    loaded.setdefault(found.soname, found)
                    waiting.append((found, [found, *chain]))
        return loaded, faults

    def find(self, name, library, chain):
        """Return the library that a name stands for in another one, None where there is none.

        `chain` is that one, what has loaded it, and so on to the interpreter.
        """
        if "/" in name:
            candidates = folders(name, os.path.dirname(library.path))
        else:
            inherited = [] if library.runpath else [each for one in chain for each in one.rpath]
            places = [*inherited, *self.library_path, *library.runpath]
            candidates = [os.path.join(place, name) for place in places]
            candidates += [self.cache[name]] if name in self.cache else []
            candidates += [os.path.join(place, name) for place in DEFAULT_FOLDERS]
        for path in filter(os.path.isfile, candidates):
            try:
                found = self.read(path)
            except Unreadable:
                continue
            if found.runs_here:
                return found
        return None


def older_than_needed(library, name, found):
    """Return the faults of a library that lacks versions; one without any is taken as it is."""
    if not found.versions:
        return []
    lacking = [each for each in library.versions_needed.get(name, ()) if each not in found.versions]
    newest = {}
    for version in sorted(lacking, key=version_key):
        newest[version.partition("_")[0]] = version
    return [
        {
            "kind": "version",
            "subject": version,
            "by": library.path,
            "library": found.path,
            "newest": max(
                (each for each in found.versions if each.startswith(family + "_")),
                key=version_key,
                default="none",
            ),
        }
        for family, version in newest.items()
    ]


def version_key(version):
    """Return what versions of a library are ordered by."""
    return [int(number) for number in re.findall(r"\d+", version)]
