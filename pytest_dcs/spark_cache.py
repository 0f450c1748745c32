"""The Spark to inject: fetched from the package index once per version, kept as one tar."""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import filelock

from pytest_dcs import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    Command = tuple[str, ...]
    Progress = Callable[[str], None]

LAYOUT_REVISION = 1
"""Counts up when the tar's layout changes, so that no older cache or volume is taken for it."""

SDIST_LAYOUT = {
    "deps/bin/": "bin/",
    "deps/jars/": "jars/",
    "lib/py4j-": "python/lib/py4j-",
    "pyspark/": "python/pyspark/",
    "pyspark/python/": None,
}
"""Where a file of the source distribution belongs, by the longest prefix of its path."""

INSTALLED_LAYOUT = {
    "": "python/pyspark/",
    "bin/": "bin/",
    "data/": None,
    "examples/": None,
    "jars/": "jars/",
    "licenses/": None,
    "python/": None,
    "python/lib/py4j-": "python/lib/py4j-",
    "sbin/": None,
}
"""The same for the folder `pyspark` of an installed distribution."""

LEFT_OUT_FOLDERS = frozenset({"__pycache__", "tests"})
LEFT_OUT_SUFFIXES = frozenset({".cmd", ".pyc"})
EMPTY_FOLDERS = ("conf", "work")
MODIFIED = 946684800
"""Unix time (2000-01-01) that every file was modified, so that equal content is an equal tar."""

REPORT_EVERY = 5.0
ANSWER_WITHIN = 120.0


def volume_name(version: str) -> str:
    """Return the name of the engine's volume, and of the cached file, with this Spark."""
    return f"pytest-dcs-spark-{version}-{LAYOUT_REVISION}"


def provision(
    version: str,
    cache_directory: Path,
    progress: Progress,
    *,
    pip_commands: Iterable[Command] | None = None,
) -> Path:
    """Return an uncompressed tar of a `SPARK_HOME`, made on first use.

    Runs side by side fetch once. Raises `NoSparkSource` when pyspark cannot be had, and
    `CacheUnusable` when the directory cannot be written.
    """
    archive = cache_directory / f"{volume_name(version)}.tar"
    if _is_complete(archive):
        return archive
    try:
        cache_directory.mkdir(parents=True, exist_ok=True)
        with _locked(archive, progress):
            if not _is_complete(archive):
                _make(version, archive, progress, pip_commands or find_pip_commands())
    except OSError as error:
        raise errors.CacheUnusable(cache_directory, str(error)) from error
    return archive


def cached(version: str, cache_directory: Path) -> Path | None:
    """Return the tar that an earlier run has made, None where there is none."""
    archive = cache_directory / f"{volume_name(version)}.tar"
    return archive if _is_complete(archive) else None


def find_pip(commands: Iterable[Command]) -> Command | None:
    """Return the first pip that answers, None where none does."""
    return next(filter(_answers, commands), None)


def find_pip_commands() -> Iterator[Command]:
    """Yield every way to run pip from here, the interpreter's own first.

    Environments made by uv and by Debian's `python3 -m venv --without-pip` have none of their own.
    """
    yield (sys.executable, "-m", "pip")
    if pip := shutil.which("pip"):
        yield (pip,)
    if uv := shutil.which("uv"):
        yield (uv, "tool", "run", "pip")
    if ensurepip := importlib.util.find_spec("ensurepip"):
        for wheel in sorted(Path(str(ensurepip.origin)).parent.glob("_bundled/pip-*.whl")):
            yield (sys.executable, f"{wheel}/pip")


def _marker(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.size")


def _is_complete(archive: Path) -> bool:
    """Whether the archive has the size that its marker, written last, says."""
    try:
        return int(_marker(archive).read_text()) == archive.stat().st_size
    except (OSError, ValueError):
        return False


def _locked(archive: Path, progress: Progress) -> AbstractContextManager[object]:
    lock = filelock.FileLock(archive.with_name(f"{archive.name}.lock"))
    try:
        return lock.acquire(timeout=1)
    except filelock.Timeout:
        progress(f"waiting for another run that makes {archive.name}")
        return lock.acquire()


def _make(version: str, archive: Path, progress: Progress, pip_commands: Iterable[Command]) -> None:
    started = time.monotonic()
    workplace = archive.with_name(f"{archive.name}.part")
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir()
    try:
        files = _installed_files(version)
        if files is None:
            progress(f"fetching pyspark {version} from the package index (300 to 500 MB, once)")
            files = _sdist_files(_download(version, workplace, pip_commands, progress))
        else:
            progress(f"taking pyspark {version} from this Python environment (once)")
        unnamed = workplace / "spark.tar"
        try:
            _write_home(version, unnamed, files)
        except (tarfile.ReadError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise errors.NoSparkSource(version, f"what came is damaged: {error}") from error
        _marker(archive).unlink(missing_ok=True)
        unnamed.replace(archive)
        _marker(archive).write_text(f"{archive.stat().st_size}\n")
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    progress(f"Spark {version} is in the cache after {time.monotonic() - started:.0f} s: {archive}")


def _download(
    version: str, directory: Path, pip_commands: Iterable[Command], progress: Progress
) -> Path:
    """Let the first pip that answers fetch the source distribution, as its user configured it."""
    pip = find_pip(pip_commands)
    if pip is None:
        raise errors.NoSparkSource(version, "neither pip nor uv can be run here")
    arguments = [
        "download",
        "--no-deps",
        "--no-binary=pyspark",  # what the index has; a company's mirror may also have wheels
        "--ignore-requires-python",  # it runs on the image's Python, not on this one
        "--no-cache-dir",
        "--no-input",
        "--disable-pip-version-check",
        f"--dest={directory}",
        f"pyspark=={version}",
    ]
    log = directory / "pip.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*pip, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(directory)},
        ) as process,
    ):
        try:
            while not _ended(process, REPORT_EVERY):
                progress(f"pyspark {version}: {_downloaded(directory)} MB so far")
        finally:
            process.kill()
    lines = log.read_text(errors="replace").strip().splitlines()
    if process.returncode != 0:
        raise errors.NoSparkSource(version, lines[-1] if lines else "pip said nothing")
    return next(directory.glob("pyspark-*.tar.gz"))


def _answers(pip: Command) -> bool:
    try:
        finished = subprocess.run(
            [*pip, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _downloaded(directory: Path) -> int:
    """Return how many megabytes of the distribution lie in pip's temporary folders."""
    return max(map(_size, directory.rglob("pyspark-*.tar.gz")), default=0) // 1_000_000


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


File = tuple[str, int, IO[bytes]]
"""A file's place under `SPARK_HOME`, its size and its content, to be read before the next one."""


def _sdist_files(sdist: Path) -> Iterator[File]:
    # tarfile's own mode for streams, "r|gz", takes a file that was cut off for a whole one.
    with gzip.open(sdist) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for member in tar:
            place = _place(member.name.partition("/")[2], SDIST_LAYOUT)
            content = tar.extractfile(member) if place and member.isfile() else None
            if place and content:
                yield place, member.size, content


def _installed_files(version: str) -> Iterator[File] | None:
    """Return the files of this environment's own pyspark, None unless it is just that version."""
    try:
        distribution = importlib.metadata.distribution("pyspark")
    except importlib.metadata.PackageNotFoundError:
        return None
    home = Path(str(distribution.locate_file("pyspark")))
    if distribution.version != version or not (home / "jars").is_dir():
        return None
    return _folder_files(home)


def _folder_files(home: Path) -> Iterator[File]:
    for path in sorted(home.rglob("*")):
        place = _place(path.relative_to(home).as_posix(), INSTALLED_LAYOUT)
        if place and path.is_file():
            with path.open("rb") as content:
                yield place, path.stat().st_size, content


def _place(path: str, layout: Mapping[str, str | None]) -> str | None:
    """Return where a file goes under `SPARK_HOME`, None for one that is left out."""
    prefix = max((prefix for prefix in layout if path.startswith(prefix)), key=len, default=None)
    target = layout[prefix] if prefix is not None else None
    if prefix is None or target is None:
        return None
    parsed = PurePosixPath(path)
    if LEFT_OUT_FOLDERS.intersection(parsed.parts) or parsed.suffix in LEFT_OUT_SUFFIXES:
        return None
    return target + path[len(prefix) :]


def _write_home(version: str, target: Path, files: Iterable[File]) -> None:
    """Write the files as a `SPARK_HOME`; `RELEASE` is the last, so that it stands for the rest."""
    with tarfile.open(target, "w") as tar:
        home = _Home(tar)
        for folder in EMPTY_FOLDERS:
            home.add_folder(folder)
        for place, size, content in files:
            if place.startswith("python/lib/py4j-"):
                # Also unpacked: `PYTHONPATH=$SPARK_HOME/python` is then all that a probe needs.
                zipped = content.read()
                home.add(place, len(zipped), io.BytesIO(zipped))
                home.add_zipped("python", zipped)
            else:
                home.add(place, size, content)
        missing = [folder for folder in ("bin", "jars", "python/py4j", "python/pyspark")
                   if folder not in home.folders]  # fmt: skip
        if missing:
            raise errors.NoSparkSource(version, f"what came has no {', '.join(missing)}")
        release = f"Spark {version}\n".encode()
        home.add("RELEASE", len(release), io.BytesIO(release))


class _Home:
    """A tar that becomes a `SPARK_HOME`: root's, with sane modes and parents before children."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.folders: set[str] = set()

    def add(self, place: str, size: int, content: IO[bytes]) -> None:
        for parent in reversed(PurePosixPath(place).parents[:-1]):
            self.add_folder(str(parent))
        member = tarfile.TarInfo(place)
        member.size = size
        member.mode = 0o755 if place.startswith("bin/") else 0o644
        member.mtime = MODIFIED
        self._tar.addfile(member, content)

    def add_zipped(self, folder: str, zipped: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    content = archive.read(name)
                    self.add(f"{folder}/{name}", len(content), io.BytesIO(content))

    def add_folder(self, place: str) -> None:
        if place not in self.folders:
            self.folders.add(place)
            member = tarfile.TarInfo(place)
            member.type = tarfile.DIRTYPE
            member.mode = 0o755
            member.mtime = MODIFIED
            self._tar.addfile(member)
