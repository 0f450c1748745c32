"""What the SDK would send: a request's keys and types, read off the SDK's own code."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from typing import TYPE_CHECKING, Any

from tests.remote.standin.refusals import malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SIMPLE = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def check_call(
    call: Callable[..., Any],
    body: Mapping[str, Any],
    *,
    required: tuple[str, ...] = (),
    also: Mapping[str, Any] | None = None,
    camel: bool = False,
) -> None:
    """Refuse a body that this method of the SDK would not have sent.

    `required` are further keys that must be there, `also` further ones that may be, with their
    types; `camel` is for keys like `clusterId`.
    """
    hints = typing.get_type_hints(call)
    parameters = inspect.signature(call).parameters
    needed = {
        name
        for name, parameter in parameters.items()
        if name != "self" and parameter.default is inspect.Parameter.empty
    }
    known = {_spelled(name, camel=camel): hints[name] for name in parameters if name != "self"}
    known.update(also or {})
    wanted = {_spelled(name, camel=camel) for name in needed} | set(required)
    problems = [f"{key} is required" for key in sorted(wanted) if body.get(key) in (None, "")]
    problems += _problems_of_keys(known, body, "")
    if problems:
        raise malformed("; ".join(problems))


def check_query(
    call: Callable[..., Any], query: Mapping[str, list[str]], *, camel: bool = False
) -> None:
    """Refuse a query that this method of the SDK would not have sent."""
    body = {key: values[0] for key, values in query.items() if "." not in key}
    dotted = {key.partition(".")[0] for key in query if "." in key}
    parameters = inspect.signature(call).parameters
    known = {_spelled(name, camel=camel) for name in parameters}
    problems = [f"unknown key {key}" for key in sorted({*body, *dotted} - known)]
    problems += [
        f"{_spelled(name, camel=camel)} is required"
        for name, parameter in parameters.items()
        if name != "self"
        and parameter.default is inspect.Parameter.empty
        and _spelled(name, camel=camel) not in body
    ]
    if problems:
        raise malformed("; ".join(problems))


def problems_of(kind: type, body: Any, where: str) -> list[str]:
    """Return what a JSON object has that a dataclass of the SDK has not, or in another type."""
    if not isinstance(body, dict):
        return [f"{where} is no object"]
    return _problems_of_keys(typing.get_type_hints(kind), body, where)


def _problems_of_keys(known: Mapping[str, Any], body: Mapping[str, Any], where: str) -> list[str]:
    problems = []
    for key, value in body.items():
        place = f"{where}.{key}" if where else key
        if key not in known:
            problems.append(f"unknown key {place}")
        elif value is not None:
            problems += _problems_of_value(known[key], value, place)
    return problems


def _problems_of_value(hint: Any, value: Any, where: str) -> list[str]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        return _problems_of_value(arguments[0], value, where)
    if origin is list:
        return _problems_of_list(arguments[0], value, where)
    if origin is dict:
        return _problems_of_object(arguments[1], value, where)
    if dataclasses.is_dataclass(hint):
        return problems_of(typing.cast("type", hint), value, where)
    return _problems_of_simple(hint, value, where)


def _problems_of_list(hint: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where} is no list"]
    found = (
        _problems_of_value(hint, each, f"{where}[{number}]") for number, each in enumerate(value)
    )
    return [problem for problems in found for problem in problems]


def _problems_of_object(hint: Any, value: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    found = (_problems_of_value(hint, each, f"{where}.{key}") for key, each in value.items())
    return [problem for problems in found for problem in problems]


def _problems_of_simple(hint: Any, value: Any, where: str) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        names = [member.value for member in hint]
        return [] if value in names else [f"{where} is {value!r}, not one of {', '.join(names)}"]
    if hint in SIMPLE:
        fits = isinstance(value, (int, float) if hint is float else hint)
        if isinstance(value, bool) and hint is not bool:
            fits = False
        return [] if fits else [f"{where} is {type(value).__name__}, not {SIMPLE[hint]}"]
    return []


def _spelled(name: str, *, camel: bool) -> str:
    if not camel:
        return name
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
