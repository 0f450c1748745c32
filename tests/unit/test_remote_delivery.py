"""The checks' one file on its way to a cluster, and its document on the way back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from contextlib import redirect_stdout
from typing import Any

import pytest

from pytest_dcs.remote import delivery
from pytest_dcs.remote.delivery import Parcel

DOCUMENT = {"format": 1, "text": "ä" * 30_000, "arguments": ["--dcs-runtime=15.4", "a'b\"c\n"]}


def packed(text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("__main__.py", text)
    return content.getvalue()


def parcel(text: str = "", seconds: float = 60.0) -> Parcel:
    given = text or (
        "import json, sys; document = {'format': 1, 'text': chr(228) * 30000, 'arguments': "
        "sys.argv[1:]}; print('started', file=sys.stderr); print(json.dumps(document))"
    )
    return Parcel(packed(given), ["--dcs-runtime=15.4", "a'b\"c\n"], seconds)


def run(sent: Parcel) -> str:
    done = subprocess.run(
        [sys.executable, "-"],
        input=sent.script(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_the_document_comes_back_out_of_a_log_with_other_lines() -> None:
    sent = parcel()
    lines = run(sent).splitlines()
    mixed = "\n".join(f"24/11/05 INFO Driver: {n}\n{line}" for n, line in enumerate(lines))
    assert sent.read(mixed) == (DOCUMENT, "")
    assert "started" in sent.without_output(mixed)
    assert sent.token not in sent.without_output(mixed)


def test_a_session_gets_it_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PIECE", 100)
    sent, names = parcel(), {"__name__": "__main__"}
    commands = list(sent.commands())
    assert len(commands) > 3
    written = io.StringIO()
    for command in commands:
        written = io.StringIO()
        with redirect_stdout(written):
            exec(command, names)
    assert sent.read(written.getvalue()) == (DOCUMENT, "")


def test_a_log_without_its_beginning_is_not_believed() -> None:
    sent = parcel("import json, random; print(json.dumps([random.random() for _ in range(900)]))")
    lines = run(sent).splitlines()
    document, problem = sent.read("\n".join(lines[3:]))
    assert document is None
    assert "the log was cut: " in problem


def test_a_log_without_its_end_is_not_believed() -> None:
    sent = parcel()
    document, problem = sent.read("\n".join(run(sent).splitlines()[:-1]))
    assert document is None
    assert "has no end" in problem


def test_a_damaged_line_is_not_believed() -> None:
    sent = parcel()
    lines = run(sent).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(f"{sent.token} 1 "))
    head, payload = lines[at][:60], lines[at][60:]
    lines[at] = head + ("B" if payload[0] == "A" else "A") + payload[1:]
    assert sent.read("\n".join(lines)) == (None, "the document was damaged on its way")


def test_lines_of_another_launch_are_not_mistaken_for_ours() -> None:
    assert parcel().read(run(parcel()))[0] is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("print('no document')", "status 0 and printed no document: no document"),
        ("import sys; sys.exit(4)", "status 4 and printed no document"),
        ("print('[1]')", "printed no document: [1]"),
    ],
)
def test_what_is_no_document_is_said(text: str, problem: str) -> None:
    sent = parcel(text)
    document, told = sent.read(run(sent))
    assert document is None
    assert problem in told


def test_checks_that_never_end_are_ended() -> None:
    sent = parcel("import time; time.sleep(600)", seconds=1.0)
    log = run(sent)
    assert "not finished within 1 seconds" in log
    assert "status 124" in sent.read(log)[1]


def test_neither_the_file_nor_the_arguments_are_in_its_repr() -> None:
    assert "runtime" not in repr(parcel())


def test_a_failing_run_still_gives_its_document() -> None:
    sent = parcel("import sys; print('{\"format\": 1}'); sys.exit(1)")
    read: tuple[Any, str] = sent.read(run(sent))
    assert read == (json.loads('{"format": 1}'), "")
