"""The body of a commit: one JSON object a line, read as it arrives."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from mixhub.hubserver.protocol.exchange import parse_object
from mixhub.hubserver.storage.names import check_path, check_sha256
from mixhub.hubserver.storage.refusals import BadRequest, TooLarge
from mixhub.hubserver.storage.repo import Change, DeleteFile, DeleteFolder, PutFile, PutLarge, Repo

_LINE_MOST_BYTES = 128 * 2**20


class CommitReader:
    """Reads the lines of a commit; contents go to git at once, so that memory holds one line.

    Args:
        repo: where the contents of ordinary files are stored. Until the commit nothing names them.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._rest = bytearray()
        self._header: dict[str, Any] | None = None
        self.changes: list[Change] = []

    def feed(self, data: bytes) -> None:
        """Takes the next piece of the body; raises BadRequest or TooLarge."""
        start = len(self._rest)
        self._rest += data
        if self._rest.find(b"\n", start) >= 0:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._line(line)
        if len(self._rest) > _LINE_MOST_BYTES:
            raise TooLarge(f"a line of the commit has more than {_LINE_MOST_BYTES} bytes; send it as a large file")

    def finish(self) -> None:
        """Takes the end of the body; raises BadRequest when there was no header."""
        self._line(bytes(self._rest))
        self._rest.clear()
        if self._header is None:
            raise BadRequest("the commit has no header")

    @property
    def message(self) -> str:
        """Title, and after a blank line the description."""
        header = self._header or {}
        summary, description = header.get("summary"), header.get("description")
        if not isinstance(summary, str) or not summary.strip():
            raise BadRequest("the commit's header needs a summary")
        return f"{summary}\n\n{description}" if isinstance(description, str) and description else summary

    @property
    def parent(self) -> str | None:
        """The commit at which the branch must be, if the client says so."""
        parent = (self._header or {}).get("parentCommit")
        if parent is not None and not isinstance(parent, str):
            raise BadRequest("parentCommit must be text")
        return parent or None

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        item = parse_object(line)
        key, value = item.get("key"), item.get("value")
        if not isinstance(value, dict):
            raise BadRequest(f"a line of the commit has no value: {key!r}")
        if key == "header":
            self._header = value
        else:
            self.changes.append(self._change(key, value))

    def _change(self, key: object, value: Mapping[str, Any]) -> Change:
        if key == "deletedFolder":
            return DeleteFolder(check_path(str(value.get("path", "")).rstrip("/")))
        path = check_path(value.get("path"))
        if key == "file":
            return PutFile(path, self._repo.write_blob(_content(path, value)))
        if key == "lfsFile":
            size = value.get("size")
            return PutLarge(path, check_sha256(value.get("oid")), size if isinstance(size, int) else None)
        if key == "deletedFile":
            return DeleteFile(path)
        raise BadRequest(f"this hub knows no commit operation {key!r}")


def _content(path: str, value: Mapping[str, Any]) -> bytes:
    content = value.get("content")
    if not isinstance(content, str):
        raise BadRequest(f"{path!r} has no content")
    if value.get("encoding", "base64") != "base64":
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{path!r}: the content is not base64") from None
