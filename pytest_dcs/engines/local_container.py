"""The machine itself as a container: its commands, its files, and the way back."""

from __future__ import annotations

import io
import os
import platform
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_dcs.engines import STARTER, LaunchFailed
from pytest_dcs.engines.local_process import LocalProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_dcs.engines.local_process import Steward

CAP_SYS_ADMIN = 21
"""https://man7.org/linux/man-pages/man7/capabilities.7.html"""
KEPT_SUFFIX = ".pytest-dcs-kept"
"""Behind the name of a file of the image while another one is in its place."""
READY = b"pytest-dcs-ready"
READY_TIMEOUT = 60.0
"""Seconds until `/bin/sh` has answered, as with an engine that starts containers."""
FOLDER_MODE = 0o755
BLOCK = 1 << 20


class LocalContainer:
    """A launch on this machine."""

    gpu_refusal = ""

    def __init__(
        self,
        name: str,
        steward: Steward,
        environment: Mapping[str, str],
        *,
        fuse: bool,
        release: Callable[[], None],
    ) -> None:
        """Take what `release` must be called for when the launch has ended."""
        self.name = name
        self.emulated = platform.machine() != "x86_64"
        self.fuse = fuse and can_mount()
        self.adopter = steward.adopter
        self._steward = steward
        self._environment = environment
        self._release = release
        self._files = Files(steward)
        self._ended = False

    def start(
        self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> LocalProcess:
        """Start a command as root; raises `ContainerEnded` where no process can be started."""
        whole = {**self._environment, **(environment or {})}
        return LocalProcess(self._steward, [*STARTER, *argv], whole)

    def put_archive(self, directory: str, tar: bytes | IO[bytes]) -> None:
        """Unpack an uncompressed tar into a directory; raises `FileNotFoundError`."""
        self._files.unpack(Path(directory), tar)

    def put_link(self, path: str, target: str) -> None:
        """Make a symbolic link, and the folders above it."""
        self._files.make_link(Path(path), target)

    def read_file(self, path: str) -> bytes:
        """Return a file's content, through symbolic links.

        Raises `FileNotFoundError` and `IsADirectoryError`.
        """
        return Path(path).read_bytes()

    def logs(self) -> str:
        """Return nothing: there is no main process."""
        return ""

    def end(self) -> None:
        """End all that was started, and take back what was made; never raises."""
        if not self._ended:
            self._ended = True
            self._steward.end()
            self._release()

    def refuse_silence(self) -> None:
        """Raise `LaunchFailed` where `/bin/sh` does not answer."""
        process = self.start(["/bin/sh", "-c", f"echo {READY.decode()}"])
        output = b""
        try:
            deadline = time.monotonic() + READY_TIMEOUT
            with suppress(BrokenPipeError):
                process.write(b"")
            while (chunk := process.read(max(0.0, deadline - time.monotonic()))) is not None:
                output += chunk.data
        except TimeoutError:
            msg = f"its main process, /bin/sh, did nothing for {READY_TIMEOUT:.0f} s"
            raise LaunchFailed(msg) from None
        finally:
            process.close()
        if READY not in output:
            told = output.decode(errors="replace").strip() or "it wrote nothing"
            msg = f"its main process, /bin/sh, ended at once: {told}"
            raise LaunchFailed(msg)


class Files:
    """Makes files on this machine, after it has told the steward how to take that back."""

    def __init__(self, steward: Steward) -> None:
        self._steward = steward
        self._noted: set[Path] = set()

    def unpack(self, directory: Path, tar: bytes | IO[bytes]) -> None:
        """Unpack a tar with the owners, modes and times that it names.

        Raises `FileNotFoundError` where the directory is not there.
        """
        if not directory.is_dir():
            raise FileNotFoundError(directory)
        stream = io.BytesIO(tar) if isinstance(tar, bytes) else tar
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                path = directory / member.name
                if member.issym():
                    self.make_link(path, member.linkname)
                    continue
                if member.isdir():
                    self.make_folder(path)
                else:
                    self._write(path, archive.extractfile(member))
                os.chown(path, member.uid, member.gid)
                path.chmod(member.mode)
                os.utime(path, (member.mtime, member.mtime))

    def make_folder(self, path: Path) -> None:
        """Make a folder, and all above it, unless they are there."""
        if not path.is_dir():
            self.make_folder(path.parent)
            self._make_room(path)
            path.mkdir(FOLDER_MODE)

    def make_link(self, path: Path, target: str) -> None:
        """Make a symbolic link in the place of whatever is there."""
        self.make_folder(path.parent)
        self._make_room(path)
        path.symlink_to(target)

    def _write(self, path: Path, content: IO[bytes] | None) -> None:
        self.make_folder(path.parent)
        self._make_room(path)
        with path.open("xb") as file:
            while content is not None and (block := content.read(BLOCK)):
                file.write(block)

    def _make_room(self, path: Path) -> None:
        """Take away what was made before, keep what the image has, and have it taken back."""
        if not self._noted.isdisjoint((path, *path.parents)):
            path.unlink(missing_ok=True)
            return
        there = os.path.lexists(path)
        kept = path.with_name(f"{path.name}{KEPT_SUFFIX}") if there else None
        self._steward.note(path, kept=kept)
        self._noted.add(path)
        if kept is not None:
            path.rename(kept)


def can_mount() -> bool:
    """Tell whether a FUSE file system can be mounted here: the device, and the right to mount."""
    if not Path("/dev/fuse").exists():
        return False
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> CAP_SYS_ADMIN & 1)
    return False
