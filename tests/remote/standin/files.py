"""What users have laid into the workspace: its own files, those of DBFS, and volumes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from tests.remote.standin.refusals import BAD_REQUEST, Refusal, invalid, missing

USER = "someone@example.com"
BLOCK_LIMIT = 1 << 20
"""Bytes of one block for DBFS: https://docs.databricks.com/api/workspace/dbfs/addblock."""
IMPORT_LIMIT = 10 << 20
"""Bytes of a file that is imported: https://docs.databricks.com/api/workspace/workspace/import."""
NOTEBOOK = b"# Databricks notebook source"


@dataclass
class Files:
    """Files by their absolute paths as a node sees them: `/Workspace`, `/dbfs` and `/Volumes`."""

    content: dict[str, bytes] = field(default_factory=dict)
    notebooks: set[str] = field(default_factory=set)
    """Of these, the ones that were imported as notebooks, which no Python task can run."""
    folders: set[str] = field(
        default_factory=lambda: {
            "/Workspace",
            "/Workspace/Shared",
            "/Workspace/Users",
            f"/Workspace/Users/{USER}",
        }
    )
    _handles: dict[int, str] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def left(self) -> list[str]:
        """Return all that was laid down and not removed again."""
        own = {f"/Workspace/Users/{USER}", "/Workspace/Users", "/Workspace/Shared", "/Workspace"}
        return sorted({*self.content, *(self.folders - own)})

    def read(self, path: str) -> bytes:
        """Return a file by its name in a job or a cluster; raises `FileNotFoundError`."""
        place = on_node(path)
        if place not in self.content or place in self.notebooks:
            raise FileNotFoundError(path)
        return self.content[place]

    def mkdirs(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a folder and those above it."""
        path = _of_workspace(body["path"])
        if path in self.content:
            raise Refusal(BAD_REQUEST, "RESOURCE_ALREADY_EXISTS", f"Path ({path}) is a file.")
        self.folders |= {path, *map(str, PurePosixPath(path).parents[:-1])}
        return {}

    def import_json(self, body: dict[str, Any]) -> dict[str, Any]:
        """Import what a JSON body holds in base64."""
        content = _decoded(body.get("content", ""))
        return self.import_file(
            body["path"], content, body.get("format"), overwrite=bool(body.get("overwrite"))
        )

    def import_file(
        self, path: str, content: bytes, form: str | None, *, overwrite: bool
    ) -> dict[str, Any]:
        """Lay down a file, or a notebook where its form says so."""
        place = _of_workspace(path)
        parent = str(PurePosixPath(place).parent)
        if len(content) > IMPORT_LIMIT:
            raise Refusal(
                BAD_REQUEST, "MAX_NOTEBOOK_SIZE_EXCEEDED", "File size imported is too large."
            )
        if parent not in self.folders:
            raise missing(f"The parent folder ({parent}) does not exist.")
        if place in self.content and not overwrite:
            raise Refusal(BAD_REQUEST, "RESOURCE_ALREADY_EXISTS", f"Path ({path}) already exists.")
        self.content[place] = content
        self.notebooks.discard(place)
        is_source = form in {None, "SOURCE"} or (form == "AUTO" and content.startswith(NOTEBOOK))
        if is_source:
            self.notebooks.add(place)
        return {}

    def delete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Delete a file or a folder of the workspace."""
        path = _of_workspace(body["path"])
        below = {each for each in {*self.content, *self.folders} if each.startswith(f"{path}/")}
        if path not in self.content and path not in self.folders:
            raise missing(f"Path ({body['path']}) doesn't exist.")
        if below and not body.get("recursive"):
            raise Refusal(BAD_REQUEST, "DIRECTORY_NOT_EMPTY", f"Folder ({path}) is not empty")
        for each in {path, *below}:
            self.content.pop(each, None)
            self.folders.discard(each)
            self.notebooks.discard(each)
        return {}

    def status(self, path: str) -> dict[str, Any]:
        """Describe a file or a folder of the workspace."""
        place = _of_workspace(path)
        if place in self.folders:
            return {"object_type": "DIRECTORY", "path": path, "object_id": 1}
        if place not in self.content:
            raise missing(f"Path ({path}) doesn't exist.")
        kind = "NOTEBOOK" if place in self.notebooks else "FILE"
        return {"object_type": kind, "path": path, "object_id": 1, "size": len(self.content[place])}

    def dbfs_create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Open a file on DBFS for writing."""
        path = _of_dbfs(body["path"])
        if path in self.content and not body.get("overwrite"):
            raise Refusal(BAD_REQUEST, "RESOURCE_ALREADY_EXISTS", f"{body['path']} exists")
        handle = next(self._numbers)
        self._handles[handle] = path
        self.content[path] = b""
        return {"handle": handle}

    def dbfs_add_block(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add to a file that is open."""
        block = _decoded(body["data"])
        if len(block) > BLOCK_LIMIT:
            raise Refusal(BAD_REQUEST, "MAX_BLOCK_SIZE_EXCEEDED", "The block exceeds 1 MB")
        self.content[self._opened(body["handle"])] += block
        return {}

    def dbfs_close(self, body: dict[str, Any]) -> dict[str, Any]:
        """End the writing."""
        self._opened(body["handle"])
        del self._handles[body["handle"]]
        return {}

    def dbfs_put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write a small file at once."""
        handle = self.dbfs_create({**body})["handle"]
        self.dbfs_add_block({"handle": handle, "data": body.get("contents", "")})
        return self.dbfs_close({"handle": handle})

    def dbfs_delete(self, body: dict[str, Any]) -> dict[str, Any]:
        """Delete a file or a folder on DBFS; one that is not there is no fault."""
        path = _of_dbfs(body["path"])
        for each in [each for each in self.content if f"{each}/".startswith(f"{path}/")]:
            del self.content[each]
        return {}

    def put_volume(self, path: str, content: bytes, *, overwrite: bool) -> None:
        """Lay a file into a volume."""
        if path in self.content and not overwrite:
            raise Refusal(409, "ALREADY_EXISTS", f"The file {path} already exists")
        self.content[path] = content

    def delete_volume(self, path: str) -> None:
        """Delete a file of a volume."""
        if path not in self.content:
            raise missing(f"The file {path} does not exist")
        del self.content[path]

    def _opened(self, handle: int) -> str:
        if handle not in self._handles:
            raise missing(f"No file is open by the handle {handle}")
        return self._handles[handle]


def on_node(path: str) -> str:
    """Return where a node sees what a job or a cluster names so."""
    if path.startswith("dbfs:"):
        plain = path.removeprefix("dbfs:")
        return plain if plain.startswith("/Volumes/") else _of_dbfs(plain)
    return path if path.startswith(("/Volumes/", "/dbfs/")) else _of_workspace(path)


def _of_workspace(path: str) -> str:
    if not path.startswith("/"):
        message = f"Path ({path}) should start with '/'"
        raise invalid(message)
    plain = path.rstrip("/")
    return plain if plain.startswith("/Workspace") else f"/Workspace{plain}"


def _of_dbfs(path: str) -> str:
    if not path.startswith("/"):
        message = f"Path must be absolute: {path}"
        raise invalid(message)
    return f"/dbfs{path.rstrip('/')}"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        message = f"no base64: {error}"
        raise invalid(message) from None
