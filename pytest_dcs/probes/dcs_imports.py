"""The packages that an image has more than its runtime, and how workers import them.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import re
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES

ONE_IMPORT_SECONDS = 120.0
"""Seconds that one import may take; libraries for GPUs take ten, and five times that emulated."""
ALL_IMPORTS_SECONDS = 150.0
"""Seconds for all; what is not reached by then is left out."""

NO_LIBRARIES = {"benchmarks", "conftest", "docs", "examples", "scripts", "setup", "test", "tests"}
"""What packages install beside themselves by mistake."""

GPU_DRIVER = re.compile(
    r"libcuda\.so|libnvidia|libnvcuvid|NVML|cudaError|CUDA_ERROR|CUDA driver|no CUDA"
)
"""How imports fail where there is no GPU: its driver is the machine's, never the image's."""


def import_faults(spark, pinned):
    """Import in workers what is not pinned; return the added packages and what failed, by package.

    A package fails if none of its modules can be imported: some are for optional extras.
    """
    added = added_modules(pinned)
    modules = [(package, name) for package, names in added.items() for name in names]
    tried = spark.sparkContext.parallelize(modules, 2).mapPartitions(importer())
    errors = {package: [] for package in added}
    for package, name, error in tried.collect():
        errors[package].append(error and "import %s: %s" % (name, error))
    faults = {
        package: "; ".join(each)
        for package, each in sorted(errors.items())
        if each and all(each) and not any(map(GPU_DRIVER.search, each))
    }
    return sorted(added), faults


def added_modules(pinned):
    """Return the importable names of each package of the environment that is not pinned.

    Needs Python 3.8.
    """
    from importlib.metadata import distributions

    paths = sysconfig.get_paths()
    found = {}
    # Not what a virtualenv sees of its system: that is built for the system's Python.
    for package in distributions(path=sorted({paths["purelib"], paths["platlib"]})):
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"] or "").lower()
        if name and name not in pinned:
            found[name] = modules_of(name, package.files or [])
    return {name: modules for name, modules in found.items() if modules}


def modules_of(package, files):
    """Return what of a package's files can be imported: what has its name, or else all."""
    code = [file.parts for file in files if file.name.endswith((".py", *EXTENSION_SUFFIXES))]
    folders = {each[:-1] for each in code if each[-1] == "__init__.py"}
    inner = {each for each in folders if any(each[:n] in folders for n in range(1, len(each)))}
    single = {(each[0].partition(".")[0],) for each in code if len(each) == 1}
    names = {
        ".".join(each)
        for each in (folders - inner) | single
        if each and each[0] not in NO_LIBRARIES and all(map(str.isidentifier, each))
    }
    public = {name for name in names if not name.startswith("_")} or names
    own = {name for name in public if re.sub(r"\W|_", "", name).lower() == package.replace("-", "")}
    return sorted(own or public)


def importer(seconds=ONE_IMPORT_SECONDS, seconds_for_all=ALL_IMPORTS_SECONDS):
    """Return a function for workers that yields package, module, and the error or None."""

    def try_imports(modules):
        import importlib
        import os
        import signal
        import time

        def import_here(name, channel):
            # What prints on import must not speak to Spark, which reads the worker's stdout.
            os.dup2(2, 1)
            try:
                importlib.import_module(name)
            except SystemExit:
                pass
            except BaseException as error:
                first_line = (str(error).strip().splitlines() or [""])[0]
                os.write(channel, ("%s: %s" % (type(error).__name__, first_line))[:500].encode())

        def import_in_copy(name, deadline):
            # A copy of the worker has all that is in it, and takes nothing with it when it crashes.
            reader, writer = os.pipe()
            copy = os.fork()
            if not copy:
                try:
                    import_here(name, writer)
                finally:
                    os._exit(0)
            os.close(writer)
            ended, status = os.waitpid(copy, os.WNOHANG)
            while not ended and time.time() < deadline:
                time.sleep(0.01)
                ended, status = os.waitpid(copy, os.WNOHANG)
            if not ended:
                os.kill(copy, signal.SIGKILL)
                os.waitpid(copy, 0)
            # Not to the end of the stream, which what an import has started may hold open.
            os.set_blocking(reader, False)
            try:
                error = os.read(reader, 4096).decode(errors="replace")
            except BlockingIOError:
                error = ""
            os.close(reader)
            if not ended:
                return "it did not end within %d s" % seconds
            if os.WIFSIGNALED(status):
                return "it crashed, by signal %d" % os.WTERMSIG(status)
            return error or None

        end_of_all = time.time() + seconds_for_all
        for package, name in modules:
            deadline = min(time.time() + seconds, end_of_all)
            error = import_in_copy(name, deadline)
            if time.time() >= end_of_all:
                return
            yield package, name, error

    return try_imports
