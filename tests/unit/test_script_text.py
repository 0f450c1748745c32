"""Of a shell script's text only what a shell would run is looked at."""

from __future__ import annotations

import pytest

from pytest_dcs.script_text import (
    commands_of,
    first_carriage_return,
    interpreter,
    is_shell_script,
    words_of,
)


def programs(script: str) -> list[tuple[int, str]]:
    return [(command.line, command.program) for command in commands_of(script.encode())]


@pytest.mark.parametrize(
    ("first_line", "words"),
    [
        (b"#!/bin/bash\n", ("/bin/bash",)),
        (b"#! /bin/bash -e -x \n", ("/bin/bash", "-e -x")),
        (b"#!/usr/bin/env python3\n", ("/usr/bin/env", "python3")),
        (b"#!/bin/bash\r\n", ("/bin/bash\r",)),
        (b"#!bash\n", ("./bash",)),
        (b"#!\n", ()),
        (b"#!", ()),
        (b"echo\n#!/bin/bash\n", ()),
        (b"\xef\xbb\xbf#!/bin/bash\n", ()),
        (b"", ()),
    ],
)
def test_the_first_line_is_read_as_linux_reads_it(
    first_line: bytes, words: tuple[str, ...]
) -> None:
    assert interpreter(first_line) == words


@pytest.mark.parametrize(
    ("first_line", "is_shell"),
    [
        (b"", True),
        (b"#!/bin/bash -e\n", True),
        (b"#!/usr/bin/env bash\n", True),
        (b"#!/usr/bin/env -S bash -e\n", True),
        (b"#!/bin/sh\r\n", True),
        (b"#!/databricks/python3/bin/python\n", False),
        (b"#!/usr/bin/env python3\n", False),
        (b"#!/usr/bin/perl -w\n", False),
    ],
)
def test_shell_scripts_are_told_from_others(first_line: bytes, is_shell: bool) -> None:
    assert is_shell_script(first_line) is is_shell


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("run it", [(1, "run")]),
        ("# run it\n\nrun it # or not\n", [(3, "run")]),
        ("one; two && three || four | five & six", "one two three four five six"),
        ("if one; then\n  two\nelif three; then four; else five; fi", "one two three four five fi"),
        ("A=1 B=$C run", "run"),
        ("sudo -n A=b /usr/bin/run", "run"),
        ("timeout 60s nohup nice -5 run &", "run"),
        ("(run)\n{ walk; }", "run walk }"),
        ("x=$(run it)", "run"),
        ("x=`run it`", "run"),
        ("echo \"run; run\" 'run\nrun' ; walk", [(1, "echo"), (2, "walk")]),
        ('echo "a \\" b"; walk', "echo walk"),
        ("echo \\; walk", "echo"),
        ("echo \\\n  run\nwalk", [(1, "echo"), (3, "walk")]),
        ("cat <<END >file; walk\nrun\nEND\ncrawl", [(1, "cat"), (1, "walk"), (4, "crawl")]),
        ("cat <<-'END X'\nrun\n\tEND X\ncrawl", [(1, "cat"), (4, "crawl")]),
        ("cat <<A <<B\nrun\nA\nrun\nB\ncrawl", [(1, "cat"), (6, "crawl")]),
        ("cat <<<END\nrun\nEND", [(1, "cat"), (2, "run"), (3, "END")]),
        ("echo $((1 << 2))\nrun", "echo 1 run"),
        ("echo $# ${a#b} a#b\nrun", "echo run"),
        ("run >out 2>&1 </dev/null", [(1, "run"), (1, "1")]),
        ("run 'never ends\nwalk", "run"),
        ("A=1", ""),
        ("", ""),
    ],
)
def test_commands_are_found_without_comments_and_here_documents(
    script: str, found: list[tuple[int, str]] | str
) -> None:
    commands = [each for each in programs(script) if each[1]]
    if isinstance(found, str):
        assert " ".join(program for _, program in commands) == found
    else:
        assert commands == found


def test_words_are_those_of_redirections_too() -> None:
    words = [word.text for word in words_of(b"echo 'a b' >>/etc/x # c\n")]
    assert words == ["echo", "a b", "/etc/x"]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (b"#!/bin/bash\r\necho\r\n", 1),
        (b"#!/bin/bash\necho\r\n", 2),
        (b"echo\n\r\n", 2),
        (b"#!/bin/bash\n# a comment\r\necho\n", None),
        (b"#!/bin/bash\ncat >page <<END\nHTTP/1.1 200\r\nEND\n", None),
        (b"#!/bin/bash\nprintf 'a\\r\\n'\n", None),
        (b"#!/databricks/python3/bin/python\r\n", 1),
        (b"#!/databricks/python3/bin/python\nprint()\r\n", None),
        (b"", None),
    ],
)
def test_a_carriage_return_is_found_where_it_does_harm(script: bytes, line: int | None) -> None:
    assert first_carriage_return(script) == line
