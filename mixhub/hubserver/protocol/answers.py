"""The shapes of the API's answers: the field names are those that Hub clients parse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pygit2
from starlette.responses import Response

from mixhub.hubserver.protocol.frontmatter import read_metadata
from mixhub.hubserver.storage.repo import Entry, Ref, Repo


def facts(repo: Repo, head: pygit2.Commit) -> dict[str, Any]:
    """What is said of a repo wherever it is listed; part of it stands in its card."""
    metadata = read_metadata(repo.read_text(head, "README.md"))
    tags = metadata.get("tags")
    answer: dict[str, Any] = {
        "_id": repo.name.repo_id,
        "id": repo.name.repo_id,
        "author": repo.name.namespace,
        "sha": str(head.id),
        "createdAt": date_text(repo.created_at),
        "lastModified": date_text(head.commit_time),
        "private": repo.is_private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
        "cardData": metadata,
    }
    if repo.name.repo_type == "model":
        answer["modelId"] = repo.name.repo_id
        for key in ("library_name", "pipeline_tag"):
            if isinstance(metadata.get(key), str):
                answer[key] = metadata[key]
    return answer


def sibling(entry: Entry) -> dict[str, Any]:
    """A file in a repo's info, with its size and hashes."""
    answer: dict[str, Any] = {"rfilename": entry.path, "size": entry.size, "blobId": entry.oid}
    if entry.pointer is not None:
        pointer = entry.pointer
        answer["lfs"] = {"sha256": pointer.sha256, "size": pointer.size, "pointerSize": pointer.pointer_size}
    return answer


def entry_fields(entry: Entry, last: pygit2.Commit | None) -> dict[str, Any]:
    """A file or folder in a listing, with the last commit that changed it when that is known."""
    kind = "directory" if entry.is_folder else "file"
    answer: dict[str, Any] = {"type": kind, "oid": entry.oid, "size": entry.size, "path": entry.path}
    if entry.pointer is not None:
        pointer = entry.pointer
        answer["lfs"] = {"oid": pointer.sha256, "size": pointer.size, "pointerSize": pointer.pointer_size}
    if last is not None:
        answer["lastCommit"] = {"id": str(last.id), "title": _title(last), "date": date_text(last.commit_time)}
    return answer


def ref_fields(ref: Ref) -> dict[str, str]:
    """A branch or tag."""
    return {"name": ref.name, "ref": ref.ref, "targetCommit": ref.commit}


def commit_fields(item: pygit2.Commit) -> dict[str, Any]:
    """A commit in a history."""
    _, _, description = item.message.partition("\n")
    return {
        "id": str(item.id),
        "title": _title(item),
        "message": description.strip(),
        "authors": [{"user": item.author.name}],
        "date": date_text(item.commit_time),
    }


def _title(item: pygit2.Commit) -> str:
    return item.message.partition("\n")[0]


def date_text(seconds: float) -> str:
    """A time in seconds since 1970, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def json_response(value: object) -> Response:
    """A JSON answer whose values may have come from YAML."""
    # YAML has dates, as values and as keys; JSON has none.
    text = json.dumps(value, default=str, skipkeys=True, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, media_type="application/json")
