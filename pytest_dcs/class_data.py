"""What makes Spark's JVM start quickly: options, and an archive of its classes.

The archive holds Spark's classes as the JVM would have them after loading, parsing and checking
them, and is mapped in place of that work. One that does not fit is left aside by the JVM, without
a word: https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import tarfile
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Literal

import filelock

from pytest_dcs import spark_cache
from pytest_dcs.node import SPARK_HOME, SPARK_MOUNT
from pytest_dcs.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_dcs.shell import Shell
    from pytest_dcs.stages import Smoke

    Job = Literal["python", "sql"]

logger = logging.getLogger(__name__)

FLAGS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""For every JVM of Spark's: a collector without threads, and the quick compiler alone."""

MOUNT = "/opt/pytest-dcs/classes"
JARS_OF_IMAGE = "/databricks/jars"
"""Jars of the image's own, which probes put before Spark's."""
SUFFIX = ".jsa"
REVISION = 1
"""Counts up when archives are made or used in another way, so that no older one is taken."""
KEPT = 4
"""How many archives of one Spark stay in the cache, the newest ones; each has about 130 MB."""
OLDEST_JAVA = 11
"""The first release with an archive of an application's own classes: https://openjdk.org/jeps/310."""
RETRY_AFTER = 7 * 24 * 3600
"""Seconds for which an archive that could not be made is not tried again by itself."""
WAIT_LIMIT = 900.0
"""Seconds that one process waits for another that makes the same archive."""
BLOCK = 1 << 20

INTERNAL_VERSION = re.compile(
    r"^(?:OpenJDK|Java HotSpot\(TM\)) 64-Bit Server VM \(((\d+)[\d.]*)[^)]*\+[^)]*\) for .*", re.M
)
"""What `java -Xinternalversion` says of a HotSpot of JDK 9 or later, with the build's time."""
MODULES = re.compile(r"^modules (\d+ \d+)$", re.MULTILINE)

OWN_OPTIONS = re.compile(r"spark\.(driver|executor)\.(extraClassPath|\w+JavaOptions)=")
"""Settings of the user's that choose options of the JVM, or its class path."""

JVM_DIED = re.compile(
    r'Exception in thread "main"'
    r"|A fatal error has been detected by the Java Runtime Environment"
    r"|Error occurred during initialization of VM"
    r"|Could not create the Java Virtual Machine"
)
"""How the JVM ends over an archive that is damaged, or over options that do not go together."""

RAN_AGAIN = "Spark's JVM has died, so the job ran once more with dcs_spark_tuning off"

ASK_JAVA = f"""
[ "$(readlink {SPARK_HOME})" = {SPARK_MOUNT} ] || exit 0
[ -z "$SPARK_CONF_DIR$SPARK_DIST_CLASSPATH$HADOOP_CONF_DIR$YARN_CONF_DIR" ] || exit 0
[ -z "$PYSPARK_SUBMIT_ARGS" ] || exit 0
for jar in {JARS_OF_IMAGE}/*.jar; do [ -e "$jar" ] && exit 0; done
java=$(command -v "${{JAVA_HOME:+$JAVA_HOME/bin/}}java") || exit 0
java=$(readlink -f "$java")
echo "home ${{java%/bin/java}}"
stat -L -c 'modules %s %Y' "${{java%/bin/java}}/lib/modules"
for archive in {MOUNT}/*{SUFFIX}; do [ -s "$archive" ] && echo "archive ${{archive##*/}}"; done
printf 'jar %s\\n' {SPARK_HOME}/jars/*.jar
"$java" -Xinternalversion
"""
"""Answers only where the class path is Spark's own and nothing else."""


@dataclass(frozen=True)
class Java:
    """The JVM of a container, as far as archives are concerned with it."""

    key: str
    """Names its build: an archive fits one build only."""
    version: str
    home: str
    class_path: str
    """Spark's own, in an order that is the same everywhere.

    `jars/*` would be taken in the order of the directory, which differs between file systems, and
    an archive fits one order only.
    """
    archives: frozenset[str]
    """The names of the archives that the container sees."""


@dataclass(frozen=True)
class Archive:
    """One archive in the cache."""

    path: Path
    size: int
    sha256: str
    job: Job
    """The job whose classes it holds: that of an image without Python needs fewer."""


@dataclass(frozen=True)
class Wish:
    """An archive that a launch would have used; plain data, so that it travels on reports."""

    key: str
    version: str
    home: str


def ask(shell: Shell) -> Java | None:
    """Return the JVM that Spark would take; None where it can use no archive of ours."""
    try:
        answer = shell.run(ASK_JAVA).stdout.decode(errors="replace")
    except AssertionError:
        # A JVM that hangs or floods is the finding of a rule.
        return None
    java = parse_java(answer)
    if java is None:
        logger.info("Spark's JVM can use no class-data archive here")
    return java


def parse_java(answer: str) -> Java | None:
    """Return the JVM that an answer to `ASK_JAVA` describes; None for one that can use none."""
    version, modules = INTERNAL_VERSION.search(answer), MODULES.search(answer)
    if version is None or modules is None or int(version[2]) < OLDEST_JAVA:
        return None
    key = hashlib.sha256(f"{REVISION}\n{version[0]}\n{modules[1]}".encode()).hexdigest()[:16]
    return Java(
        key=key,
        version=version[1],
        home=_values(answer, "home")[0],
        class_path=":".join([f"{SPARK_HOME}/conf/", *sorted(_values(answer, "jar"))]),
        archives=frozenset(_values(answer, "archive")),
    )


def options(spark: str, java: Java | None) -> str:
    """Return the driver's options that use the archive; none where the container has none."""
    name = java and archive_name(spark, java.key)
    if java is None or name not in java.archives:
        return ""
    return (
        f"-Xshare:auto -XX:SharedArchiveFile={MOUNT}/{name} "
        # Its warnings would else go to stdout.
        f"-Xlog:disable -Xlog:all=warning:stderr -cp {java.class_path}"
    )


def goes_with(spark_conf: Iterable[str]) -> bool:
    """Tell whether the tuning leaves the user's own settings of Spark as they are."""
    return not any(map(OWN_OPTIONS.match, spark_conf))


def is_suspect(smoke: Smoke) -> bool:
    """Tell whether a job may have failed over its tuning: its JVM has died."""
    return not smoke.passed and JVM_DIED.search(smoke.log) is not None


def archive_name(spark: str, key: str) -> str:
    """Return the name of an archive, in the cache and in containers."""
    return f"{_prefix(spark)}{key}{SUFFIX}"


def volume_name(spark: str, archives: Iterable[Archive]) -> str:
    """Return the name of the engine's volume with just these archives."""
    content = "\n".join(sorted(f"{each.path.name} {each.sha256}" for each in archives))
    return f"{_prefix(spark)}{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def find(cache_directory: Path, spark: str) -> tuple[Archive, ...]:
    """Return the archives of a Spark whose files have the size that was noted beside them."""
    markers = sorted(cache_directory.glob(f"{_prefix(spark)}*{SUFFIX}.json"))
    found = (_read(marker) for marker in markers)
    return tuple(archive for archive in found if archive is not None)


def covering(cache_directory: Path, spark: str, key: str, job: Job) -> Archive | None:
    """Return the archive for a JVM that holds the classes of such a job, if there is one."""
    archive = _read(_marker(cache_directory / archive_name(spark, key)))
    return archive if archive is not None and archive.job in {"python", job} else None


def missing(cache_directory: Path, spark: str, java: Java | None, job: Job) -> Wish | None:
    """Return the archive that a job on this JVM could have used, None where it has or cannot."""
    if java is None or covering(cache_directory, spark, java.key, job) is not None:
        return None
    if _has_failed(cache_directory / archive_name(spark, java.key)):
        return None
    return Wish(java.key, java.version, java.home)


def tar_of(archives: Iterable[Archive]) -> IO[bytes]:
    """Return a tar of the archives, in which one is left out whose content is not what was noted.

    Nothing is read before it is: most often the engine has the volume already.
    """
    return io.BufferedReader(Pieces(_tar_pieces(archives)), BLOCK)


def store(
    cache_directory: Path, name: str, job: Job, content: Iterable[bytes], size: int
) -> Archive:
    """Keep an archive; raises `OSError` where it cannot, or where the content is not that long.

    It gets its name when it is complete. Only one process may do so at a time: see `locked`.
    """
    path = cache_directory / name
    part = path.with_name(f"{name}.part")
    digest = hashlib.sha256()
    try:
        with part.open("wb") as file:
            for piece in content:
                digest.update(piece)
                file.write(piece)
        if part.stat().st_size != size:
            message = f"{part.stat().st_size} of {size} bytes have come"
            raise OSError(message)
        _marker(path).unlink(missing_ok=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    archive = Archive(path, size, digest.hexdigest(), job)
    noted = {key: value for key, value in asdict(archive).items() if key != "path"}
    part.write_text(json.dumps(noted), encoding="utf-8")
    part.replace(_marker(path))
    _failed(path).unlink(missing_ok=True)
    return archive


def prune(cache_directory: Path, spark: str) -> None:
    """Remove all archives of a Spark but the newest ones: each update of a JDK needs its own."""
    archives = find(cache_directory, spark)
    by_age = sorted(archives, key=lambda archive: archive.path.stat().st_mtime, reverse=True)
    for archive in by_age[KEPT:]:
        _discard(archive)


def note_failure(cache_directory: Path, name: str, reason: str) -> None:
    """Remember that an archive cannot be made, so that not every run tries it again."""
    with suppress(OSError):
        _failed(cache_directory / name).write_text(f"{reason}\n", encoding="utf-8")


@contextmanager
def locked(cache_directory: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Keep other processes from making the same archive; False where one still does.

    Raises `OSError` where the folder cannot be written.
    """
    cache_directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(cache_directory / f"{name}.lock")
    try:
        lock.acquire(timeout=WAIT_LIMIT if wait else 0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _tar_pieces(archives: Iterable[Archive]) -> Iterator[bytes]:
    for archive in archives:
        # One file from check to end: another process may put a new one in its place.
        with archive.path.open("rb") as file:
            if not _is_intact(archive, file):
                logger.warning("%s is damaged and will not be used", archive.path)
                _discard(archive)
                continue
            member = tarfile.TarInfo(archive.path.name)
            member.size, member.mode, member.mtime = archive.size, 0o644, spark_cache.MODIFIED
            yield member.tobuf()
            yield from _blocks(file)
            if padding := -archive.size % tarfile.BLOCKSIZE:
                yield bytes(padding)
    yield bytes(tarfile.RECORDSIZE)


def _is_intact(archive: Archive, file: IO[bytes]) -> bool:
    digest = hashlib.sha256()
    for block in _blocks(file):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest() == archive.sha256


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _read(marker: Path) -> Archive | None:
    path = marker.with_suffix("")
    try:
        noted = json.loads(marker.read_text(encoding="utf-8"))
        archive = Archive(path, **noted)
        return archive if path.stat().st_size == archive.size else None
    except (OSError, ValueError, TypeError):
        return None


def _discard(archive: Archive) -> None:
    for path in (_marker(archive.path), archive.path):
        with suppress(OSError):
            path.unlink()


def _prefix(spark: str) -> str:
    return f"{spark_cache.volume_name(spark)}-classes-"


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _failed(path: Path) -> Path:
    return path.with_name(f"{path.name}.failed")


def _has_failed(path: Path) -> bool:
    try:
        return time.time() - _failed(path).stat().st_mtime < RETRY_AFTER
    except OSError:
        return False


def _values(answer: str, name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", answer, re.MULTILINE)
