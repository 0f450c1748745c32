"""The `__main__.py` of the one file: unpacks the rest into a temporary folder and runs it there.

It is written for Python 3.6, so that an old Python gets a message and no syntax error.
"""

import os
import signal
import sys
from pathlib import Path

FLOOR = (3, 10)
CANNOT_START = 4
SIGNALS = ("SIGTERM", "SIGHUP")
ISOLATED = ("-I", "-S", "-B")
"""No PYTHON* variables, no site-packages or sitecustomize of the image's, no `*.pyc`."""


def obstacle(version: "tuple[int | str, ...]", executable: str) -> str:
    """Return what to say to a Python that is too old, empty for one that is not."""
    if tuple(version[:2]) >= FLOOR:
        return ""
    found = ".".join(map(str, version[:3]))
    return (
        f"dcs: this file needs Python 3.10 or newer, and {executable} is {found}.\n"
        "It brings all but the interpreter itself, and pytest runs on no older one.\n"
        "Start it with a newer Python of the image, such as /databricks/python3/bin/python3, put "
        "one into the image, or judge the image from outside: pytest --dcs-image=IMAGE"
    )


def is_isolated(flags: "sys._flags") -> bool:
    """Tell whether neither the environment nor the image's own packages can matter."""
    return bool(flags.isolated and flags.no_site and not flags.optimize)


def refuse(message: str) -> int:
    """Write why nothing was run, and return the exit status for that."""
    sys.stderr.write(f"ERROR: {message}\n")
    return CANNOT_START


def run(archive: str, arguments: "list[str]") -> int:
    """Unpack, run and remove; a signal that ends the run lets it clean up first."""
    import shutil
    import tempfile
    import zipfile

    received: list[int] = []

    def stop(number: int, _: object) -> None:
        # pytest takes an interrupt for what it is; a second signal must not disturb the cleaning.
        for each in SIGNALS:
            signal.signal(getattr(signal, each), signal.SIG_IGN)
        received.append(number)
        raise KeyboardInterrupt

    for name in SIGNALS:
        if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:
            signal.signal(getattr(signal, name), stop)
    folder = ""
    try:
        try:
            folder = tempfile.mkdtemp(prefix="pytest-dcs-")
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            return refuse(
                f"dcs: this file could not be unpacked ({error}).\n"
                "The temporary folder is read-only or full, or the file was damaged.\n"
                "Name a folder with 50 MB in TMPDIR, and compare the file's size."
            )
        sys.path[0] = str(Path(folder, "site"))
        from pytest_dcs.bundle import inside

        status = inside.main(arguments, folder)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return 128 + received[0] if received else status


def main() -> int:
    """Run the file's content with its arguments and return the exit status."""
    message = obstacle(sys.version_info, sys.executable)
    if message:
        return refuse(message)
    archive = str(Path(__file__).absolute().parent)
    if not is_isolated(sys.flags):
        os.execv(sys.executable, [sys.executable, *ISOLATED, archive, *sys.argv[1:]])
    sys.dont_write_bytecode = True
    return run(archive, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
