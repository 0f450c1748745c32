"""How the workspace refuses a request."""

from __future__ import annotations

from http import HTTPStatus

BAD_REQUEST = HTTPStatus.BAD_REQUEST


class Refusal(Exception):
    """An answer that is an error: its status, the platform's word for it, and a sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


def invalid(message: str) -> Refusal:
    """Return a refusal of a value."""
    return Refusal(BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)


def malformed(message: str) -> Refusal:
    """Return a refusal of a body's shape."""
    return Refusal(BAD_REQUEST, "MALFORMED_REQUEST", f"Could not parse request object: {message}")


def missing(message: str) -> Refusal:
    """Return a refusal because something is not there."""
    return Refusal(HTTPStatus.NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", message)
