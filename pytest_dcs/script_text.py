"""The text of a shell script: its interpreter, and its words without comments and here-documents.

It need not understand all of the language: what it does not understand, it does not report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = frozenset({"ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"})
SEPARATORS = frozenset(";&|()`\n")
"""What ends a command outside of quotes."""
REDIRECTIONS = frozenset("<>")
MARKS = SEPARATORS | REDIRECTIONS | {"\r"}
LEADING_WORDS = frozenset({"!", "do", "elif", "else", "if", "then", "time", "until", "while", "{"})
"""Words after which another command begins."""
WRAPPERS = frozenset({"env", "exec", "nice", "nohup", "setsid", "sudo", "timeout"})
"""Programs that run the command of their arguments."""
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
DURATION = re.compile(r"\d+(\.\d+)?[smhd]?")
HERE_DOCUMENT = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]+)'|\"([^\"\n]+)\"|\\?([\w.!@%+-]+))")


@dataclass(frozen=True)
class Word:
    """One word of a script, without its quotes, and the line where it begins."""

    line: int
    text: str


class Mark(Word):
    """A character that stands between words and has a meaning."""


@dataclass(frozen=True)
class Command:
    """One simple command: its words, without assignments and redirections."""

    words: tuple[Word, ...]

    @property
    def program(self) -> str:
        """What is run, by its name alone, through `sudo` and the like; empty where that is open."""
        words = [word.text for word in self.words]
        while words and (words[0] in LEADING_WORDS or ASSIGNMENT.match(words[0])):
            words.pop(0)
        while words and _name(words[0]) in WRAPPERS:
            words.pop(0)
            while words and (
                words[0].startswith("-")
                or ASSIGNMENT.match(words[0])
                or DURATION.fullmatch(words[0])
            ):
                words.pop(0)
        return _name(words[0]) if words else ""

    @property
    def line(self) -> int:
        """The line where it begins."""
        return self.words[0].line


def interpreter(content: bytes) -> tuple[str, ...]:
    """Return the program that the first line names and its one argument; empty without a `#!`.

    As Linux reads it, where a carriage return is part of the name:
    https://man7.org/linux/man-pages/man2/execve.2.html
    """
    first = content.partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return ()
    line = first[2:].decode(errors="surrogateescape").strip(" \t")
    if not line:
        return ()
    words = re.split(r"[ \t]+", line, maxsplit=1)
    # A name without a directory is looked for in the working directory, never on PATH.
    program = words[0] if "/" in words[0] else f"./{words[0]}"
    return (program, *words[1:])


def is_shell_script(content: bytes) -> bool:
    """Tell whether a shell reads the script."""
    words = " ".join(interpreter(content)).split()
    names = [_name(word) for word in words if not word.startswith("-")]
    if names[:1] == ["env"]:
        names.pop(0)
    return not names or names[0] in SHELLS


def first_carriage_return(content: bytes) -> int | None:
    """Return the first line that ends as on Windows, where its interpreter minds."""
    if content.startswith(b"#!") and content.partition(b"\n")[0].endswith(b"\r"):
        return 1
    if not is_shell_script(content):
        return None
    return next((token.line for token in _tokens(content) if token.text == "\r"), None)


def words_of(content: bytes) -> Iterator[Word]:
    """Yield the words of a shell script, those of commands and of redirections."""
    return (token for token in _tokens(content) if not isinstance(token, Mark))


def commands_of(content: bytes) -> Iterator[Command]:
    """Yield the simple commands of a shell script."""
    words: list[Word] = []
    is_target = False
    for token in _tokens(content):
        if not isinstance(token, Mark):
            if not is_target:
                words.append(token)
            is_target = False
        elif token.text in REDIRECTIONS:
            is_target = True
        elif token.text in SEPARATORS:
            if words:
                yield Command(tuple(words))
            words, is_target = [], False
    if words:
        yield Command(tuple(words))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


class _Reader:
    """A place in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.line = 1

    def __bool__(self) -> bool:
        return self.place < len(self.text)

    @property
    def next(self) -> str:
        return self.text[self.place]

    def take(self, number: int = 1) -> str:
        taken = self.text[self.place : self.place + number]
        self.place += number
        self.line += taken.count("\n")
        return taken

    def take_until(self, end: str) -> str:
        """Take what stands before the next `end`, or all that there is."""
        place = self.text.find(end, self.place)
        return self.take((place if place >= 0 else len(self.text)) - self.place)


def _tokens(content: bytes) -> Iterator[Word]:
    """Yield words and marks."""
    reader = _Reader(content.decode(errors="replace"))
    here_documents: list[tuple[str, bool]] = []
    while reader:
        character = reader.next
        if character in " \t":
            reader.take()
        elif reader.text.startswith("\\\n", reader.place):
            reader.take(2)
        elif character == "#":
            reader.take_until("\n")
        elif reader.text.startswith("<<<", reader.place):
            yield Mark(reader.line, reader.take(3)[:1])
        elif found := HERE_DOCUMENT.match(reader.text, reader.place):
            reader.take(len(found[0]))
            here_documents.append((found[2] or found[3] or found[4], bool(found[1])))
        elif character in MARKS:
            yield Mark(reader.line, reader.take())
        else:
            yield _word(reader)
        if character == "\n":
            for end, is_indented in here_documents:
                _skip_here_document(reader, end, is_indented=is_indented)
            here_documents.clear()


def _skip_here_document(reader: _Reader, end: str, *, is_indented: bool) -> None:
    """Go behind the line that ends a here-document, nowhere if there is none: `1 << 2`."""
    indent = r"\t*" if is_indented else ""
    found = re.compile(rf"^{indent}{re.escape(end)}\r?$", re.MULTILINE).search(
        reader.text, reader.place
    )
    if found:
        reader.take(found.end() - reader.place)


def _word(reader: _Reader) -> Word:
    line, parts = reader.line, []
    while reader and reader.next not in " \t" and reader.next not in MARKS:
        character = reader.take()
        if character == "\\":
            parts.append(reader.take().strip("\n"))
        elif character == "'":
            parts.append(reader.take_until("'"))
            reader.take()
        elif character == '"':
            parts.append(_double_quoted(reader))
        else:
            parts.append(character)
    return Word(line, "".join(parts))


def _double_quoted(reader: _Reader) -> str:
    parts = []
    while reader and (character := reader.take()) != '"':
        parts.append(reader.take() if character == "\\" else character)
    return "".join(parts)
