"""Commands and background processes of the image, none of which may hang, for the probes.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar.
"""

import collections
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress

LAST_LINES = 3
FRAMES = 3
KEPT_LINES = 200
GRACE = 2.0
"""Seconds that the streams of a process have to end after it."""

TRACEBACK = "Traceback (most recent call last):"
DEBUGGER = re.compile(r"\d+\.\d+s - ")
"""How lines begin that the debugger writes whenever a kernel starts."""
CRASH = "Fatal Python error: "
"""How Python begins the stacks of a crash, the innermost frame first."""
CURRENT = "Current thread "


class CommandFailed(Exception):
    """A command of the image failed or hung; the message holds what it said last."""


def run_command(argv, seconds, environment=None):
    """Return what a command printed that has no terminal; raises `CommandFailed` and `OSError`."""
    process = subprocess.Popen(
        argv,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    hung = False
    try:
        printed, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        hung = True
        printed, said = after_kill(process)
    words = said.decode(errors="replace")
    sys.stderr.write(words)
    name = os.path.basename(argv[0])
    if hung:
        raise CommandFailed(explain("%s did not end within %.0f s" % (name, seconds), words))
    text = printed.decode(errors="replace")
    if process.returncode:
        raise CommandFailed(explain("%s %s" % (name, ending(process)), words or text))
    return text


def after_kill(process):
    """Kill a process with all its descendants, and return what it has written, if that ends."""
    kill_tree(process.pid)
    try:
        return process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        return b"", b""


class Background:
    """A process that runs on, whose stderr goes to the log and is kept to explain its end."""

    def __init__(self, argv, environment=None, stdin=subprocess.DEVNULL, stdout=None):
        self.process = subprocess.Popen(
            argv,
            cwd="/",
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
            start_new_session=True,
        )
        self.lines = collections.deque(maxlen=KEPT_LINES)
        stream = self.process.stdout if stdout is None else self.process.stderr
        self.reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.reader.start()

    def is_running(self):
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def explain_end(self, name, more=""):
        """Return a message on how it ended, with what it said last, to its stderr and besides."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.reader.join(GRACE)
        return explain("%s %s" % (name, ending(self.process)), self.said() + more)

    def said(self):
        """Return the last lines that it wrote."""
        return "".join(self.lines.copy())

    def abort(self):
        """Let its youngest descendant write where it stands, by the signal that crashes it."""
        with suppress(OSError):
            os.kill(family(self.process.pid)[-1], signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        self.reader.join(GRACE)

    def kill(self):
        """End it with all its descendants."""
        kill_tree(self.process.pid)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)

    def _read(self, stream):
        with stream:
            for line in iter(stream.readline, b""):
                text = line.decode(errors="replace")
                self.lines.append(text)
                sys.stderr.write(text)
                sys.stderr.flush()


def ending(process):
    """Return how a process has ended."""
    status = process.poll()
    if status is None:
        return "has closed its connections"
    if status < 0:
        return "was killed by signal %d" % -status
    return "ended with status %d" % status


def explain(what, words):
    """Return a message of one line, or one with the last Python traceback below it."""
    before, traceback, _ = words.rpartition(TRACEBACK)
    crash = words.rpartition(CRASH)[2] if CRASH in words else ""
    if crash:
        stack = crash.rpartition(CURRENT)[2]
        frames = [line.strip() for line in stack.splitlines() if line.startswith("  File ")]
        return ": ".join([what, crash.splitlines()[0], *frames[:FRAMES]])
    if traceback:
        return "%s\n%s" % (what, words[len(before) :])
    lines = [line.strip() for line in words.splitlines()]
    lines = [line for line in lines if line and not DEBUGGER.match(line)]
    return ": ".join([what, "; ".join(lines[-LAST_LINES:]) or "it said nothing"])


def family(root):
    """Return a process and its descendants, the older before the younger ones."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open("/proc/%s/stat" % name) as file:
                # After the command's name in its parentheses come the state and the parent.
                parents[int(name)] = int(file.read().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += sorted(child for child, parent in parents.items() if parent == pid)
    return found


def kill_tree(root):
    """Kill a process and its descendants, whoever owns them."""
    for pid in family(root):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
