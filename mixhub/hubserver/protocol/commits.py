"""The body of a commit: one JSON object per line, read as it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixhub.hubserver.protocol.exchange import decode_base64, parse_object
from mixhub.hubserver.storage.names import check_path
from mixhub.hubserver.storage.refusals import BadRequest, TooLarge
from mixhub.hubserver.storage.repo import Repo

_MAX_LINE_BYTES = 128 * 2**20


class CommitReader:
    """Reads the lines of a commit. Contents go to git at once, so that memory holds one line.

    Args:
        repo: the repo to commit to.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._rest = bytearray()
        self._header: dict[str, Any] = {}
        self._puts: dict[str, str] = {}
        self._deletions: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body; raises BadRequest or TooLarge."""
        start = len(self._rest)
        self._rest += data
        if self._rest.find(b"\n", start) >= 0:
            *lines, rest = bytes(self._rest).split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._line(line)
        if len(self._rest) > _MAX_LINE_BYTES:
            raise TooLarge(f"a line of the commit has more than {_MAX_LINE_BYTES} bytes; send it as a large file")

    def commit(self, branch: str) -> str:
        """Make the commit when the body has ended, and return its id; raises a Refusal."""
        self._line(bytes(self._rest))
        summary, description = self._header.get("summary"), self._header.get("description")
        parent = self._header.get("parentCommit")
        if not isinstance(summary, str) or not summary.strip():
            raise BadRequest("the commit needs a header with a summary")
        if parent is not None and not isinstance(parent, str):
            raise BadRequest("'parentCommit' must be text")
        message = f"{summary}\n\n{description}" if isinstance(description, str) and description else summary
        return self._repo.commit(branch, self._puts, self._deletions, message, parent=parent or None)

    def _line(self, line: bytes) -> None:
        if not line.strip():
            return
        item = parse_object(line)
        key, value = item.get("key"), item.get("value")
        if not isinstance(value, dict):
            raise BadRequest(f"a line of the commit has no value: {key!r}")
        if key == "header":
            self._header = value
        elif key == "deletedFolder":
            self._deletions.append(check_path(str(value.get("path", "")).rstrip("/")) + "/")
        elif key == "deletedFile":
            self._deletions.append(check_path(value.get("path")))
        elif key in ("file", "lfsFile"):
            path = check_path(value.get("path"))
            if key == "file":
                self._puts[path] = self._repo.write_blob(_content(path, value))
            else:
                self._puts[path] = self._repo.write_pointer(path, value.get("oid"), value.get("size"))
        else:
            raise BadRequest(f"unknown commit operation {key!r}")


def _content(path: str, value: Mapping[str, Any]) -> bytes:
    content = value.get("content")
    if isinstance(content, str) and value.get("encoding", "base64") != "base64":
        return content.encode()
    return decode_base64(content, f"the content of {path!r}")
