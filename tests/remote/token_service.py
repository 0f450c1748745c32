"""Tokens for a registry: who may pull gets one that a real registry takes.

https://distribution.github.io/distribution/spec/auth/jwt/
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from .answering import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVICE, ISSUER = "registry of tests", "token service of tests"


def make_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """Make a certificate that signs itself; return its file and that of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the program openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@dataclass
class TokenService:
    """Answers `GET /token`; without a login it gives a token that allows nothing, as Hub does."""

    users: Mapping[str, str]
    certificate: Path
    key: Path
    refuses_the_unknown: bool = False
    """Give nobody without a login a token, as GitHub does for private images."""

    def __call__(self, request: Request) -> Reply:
        query = parse_qs(urlsplit(request.path).query)
        scopes = query.get("scope", [])
        authorization = request.headers.get("authorization", "")
        if not authorization:
            if self.refuses_the_unknown:
                return Reply(401)
            scopes = []
        elif not self._knows(authorization):
            return Reply(401)
        return Reply(body=json.dumps({"token": self.token(scopes)}).encode())

    def _knows(self, authorization: str) -> bool:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        user, _, password = pair.partition(":")
        return self.users.get(user) == password

    def token(self, scopes: list[str]) -> str:
        lines = self.certificate.read_text().splitlines()[1:-1]
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": "",
            "jti": uuid.uuid4().hex,
            "iat": now,
            "nbf": now - 60,
            "exp": now + 300,
            "access": access,
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(lines)]}
        signed = f"{encoded_json(header)}.{encoded_json(claims)}"
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=signed.encode(),
            check=True,
            capture_output=True,
        ).stdout
        return f"{signed}.{encoded(signature)}"


def encoded_json(document: Mapping[str, Any]) -> str:
    return encoded(json.dumps(document).encode())


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
