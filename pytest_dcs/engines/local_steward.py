"""A small process that starts the commands of a launch on this machine, and ends and undoes it.

It runs as a script, with the standard library only, so that it starts in milliseconds and in any
environment: `python -I -S local_steward.py SOCKET`, where SOCKET is the number of a descriptor that
it inherits. Its other end is the run's: orders come through it, and its end is the launch's,
however the run ends.

It is two processes. The keeper adopts all orphans below it, as the init of a container does, and
reaps them. Its child, the starter, starts what it is ordered to. So an orphan is told from a
command of the run by its parent, and no process of the machine's own is ever among them.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

LENGTH = struct.Struct(">Q")
STREAMS = 4
"""Descriptors that come with an order to start something: its three streams and a pipe for its exit
status."""
PR_SET_CHILD_SUBREAPER = 36
"""https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html"""
PATIENCE = 20.0
"""Seconds after which it gives up on a process that no signal ends."""
PAUSE = 0.02
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UMASK = 0o022
NOT_FOUND, NOT_EXECUTABLE = 127, 126
BY_SIGNAL = 128


def main() -> None:
    """Serve until the run lets go of the socket."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    orders.set_inheritable(False)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit(os.strerror(ctypes.get_errno()))
    keeper = os.getpid()
    starter = os.fork()
    if starter == 0:
        Starter(orders, keeper).serve()
        os._exit(0)
    orders.close()
    for number in ENDING_SIGNALS:
        # Whoever ends the run by a signal to all its processes must not end the clean-up too.
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"%d\n" % keeper)
    while os.wait()[0] != starter:
        pass
    end_all_below(keeper, spared=keeper)


class Starter:
    """Starts commands, tells how they ended, and knows what must be undone."""

    def __init__(self, orders: socket.socket, keeper: int) -> None:
        self._orders = orders
        self._keeper = keeper
        self._waiting: dict[int, int] = {}
        """Where the exit status of a process goes."""
        self._journal: list[dict[str, str]] = []

    def serve(self) -> None:
        """Do what is ordered; at the end of the orders, end and undo everything."""
        orders = self._orders.fileno()
        woken, wakes = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, *ENDING_SIGNALS):
            # Handlers, unlike SIG_IGN, are not inherited by what is started.
            signal.signal(number, lambda *_: None)
        while True:
            ready, _, _ = select.select([orders, woken], [], [])
            if woken in ready:
                with suppress(BlockingIOError):
                    os.read(woken, 1 << 16)
                self._reap()
            if orders in ready and not self._obey():
                break
        self._orders.close()
        top = self._keeper if os.getppid() == self._keeper else os.getpid()
        end_all_below(top, spared=os.getpid())
        undo(self._journal)

    def _obey(self) -> bool:
        """Do the next order; False where there is none any more."""
        try:
            header, streams, _, _ = socket.recv_fds(
                self._orders, LENGTH.size, STREAMS, socket.MSG_WAITALL
            )
            for stream in streams:
                os.set_inheritable(stream, False)
            order = self._receive(LENGTH.unpack(header)[0])
        except (OSError, EOFError, ValueError, struct.error):
            return False
        if "argv" in order:
            self._start(order, streams)
        else:
            self._journal.append(order)
        return True

    def _receive(self, length: int) -> dict[str, Any]:
        data = bytearray()
        while len(data) < length:
            piece = self._orders.recv(length - len(data))
            if not piece:
                raise EOFError
            data += piece
        order: dict[str, Any] = json.loads(data)
        return order

    def _start(self, order: dict[str, Any], streams: list[int]) -> None:
        *standard, status = streams
        process = os.fork()
        if process == 0:
            become(order["argv"], order["environment"], standard)
        for stream in standard:
            os.close(stream)
        self._waiting[process] = status

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                process, ending = os.waitpid(-1, os.WNOHANG)
                if process == 0:
                    return
                code = os.waitstatus_to_exitcode(ending)
                status = self._waiting.pop(process)
                with suppress(OSError):
                    os.write(status, b"%d" % (code if code >= 0 else BY_SIGNAL - code))
                os.close(status)


def become(argv: list[str], environment: dict[str, str], streams: list[int]) -> None:
    """Replace this new process by a command, with defaults where Python has changed something."""
    try:
        os.setsid()
        os.chdir("/")
        os.umask(UMASK)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for standard, stream in enumerate(streams):
            os.dup2(stream, standard)
        os.execvpe(argv[0], argv, environment)  # noqa: S606
    except FileNotFoundError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND)
    except BaseException as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
        os._exit(NOT_EXECUTABLE)


def end_all_below(top: int, *, spared: int) -> None:
    """Kill all descendants of a process but one, until there is none or patience has ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        left = [process for process in descendants_of(top) if process != spared]
        if not left:
            return
        for process in left:
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(PAUSE)


def descendants_of(top: int) -> list[int]:
    """Return the processes below another one that still run."""
    children: dict[int, list[int]] = {}
    dead = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            state, parent = (folder / "stat").read_bytes().rpartition(b") ")[2].split()[:2]
            children.setdefault(int(parent), []).append(int(folder.name))
            if state in {b"Z", b"X"}:
                dead.add(int(folder.name))
    found, waiting = [], [top]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += [process for process in below if process not in dead]
    return found


def undo(journal: list[dict[str, str]]) -> None:
    """Take back what was done to the file system, the last thing first."""
    for entry in reversed(journal):
        path = Path(entry["path"])
        kept = Path(entry["kept"]) if "kept" in entry else None
        if kept is not None and not os.path.lexists(kept):
            continue  # the run ended before it touched the path
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        if kept is not None:
            with suppress(OSError):
                kept.rename(path)


if __name__ == "__main__":
    os.chdir("/")
    main()
