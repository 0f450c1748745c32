"""Starts the language server of the image's own environment for it, and asks it for help.

Runs inside the container with the image's Python and `-I`: standard library only, Python 3.7's
grammar. Each line of stdout is the whole report as it stands, so the last one counts. The protocol
is that of https://microsoft.github.io/language-server-protocol/ over stdin and stdout.
"""

import json
import os
import select
import subprocess
import sys
import time

# With -I the folder of the script is not searched.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from dcs_processes import Background, explain
from dcs_stages import Report

OPTIONS = "PYTEST_DCS_LANGUAGE_SERVER"
"""The variable with a JSON object of what is asked; `pytest_dcs/notebook.py` writes it."""
INTERPRETER = "/databricks/python-lsp/bin/python"

CELL = "file:///databricks/driver/cell.py"
IMPORT = "import json, keyword"
USE = "keyword.kwl"
HEAD_END = b"\r\n\r\n"
CHUNK = 1 << 16


class ServerFailed(Exception):
    """The server has ended, does not answer, or answers with an error."""


class Server:
    """The server and what it has sent."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.lost = False
        self._requests = 0
        self._buffer = b""
        self.background = Background(
            [INTERPRETER, "-m", "pylsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def ask(self, method, parameters):
        """Return the result of a request."""
        self._requests += 1
        self._send(id=self._requests, method=method, params=parameters)
        deadline = time.time() + self.seconds
        while True:
            message = self._receive(deadline, method)
            if message.get("id") == self._requests and "method" not in message:
                break
        if "error" in message:
            raise ServerFailed("%s: %s" % (method, message["error"].get("message")))
        return message.get("result")

    def tell(self, method, parameters):
        """Send what has no answer."""
        self._send(method=method, params=parameters)

    def _send(self, **message):
        body = json.dumps(dict(message, jsonrpc="2.0")).encode()
        stdin = self.background.process.stdin
        try:
            stdin.write(b"Content-Length: %d" % len(body) + HEAD_END + body)
            stdin.flush()
        except OSError:
            self._end()

    def _receive(self, deadline, method):
        """Return the next message."""
        stdout = self.background.process.stdout
        while True:
            head, end, rest = self._buffer.partition(HEAD_END)
            size = length_of(head) if end else 0
            if end and len(rest) >= size:
                self._buffer = rest[size:]
                return json.loads(rest[:size].decode())
            readable, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.time()))
            if not readable:
                self._give_up(method)
            data = os.read(stdout.fileno(), CHUNK)
            if not data:
                self._end()
            self._buffer += data

    def _end(self):
        self.lost = True
        raise ServerFailed(self.background.explain_end("the language server"))

    def _give_up(self, method):
        self.lost = True
        text = "the language server did not answer %s within %.0f s" % (method, self.seconds)
        raise ServerFailed(explain(text, self.background.said()))


def length_of(head):
    """Return how many bytes follow the head of a message."""
    for line in head.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length":
            return int(value)
    raise ServerFailed("the language server wrote what is no message: %r" % head[-200:])


class Job:
    """The server between the stages."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.server = None


def start(job):
    """Start the server, and let it say what it can do."""
    job.server = Server(job.seconds)
    asked = {"processId": os.getpid(), "rootUri": None, "capabilities": {}}
    can = job.server.ask("initialize", asked)["capabilities"]
    for capability in ("completionProvider", "hoverProvider"):
        if not can.get(capability):
            raise AssertionError("the language server has no %s" % capability)
    job.server.tell("initialized", {})
    text = "%s\njson.dumps\n%s" % (IMPORT, USE)
    document = {"uri": CELL, "languageId": "python", "version": 1, "text": text}
    job.server.tell("textDocument/didOpen", {"textDocument": document})


def completion(job):
    """Ask for the names that can follow."""
    result = job.server.ask("textDocument/completion", position(2, len(USE))) or {}
    items = result.get("items", []) if isinstance(result, dict) else result
    labels = [item["label"] for item in items]
    if not any(label.startswith("kwlist") for label in labels):
        raise AssertionError("%s is completed to %s" % (USE, ", ".join(labels) or "nothing"))


def hover(job):
    """Ask for the explanation of a function."""
    result = job.server.ask("textDocument/hover", position(1, len("json.d"))) or {}
    text = json.dumps(result.get("contents", ""))
    if "Serialize" not in text:
        raise AssertionError("json.dumps is explained by %s" % text)


def position(line, character):
    """Return a place in the cell."""
    return {
        "textDocument": {"uri": CELL},
        "position": {"line": line, "character": character},
    }


STAGES = [("language-server", start), ("lsp-completion", completion), ("lsp-hover", hover)]


def run_stages(job, report):
    """Run all stages that are asked for; the report says how each one went."""
    has_started = True
    for name, function in STAGES:
        if name in report.facts["left_out"]:
            continue
        if not has_started or (job.server is not None and job.server.lost):
            report.skip(name, "the language server was not running")
        elif not report.run(name, function, job) and function is start:
            has_started = False
    report.write(complete=True)


if __name__ == "__main__":
    options = json.loads(os.environ[OPTIONS])
    report = Report([name for name, _ in STAGES])
    report.facts["left_out"] = [*options["left_out"]]
    for name, why in options["left_out"].items():
        report.skip(name, why)
    job = Job(options["seconds"])
    run_stages(job, report)
    if job.server is not None:
        job.server.background.kill()
