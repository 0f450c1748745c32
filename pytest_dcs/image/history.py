"""What a step of a build can be called without telling what it says: its words may be secret."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from pytest_dcs.image.secrets import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dcs.image.layers import Layer, Layers

INSTRUCTION = re.compile(
    r"(?:/bin/sh -c #\(nop\)\s*)?"
    r"(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|RUN|SHELL|USER|VOLUME|WORKDIR)\s"
)
"""How a step begins: the classic builder writes a shell before it, and none before `RUN`.

https://github.com/moby/moby/blob/v24.0.0/builder/dockerfile/dispatchers.go
"""
SHELL = " -c "
NAME = re.compile(r"[\w.-]+(?==)")
PROGRAM = re.compile(r"(?:[\w./+-]*/)?([A-Za-z][\w.+-]{0,30})")
PATH = re.compile(r"~?/[\w./+-]*")
SETTING = re.compile(r"\w+=")
KEYWORDS = frozenset({"!", "{", "do", "elif", "else", "exec", "if", "then", "until", "while"})
OPERATORS = frozenset({"&&", "||", "|", ";", "&", "(", "\n"})
REDIRECTIONS = frozenset({">", ">>"})
MOST_WORDS = 8


def instruction_of(step: str) -> str:
    """Return the word of the Dockerfile that made a step; `RUN` where it does not say."""
    match = INSTRUCTION.match(step)
    return match[1] if match else "RUN"


def outline(step: str) -> str:
    """Return a step by its instruction and by words that are no secrets.

    Those are programs and the files that they write, names of variables, and where a copy goes:
    `RUN pip … > /root/.netrc …`. Everything else is an ellipsis.
    """
    instruction = instruction_of(step)
    rest = INSTRUCTION.sub("", step, count=1).removesuffix("# buildkit").strip()
    if instruction == "RUN":
        words = [*_words_of_script(rest.partition(SHELL)[2] or rest)]
    elif instruction in {"ADD", "COPY"}:
        words = [word for word in rest.split()[-1:] if PATH.fullmatch(word)]
    elif instruction in {"ARG", "ENV", "LABEL"}:
        words = NAME.findall(rest)[:1] or rest.split()[:1]
    else:
        words = []
    shown = " … ".join(words[:MOST_WORDS])
    if instruction in {"ADD", "COPY"}:
        return masked(f"{instruction} … {shown}".strip())
    return masked(f"{instruction} {shown} …".replace("  ", " "))


def layer_in_words(layers: Layers, layer: Layer, number: int) -> str:
    """Return which layer that is, and the outline of the step that made it if the image says."""
    step = layers.created_by(layer)
    made = f" ({outline(step)})" if step else ""
    return f"layer {number} of {len(layers.layers)}{made}"


def _words_of_script(script: str) -> Iterator[str]:
    """Yield the programs that a shell script starts, and the files that it writes."""
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    expects = "program"
    try:
        for token in lexer:
            if token in OPERATORS or (expects == "program" and token in KEYWORDS):
                expects = "program"
            elif token in REDIRECTIONS:
                expects = "file"
            elif expects == "file":
                yield f"> {token}" if PATH.fullmatch(token) else "> …"
                expects = ""
            elif expects == "program" and not SETTING.match(token):
                program = PROGRAM.fullmatch(token)
                if program:
                    yield program[1]
                expects = ""
    except ValueError:  # quotes that do not end, as in a here-document
        return
