"""A client of Jupyter kernels that needs nothing of the image, so that it tells what is broken.

Lies beside every probe inside the container: standard library only, Python 3.7 grammar. It speaks
the messages of https://jupyter-client.readthedocs.io/en/stable/messaging.html over version 3.0 of
https://rfc.zeromq.org/spec/23/ (ZMTP) on Unix sockets.
"""

import hashlib
import hmac
import json
import os
import select
import socket
import struct
import time
import uuid

from dcs_processes import explain

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
MORE, LONG, COMMAND = 1, 2, 4
SHORT_SIZE = 255
SUBSCRIBE_ALL = b"\x01"
DELIMITER = b"<IDS|MSG>"
CHUNK = 1 << 16
POLL_SECONDS = 0.01
READY_SECONDS = 0.5
"""How long a kernel has to publish its state before it is asked again."""

CHANNELS = {"shell": b"DEALER", "control": b"DEALER", "iopub": b"SUB"}
PORTS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
"""With the transport ipc, a port is the end of a socket's path."""


class KernelLost(Exception):
    """The kernel has ended, or it does not answer."""


class CellFailed(Exception):
    """A cell raised."""


class Peer:
    """One connection to a socket of the kernel."""

    def __init__(self, path, kind, seconds):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.buffer = b""
        self.parts = []
        try:
            self.socket.connect(path)
            self._shake_hands(kind)
        except (EOFError, OSError):
            self.socket.close()
            raise
        if kind == b"SUB":
            self.socket.sendall(frame(SUBSCRIBE_ALL, 0))

    def fileno(self):
        """Make it fit for `select`."""
        return self.socket.fileno()

    def send(self, parts):
        """Send one message of several parts."""
        frames = [frame(part, MORE) for part in parts[:-1]]
        self.socket.sendall(b"".join(frames) + frame(parts[-1], 0))

    def receive(self):
        """Return the messages that have arrived; raises `EOFError` at the end."""
        self._fill()
        messages = []
        for flags, body in iter(self._take_frame, None):
            if flags & COMMAND:
                continue
            self.parts.append(body)
            if not flags & MORE:
                messages.append(self.parts)
                self.parts = []
        return messages

    def _shake_hands(self, kind):
        """Greet; libzmq drops a connection that says more before it was greeted itself."""
        self.socket.sendall(GREETING)
        while len(self.buffer) < len(GREETING):
            self._fill()
        self.buffer = self.buffer[len(GREETING) :]
        ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        self.socket.sendall(frame(ready, COMMAND))
        while self._take_frame() is None:
            self._fill()

    def _fill(self):
        data = self.socket.recv(CHUNK)
        if not data:
            raise EOFError
        self.buffer += data

    def _take_frame(self):
        """Return the next frame's flags and body, None while it is not there as a whole."""
        flags = self.buffer[0] if self.buffer else 0
        start = 9 if flags & LONG else 2
        end = start + int.from_bytes(self.buffer[1:start], "big")
        if len(self.buffer) < max(start, end):
            return None
        body, self.buffer = self.buffer[start:end], self.buffer[end:]
        return flags, body


def frame(body, flags):
    """Return one frame."""
    if len(body) > SHORT_SIZE:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return struct.pack(">BB", flags, len(body)) + body


class Answer:
    """What a kernel sends because of one request."""

    def __init__(self):
        self.reply = None
        self.idle = False
        self.outputs = []

    def has_reply(self):
        """Whether the reply itself has come."""
        return self.reply is not None

    def is_complete(self):
        """Whether nothing more will come."""
        return self.has_reply() and self.idle

    def of(self, kind):
        """Return the contents of all outputs of a kind."""
        return [content for each, content in self.outputs if each == kind]

    def printed(self):
        """Return what was printed."""
        return "".join(content["text"] for content in self.of("stream"))

    def data(self, mime_type):
        """Return what was shown in a form, as the kernel sends it."""
        shown = self.of("execute_result") + self.of("display_data")
        return [content["data"][mime_type] for content in shown if mime_type in content["data"]]

    def forms(self):
        """Return in which forms something was shown."""
        shown = self.of("execute_result") + self.of("display_data")
        return sorted({mime_type for content in shown for mime_type in content["data"]})


class Connection:
    """The file that tells a kernel where to listen and with what key, and the sockets' folder."""

    def __init__(self, directory, owner):
        self.key = uuid.uuid4().hex
        self.file = os.path.join(directory, hashlib.sha256(self.key.encode()).hexdigest() + ".json")
        self.folder = os.path.join(directory, self.key[:8])
        os.mkdir(self.folder, 0o700)
        self.prefix = os.path.join(self.folder, "kernel")
        self.crash_file = os.path.join(self.folder, "crash")
        document = {
            "transport": "ipc",
            "ip": self.prefix,
            "key": self.key,
            "signature_scheme": "hmac-sha256",
            "kernel_name": "python3",
        }
        document.update({"%s_port" % channel: port for channel, port in PORTS.items()})
        with open(os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump(document, file)
        for path in (self.folder, self.file):
            os.chown(path, *owner)

    def path(self, channel):
        """Return the path of a channel's socket."""
        return "%s-%d" % (self.prefix, PORTS[channel])


class Kernel:
    """A kernel that runs in the background; no message takes it longer than some seconds."""

    def __init__(self, background, connection, seconds):
        self.background = background
        self.seconds = seconds
        self.session = uuid.uuid4().hex
        self.lost = False
        self._key = connection.key.encode()
        self._crash_file = connection.crash_file
        self._answers = {}
        self._peers = {}
        self._connect(connection)

    def is_running(self):
        """Whether it can be asked for more."""
        return not self.lost and self.background.is_running()

    def wait_until_ready(self):
        """Return how the kernel introduces itself, once it also publishes its state."""
        deadline = time.time() + self.seconds
        while True:
            answer = self.send("shell", "kernel_info_request", {})
            self._wait(answer.has_reply, deadline, "kernel_info_request")
            until = min(deadline, time.time() + READY_SECONDS)
            while not answer.idle and time.time() < until:
                self._receive(until - time.time())
            if answer.idle:
                return answer.reply
            if time.time() >= deadline:
                self._give_up("publish its state")

    def keep_stacks(self):
        """Let the kernel write where it crashes; it captures its own stderr."""
        code = "import faulthandler\nfaulthandler.enable(open(%r, 'w'), False)"
        request = dict(cell(code % self._crash_file), silent=True, store_history=False)
        self.ask("execute_request", request)

    def execute(self, code):
        """Return the answer to a cell; raises `CellFailed` where it raised."""
        answer = self.ask("execute_request", cell(code))
        if answer.reply["status"] != "ok":
            name = answer.reply.get("ename", "it was given up")
            text = "%s: %s" % (name, answer.reply.get("evalue", ""))
            raise CellFailed("\n".join([text, *answer.printed().splitlines()[-1:]]))
        return answer

    def ask(self, kind, content):
        """Return the answer to a request."""
        return self.finish(self.send("shell", kind, content), kind)

    def finish(self, answer, kind):
        """Return an answer when it is complete."""
        self._wait(answer.is_complete, time.time() + self.seconds, kind)
        return answer

    def wait_for_print(self, answer):
        """Return when the cell has printed something."""
        self._wait(answer.printed, time.time() + self.seconds, "execute_request")

    def send(self, channel, kind, content):
        """Send a request, and return its answer, still empty."""
        header = {
            "msg_id": uuid.uuid4().hex,
            "session": self.session,
            "username": "pytest-dcs",
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "msg_type": kind,
            "version": "5.3",
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        signature = hmac.new(self._key, b"".join(parts), hashlib.sha256).hexdigest().encode()
        try:
            self._peers[channel].send([DELIMITER, signature, *parts])
        except OSError:
            self._end()
        answer = self._answers[header["msg_id"]] = Answer()
        return answer

    def _connect(self, connection):
        deadline = time.time() + self.seconds
        for channel, kind in CHANNELS.items():
            while channel not in self._peers:
                try:
                    self._peers[channel] = Peer(connection.path(channel), kind, self.seconds)
                except (EOFError, OSError):
                    if not self.background.is_running():
                        self._end()
                    if time.time() > deadline:
                        self._give_up("open its sockets")
                    time.sleep(POLL_SECONDS)

    def _wait(self, is_done, deadline, kind):
        while not is_done():
            left = deadline - time.time()
            if left <= 0:
                self._give_up("answer %s" % kind)
            self._receive(left)

    def _receive(self, seconds):
        """Sort what arrives within some seconds to the requests that it belongs to."""
        readable, _, _ = select.select(list(self._peers.values()), [], [], max(0.0, seconds))
        for peer in readable:
            try:
                messages = peer.receive()
            except (EOFError, OSError):
                self._end()
            for parts in messages:
                self._sort(parts[parts.index(DELIMITER) + 2 :])

    def _sort(self, parts):
        header, parent, _, content = [json.loads(part.decode()) for part in parts[:4]]
        answer = self._answers.get(parent.get("msg_id"))
        if answer is None:
            return
        if header["msg_type"].endswith("_reply"):
            answer.reply = content
        elif header["msg_type"] == "status":
            answer.idle = content["execution_state"] == "idle"
        else:
            answer.outputs.append((header["msg_type"], content))

    def _end(self):
        self.lost = True
        raise KernelLost(self.background.explain_end("the kernel", self._stack()))

    def _give_up(self, what):
        self.lost = True
        self.background.abort()
        text = "the kernel did not %s within %.0f s" % (what, self.seconds)
        raise KernelLost(explain(text, self.background.said() + self._stack()))

    def _stack(self):
        """Return where the kernel has crashed, if it wrote that."""
        try:
            with open(self._crash_file) as file:
                return file.read()
        except OSError:
            return ""


def cell(code):
    """Return the content of a request to run a cell.

    After an error a kernel would else also give up what is asked a moment later.
    """
    return {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": False,
    }
