"""The report of a probe that works in stages, and what such probes share.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. Each line
of stdout is the whole report as it stands, so the last one counts, also when the process dies in a
stage. Logs go to stderr.
"""

import faulthandler
import json
import os
import re
import time

FORMAT_VERSION = 1
DETAIL_LIMIT = 2000
TRACEBACK_LINES = 12
PYTHON_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*\S.*")


class NotRun(Exception):
    """What a stage needs is not there: the stage says nothing of the image."""


class Report:
    """The report that grows stage by stage."""

    def __init__(self, names):
        self.channel = take_stdout()
        self.facts = {}
        self.stages = {
            name: {"name": name, "outcome": "not-run", "detail": "", "seconds": 0.0}
            for name in names
        }
        faulthandler.enable(all_threads=False)

    def run(self, name, function, *arguments):
        """Run one stage, note its outcome and time, and tell whether it has passed."""
        stage = self.stages[name]
        stage["outcome"] = "running"
        self.write(complete=False)
        started = time.time()
        try:
            function(*arguments)
        except NotRun as error:
            stage["outcome"], stage["detail"] = "not-run", str(error)
        except (Exception, SystemExit) as error:
            stage["outcome"], stage["detail"] = "failed", describe(error)
        else:
            stage["outcome"] = "passed"
        stage["seconds"] = round(time.time() - started, 3)
        return stage["outcome"] == "passed"

    def skip(self, name, why):
        """Note why a stage is not run."""
        self.stages[name]["detail"] = why

    def leave_out(self, name, why):
        """End a stage that asks nothing of this image or runtime."""
        self.facts.setdefault("left_out", []).append(name)
        raise NotRun(why)

    def write(self, complete):
        """Print the report as it stands."""
        document = {
            "version": FORMAT_VERSION,
            "complete": complete,
            "stages": list(self.stages.values()),
        }
        document.update(self.facts)
        self.channel.write(json.dumps(document) + "\n")
        self.channel.flush()


def expect(found, needed):
    """Raise `AssertionError` unless what was found is what plain Python computed."""
    if found != needed:
        raise AssertionError("found %r, plain Python has %r" % (found, needed))


def need(condition, text):
    """Raise `AssertionError` with a text unless the condition holds."""
    if not condition:
        raise AssertionError(text)


def same(what, found, needed):
    """Raise `AssertionError` unless what was found is what is needed."""
    need(found == needed, "%s is %r, not %r" % (what, found, needed))


def last_line(text):
    """Return the last line of what was printed, as what starts with Python may print too."""
    return (text.strip().splitlines() or [""])[-1]


def describe(error):
    """Return the line that says most, then the Python worker's traceback or the Java causes."""
    text = str(error)
    worker = PYTHON_TRACEBACK.findall(text)
    if worker:
        lines = worker[-1].splitlines()
        lines = [lines[-1], *lines[-TRACEBACK_LINES:-1]]
    else:
        lines = [line for line in text.splitlines() if line.strip() and not is_java_frame(line)]
        causes = [line for line in lines if line.startswith("Caused by: ")]
        lines = ["%s: %s" % (type(error).__name__, " ".join(lines[:2])), *causes[-1:]]
    return "\n".join(lines)[:DETAIL_LIMIT]


def is_java_frame(line):
    """Whether the line is a frame of a Java stack trace."""
    return line.startswith(("\tat ", "\t... "))


def take_stdout():
    """Return stdout for the report alone: what others print there goes to stderr."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel
