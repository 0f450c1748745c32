"""Runs the checks' one file on a cluster's driver and prints what it has printed, in lines.

Sent as the text of a job's Python file or of a notebook's command, with a call below it: standard
library only, Python 3.7 grammar. A driver's log has other lines in between and may be cut, so each
line is numbered, and the last one says how many there are and what they add up to.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zlib

PYTHON = "/databricks/python3/bin/python3"
"""Where a cluster has the Python of its notebooks; an embedded one may not know its own path."""
LINE = 2000
TOLD = 20000
"""Characters of the errors' end that are shown."""
UNFINISHED = 124


def run(encoded, arguments, token, seconds):
    """Run a file, given as base85, and print its output in lines that begin with the token."""
    folder = tempfile.mkdtemp(prefix="dcs-")
    try:
        path = os.path.join(folder, "dcs.pyz")
        with open(path, "wb") as file:
            file.write(base64.b85decode(encoded))
        python = sys.executable or PYTHON
        output, complaints, status = finish([python, "-I", "-S", path, *arguments], seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(complaints.decode("utf-8", "replace")[-TOLD:])
    for line in lines_of(output, token, status):
        print(line)
    sys.stdout.flush()


def finish(command, seconds):
    """Return what a command prints, what it complains about and its exit status."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        complaint = "\nnot finished within %d seconds" % seconds
        return late.stdout or b"", (late.stderr or b"") + complaint.encode(), UNFINISHED
    return done.stdout, done.stderr, done.returncode


def lines_of(output, token, status):
    """Return the lines that carry an output."""
    text = base64.b64encode(zlib.compress(output)).decode("ascii")
    parts = [text[start : start + LINE] for start in range(0, len(text), LINE)]
    lines = ["%s %d %s" % (token, number, part) for number, part in enumerate(parts, 1)]
    digest = hashlib.sha256(output).hexdigest()
    return [*lines, "%s end %d %s %d" % (token, len(parts), digest, status)]
