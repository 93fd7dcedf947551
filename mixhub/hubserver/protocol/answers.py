"""The fields of the API's answers, named as Hub clients parse them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pygit2

from mixhub.hubserver.protocol.frontmatter import read_metadata
from mixhub.hubserver.storage.repo import Entry, Repo

_ABSENT_FEATURES = {"gated": False, "disabled": False, "downloads": 0, "likes": 0}


def facts(repo: Repo, head: pygit2.Commit) -> dict[str, Any]:
    """Describe a repo, as in every listing; part of it comes from its card."""
    metadata = read_metadata(repo.read_text(head, "README.md"))
    tags = metadata.get("tags")
    answer: dict[str, Any] = {
        "_id": repo.name.repo_id,
        "id": repo.name.repo_id,
        "author": repo.name.namespace,
        "sha": str(head.id),
        "createdAt": _date(repo.created_at),
        "lastModified": _date(head.commit_time),
        "private": repo.is_private,
        **_ABSENT_FEATURES,
        "tags": [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
        "cardData": metadata,
    }
    if repo.name.repo_type == "model":
        texts = {key: metadata.get(key) for key in ("library_name", "pipeline_tag")}
        answer |= {"modelId": repo.name.repo_id, **{key: text for key, text in texts.items() if isinstance(text, str)}}
    return answer


def sibling(entry: Entry) -> dict[str, Any]:
    """Describe a file in a repo's info."""
    return {"rfilename": entry.path, "size": entry.size, "blobId": entry.oid, **_lfs(entry, "sha256")}


def listing(repo: Repo, head: pygit2.Commit, entries: Iterable[Entry], *, expand: bool) -> list[dict[str, Any]]:
    """Describe files and folders; `expand` adds the last commit that changed each."""
    entries = list(entries)
    answer = [
        {
            "type": "directory" if entry.is_folder else "file",
            "oid": entry.oid,
            "size": entry.size,
            "path": entry.path,
            **_lfs(entry, "oid"),
        }
        for entry in entries
    ]
    if expand:
        last = repo.last_commits(head, [entry.path for entry in entries])
        for item in answer:
            fields = commit_fields(last[item["path"]])
            item["lastCommit"] = {key: fields[key] for key in ("id", "title", "date")}
    return answer


def commit_fields(commit: pygit2.Commit) -> dict[str, Any]:
    """Describe a commit in a history."""
    title, _, description = commit.message.partition("\n")
    return {
        "id": str(commit.id),
        "title": title,
        "message": description.strip(),
        "authors": [{"user": commit.author.name}],
        "date": _date(commit.commit_time),
    }


def _lfs(entry: Entry, hash_key: str) -> dict[str, Any]:
    if entry.sha256 is None:
        return {}
    return {"lfs": {hash_key: entry.sha256, "size": entry.size, "pointerSize": entry.pointer_size}}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
