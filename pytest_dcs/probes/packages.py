"""Reads what is installed for the Python that runs it, and prints one line of JSON.

argv[1] is JSON too and says what to look for. It reads the files of packages and imports none of
them, but for the modules and namespaces that it is asked to try.
"""

import glob
import importlib
import importlib.util
import json
import os
import platform
import re
import shutil
import site
import sys
import tempfile

METADATA = re.compile(r"[^~].*\.(dist|egg)-info$")
READ_BY_ALL = {True: 0o005, False: 0o004}
"""The rights of others that a folder and a file need."""
OF_DEBIAN = {"/usr/local"}
"""Where pip installs for the Python of /usr: https://wiki.debian.org/Python"""


def describe(wanted):
    """Return all facts, by the names of the fields in pytest_dcs/python_packages.py."""
    prefix = os.path.realpath(sys.prefix)
    path = folders(sys.path)
    own = [folder for folder in path if is_below(folder, prefix)]
    distributions = [each for folder in path for each in distributions_in(folder)]
    others = [
        folder for folder in folders(user_folders() + folders_by_path()) if folder not in path
    ]
    return {
        "prefix": prefix,
        "markers": markers(),
        "distributions": [dict(each, own=each["folder"] in own) for each in distributions],
        "elsewhere": [each for folder in others for each in distributions_in(folder)],
        "linked": [each for folder in own for each in egg_links(folder)],
        "clashes": clashes(own, set(wanted["not_imported"])),
        "unreadable": [each for folder in own for each in unreadable(folder)],
        "incomplete": failed_imports(wanted["standard_library"]),
        "pkg_resources": has_module("pkg_resources"),
        "closed_namespaces": closed_namespaces(wanted["namespaces"]),
    }


def folders(paths):
    """Return the folders that exist, each once, by their real names."""
    found = [os.path.realpath(path) for path in paths if path and os.path.isdir(path)]
    return list(dict.fromkeys(found))


def is_below(folder, prefix):
    """Tell whether a folder belongs to an environment."""
    return folder.startswith(prefix.rstrip("/") + "/")


def user_folders():
    """Return root's own packages for this Python; `-I` only keeps them off sys.path."""
    return [site.getusersitepackages()]


def folders_by_path():
    """Return where the Pythons on PATH have what pip installs."""
    directories = filter(None, os.environ.get("PATH", "").split(os.pathsep))
    prefixes = {
        os.path.dirname(directory.rstrip("/"))
        for directory in directories
        if glob.glob(os.path.join(directory, "python3*"))
    }
    prefixes |= OF_DEBIAN if "/usr" in prefixes else set()
    return sorted(
        folder
        for prefix in prefixes
        for folder in glob.glob(os.path.join(prefix, "lib", "python3*", "*-packages"))
    )


def markers():
    """Return what the markers of requirements ask for.

    https://packaging.python.org/en/latest/specifications/dependency-specifiers/
    """
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": "%d.%d" % sys.version_info[:2],
        "sys_platform": sys.platform,
    }


def distributions_in(folder):
    """Yield the distributions that have metadata in a folder."""
    for entry in sorted(os.listdir(folder)):
        if METADATA.match(entry):
            distribution = describe_distribution(folder, entry)
            if distribution:
                yield distribution


def describe_distribution(folder, entry):
    """Return what the files of one distribution say; None where they name none."""
    place = os.path.join(folder, entry)
    headers = {"Name": [], "Version": [], "Requires-Dist": []}
    text = text_of(place, "METADATA") or text_of(place, "PKG-INFO") or text_of(place)
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not line:
            break
        if colon and name in headers:
            headers[name].append(value.strip())
    if not headers["Name"] or not headers["Version"]:
        return None
    return {
        "name": headers["Name"][0],
        "version": headers["Version"][0],
        "folder": folder,
        "installer": text_of(place, "INSTALLER").strip(),
        "requested": os.path.exists(os.path.join(place, "REQUESTED")),
        "has_commands": "[console_scripts]" in text_of(place, "entry_points.txt"),
        "source": editable_source(text_of(place, "direct_url.json")),
        "requires": headers["Requires-Dist"],
    }


def editable_source(direct_url):
    """Return where an editable install is: packaging's specification "Direct URL"."""
    try:
        found = json.loads(direct_url)
    except ValueError:
        return ""
    is_editable = isinstance(found, dict) and found.get("dir_info", {}).get("editable")
    return found.get("url", "") if is_editable else ""


def egg_links(folder):
    """Yield what `setup.py develop` has linked: it leaves no metadata here."""
    for link in sorted(glob.glob(os.path.join(folder, "*.egg-link"))):
        name = os.path.basename(link)[: -len(".egg-link")]
        yield {"name": name, "source": "".join(text_of(link).splitlines()[:1])}


def clashes(own, not_imported):
    """Return which distributions claim the same file with different contents, and how often.

    Only one of the two contents can be there. What is the same in both harms nobody.
    """
    found = {}
    for folder in own:
        claims = {}
        for entry in sorted(os.listdir(folder)):
            if METADATA.match(entry):
                for file, digest in claimed(folder, entry, not_imported):
                    other, others_digest = claims.setdefault(file, (entry, digest))
                    if other != entry and others_digest != digest:
                        found.setdefault((other, entry), []).append(file)
    return [
        {"packages": list(map(stem, pair)), "files": len(files), "example": files[0]}
        for pair, files in found.items()
    ]


def stem(entry):
    """Return name and version from the name of a folder with metadata."""
    return os.path.splitext(entry)[0]


def claimed(folder, entry, not_imported):
    """Yield the modules of a distribution, with what its RECORD says of their contents."""
    for line in text_of(folder, entry, "RECORD").splitlines():
        file, digest = [*line.rsplit(",", 2), "", ""][:2]
        top, slash, _ = file.partition("/")
        name = os.path.basename(file)
        is_module = name.endswith((".py", ".so")) and name != "__init__.py"
        if digest and slash and is_module and top not in {"", "..", *not_imported}:
            yield file, digest


def unreadable(folder):
    """Yield what others than root cannot read in a folder of packages."""
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        try:
            is_folder, mode = entry.is_dir(), entry.stat().st_mode
        except OSError:
            continue
        if entry.name != "__pycache__" and mode & READ_BY_ALL[is_folder] != READ_BY_ALL[is_folder]:
            yield entry.path


def failed_imports(modules):
    """Return the error of each module that cannot be imported."""
    errors = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            errors[name] = say(error)
    return errors


def has_module(name):
    """Tell whether a module can be found, without the time that its import takes."""
    found = importlib.util.find_spec(name)
    return bool(found and found.origin)


def closed_namespaces(names):
    """Return the file that closes a namespace, for each that takes in no part of another folder.

    That folder comes first, as a notebook's own environment does.
    """
    closed = {}
    directory = tempfile.mkdtemp()
    sys.path.insert(0, directory)
    try:
        for name in names:
            os.mkdir(os.path.join(directory, name))
            open(os.path.join(directory, name, "pytest_dcs_part.py"), "w").close()
        importlib.invalidate_caches()
        for name in names:
            if failed_imports([name + ".pytest_dcs_part"]):
                closed[name] = getattr(sys.modules.get(name), "__file__", None) or "its import"
    finally:
        sys.path.remove(directory)
        shutil.rmtree(directory, ignore_errors=True)
    return closed


def text_of(*parts):
    """Return the text of a file, nothing where there is none."""
    try:
        with open(os.path.join(*parts), encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def say(error):
    """Return an error in one line."""
    return "{}: {}".format(type(error).__name__, (str(error).splitlines() or [""])[0])


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    print(json.dumps(describe(json.loads(sys.argv[1]))))
