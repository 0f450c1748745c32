"""Mounts a file system of its own by the image's `fusermount`; reads a file and writes one there.

Runs inside the container: standard library only, Python 3.7's grammar. Mounting itself, as root,
would be simpler; the platform's client for `/dbfs` goes through `fusermount`, and so does this.
The structures are those of https://github.com/torvalds/linux/blob/master/include/uapi/linux/fuse.h
"""

import array
import errno
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress

FORMAT_VERSION = 1
TIMEOUT = 20
"""Seconds for each command of the image."""

OPTIONS = "rw,nosuid,nodev,allow_other,fsname=pytest-dcs,subtype=probe"

NAME, CONTENT = b"hello", b"read through FUSE\n"
NEW_NAME, NEW_CONTENT = b"result", b"written through FUSE\n"
ROOT, FILE, NEW_FILE = 1, 2, 3
"""The inodes there are; the last one comes with the file that is written."""

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE = 1, 2, 3, 14, 15, 16, 18
FLUSH, INIT, CREATE, INTERRUPT, BATCH_FORGET = 25, 26, 35, 36, 42
UNANSWERED = (FORGET, INTERRUPT, BATCH_FORGET)
PROTOCOL = (7, 19)
BUFFER_SIZE = 1 << 17

REQUEST = struct.Struct("<IIQQIIII")  # length, operation, unique, inode, uid, gid, pid, padding
REPLY = struct.Struct("<IiQ")  # length, error, unique
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
INIT_REPLY = struct.Struct("<IIIIHHI")
CREATE_HEAD, WRITE_HEAD = 16, 40
"""Bytes before the name of a new file, and before what is written."""

inodes = {NAME: FILE}
contents = {FILE: CONTENT}


def attributes(inode):
    """Return what `stat` shows of a directory without and a file with content."""
    mode = stat.S_IFDIR | 0o755 if inode == ROOT else stat.S_IFREG | 0o644
    size = len(contents.get(inode, b""))
    return ATTRIBUTES.pack(inode, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def look_up(_, body):
    """Return the inode of a name in the one directory there is."""
    inode = inodes.get(body.rstrip(b"\0"))
    if inode is None:
        return errno.ENOENT
    return struct.pack("<QQQQII", inode, 0, 60, 60, 0, 0) + attributes(inode)


def read(inode, body):
    """Return the part of the content that the kernel asks for."""
    offset, size = struct.unpack_from("<QI", body, 8)
    return contents[inode][offset : offset + size]


def create(inode, body):
    """Make the new file, and open it."""
    name = body[CREATE_HEAD:]
    inodes[name.rstrip(b"\0")] = NEW_FILE
    contents[NEW_FILE] = b""
    return look_up(inode, name) + opened(inode, body)


def write(inode, body):
    """Take what is written at the end of a file, as storage behind such mounts does."""
    offset, size = struct.unpack_from("<QI", body, 8)
    if offset != len(contents[inode]):
        return errno.EOPNOTSUPP
    contents[inode] += body[WRITE_HEAD : WRITE_HEAD + size]
    return struct.pack("<II", size, 0)


def opened(*_):
    """Return the handle of an open file, which nobody asks for."""
    return struct.pack("<QII", 0, 0, 0)


ANSWERS = {
    INIT: lambda *_: INIT_REPLY.pack(*PROTOCOL, BUFFER_SIZE, 0, 0, 0, BUFFER_SIZE),
    LOOKUP: look_up,
    GETATTR: lambda inode, _: struct.pack("<QII", 60, 0, 0) + attributes(inode),
    OPEN: opened,
    READ: read,
    CREATE: create,
    WRITE: write,
    FLUSH: lambda *_: b"",
    RELEASE: lambda *_: b"",
}
"""What follows a request, from its inode and its body: bytes, or an error number."""


def serve(device):
    """Answer the kernel until the file system is unmounted."""
    while True:
        try:
            request = os.read(device, BUFFER_SIZE + 4096)
        except OSError:
            return
        _, operation, unique, inode = REQUEST.unpack_from(request)[:4]
        if operation in UNANSWERED:
            continue
        found = errno.ENOSYS
        if operation in ANSWERS:
            found = ANSWERS[operation](inode, request[REQUEST.size :])
        error, body = (-found, b"") if isinstance(found, int) else (0, found)
        with suppress(OSError):
            os.write(device, REPLY.pack(REPLY.size + len(body), error, unique) + body)


def mount(fusermount, directory):
    """Let `fusermount` mount, and return the descriptor by which the kernel asks."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            ended = subprocess.run(
                [fusermount, "-o", OPTIONS, "--", directory],
                check=False,
                env=dict(os.environ, _FUSE_COMMFD=str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            )
        ours.settimeout(TIMEOUT)
        ancillary = ours.recvmsg(1, socket.CMSG_SPACE(array.array("i").itemsize))[1]
    said = ended.stdout.decode(errors="replace").strip()
    if ended.returncode != 0 or not ancillary:
        handed = "" if ancillary else " without handing over a mount"
        raise Refused(
            "%s ended with status %d%s\n%s" % (fusermount, ended.returncode, handed, said)
        )
    return array.array("i", ancillary[0][2])[0]


def unmount(fusermount, directory):
    """Unmount, also while the file is open; a refusal is only logged."""
    command = [fusermount, "-u", "-z", "--", directory]
    subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=TIMEOUT
    )


class Refused(Exception):
    """The image's `fusermount` has not mounted."""


class Trial:
    """One mount, and the report that grows with each step."""

    def __init__(self):
        self.report = {
            "version": FORMAT_VERSION,
            "complete": False,
            "available": False,
            "mounted": False,
            "read": False,
            "written": False,
            "detail": "",
        }

    def note(self, **found):
        """Print the report with what has just been found."""
        self.report.update(found)
        print(json.dumps(self.report), flush=True)

    def run(self):
        """Mount, read, write, unmount; the report says how far it came."""
        fusermount = shutil.which("fusermount")
        if fusermount is None:
            return self.note(detail="there is no fusermount on PATH (%s)" % os.environ.get("PATH"))
        self.note(available=True)
        # The platform's own mounts, /dbfs and /Workspace, lie here too; /tmp may be broken.
        directory = tempfile.mkdtemp(prefix="pytest-dcs-fuse-", dir="/")
        try:
            device = mount(fusermount, directory)
            self.note(mounted=True)
            threading.Thread(target=serve, args=[device], daemon=True).start()
            try:
                self.read(os.path.join(directory, NAME.decode()))
                self.write(os.path.join(directory, NEW_NAME.decode()))
            finally:
                unmount(fusermount, directory)
        finally:
            with suppress(OSError):
                os.rmdir(directory)

    def read(self, path):
        """Read the file and compare."""
        with open(path, "rb") as file:
            found = file.read()
        if found != CONTENT:
            raise Refused("the file read %r and not %r" % (found, CONTENT))
        self.note(read=True)

    def write(self, path):
        """Write a new file and compare what has come."""
        with open(path, "wb") as file:
            file.write(NEW_CONTENT)
        found = contents[NEW_FILE]
        if found != NEW_CONTENT:
            raise Refused("of what was written came %r and not %r" % (found, NEW_CONTENT))
        self.note(written=True)


if __name__ == "__main__":
    trial = Trial()
    try:
        trial.run()
    except (OSError, subprocess.SubprocessError, Refused) as error:
        trial.note(detail=str(error))
    trial.note(complete=True)
