"""Files over HTTP: LFS uploads, and downloads with ranges."""

from __future__ import annotations

import re
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from mixhub.hubserver.protocol.exchange import Call, in_thread, repo_route, respond, route
from mixhub.hubserver.storage.names import check_sha256
from mixhub.hubserver.storage.refusals import BadRequest, EntryNotFound, NotFound, RepoNotFound
from mixhub.hubserver.storage.repo import Repo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LFS_JSON = "application/vnd.git-lfs+json"


def routes() -> list[Route]:
    """Return LFS and download routes. By the protocol an upload URL needs no token: the content is checked instead."""
    repos = ("/{namespace}/{name}", "/{kind}/{namespace}/{name}")
    return [
        *(route("POST", f"{repo}.git/info/lfs/objects/batch", batch) for repo in repos),
        Route("/lfs/{oid}/{size:int}", put_large, methods=["PUT"]),
        route("POST", "/lfs/{oid}/{size:int}/verify", verify, token=False),
        *(
            repo_route("GET", f"{repo}/{verb}/{{rev}}/{{path:path}}", download)
            for repo in repos
            for verb in ("resolve", "raw")
        ),
    ]


def batch(call: Call) -> object:
    """Return where to send each large file; a file that is stored already needs no action."""
    if not call.store.exists(call.name):
        raise RepoNotFound(f"{call.name} does not exist on this hub")
    operation, objects = call.body.get("operation"), call.body.get("objects")
    if operation not in ("upload", "download"):
        raise BadRequest("'operation' must be 'upload' or 'download'")
    if not isinstance(objects, list):
        raise BadRequest("'objects' must be a list")
    answers = [_batch_object(call, item, operation) for item in objects]
    answer = {"transfer": "basic", "objects": answers, "hash_algo": "sha256"}
    return JSONResponse(answer, media_type=_LFS_JSON)


async def put_large(request: Request) -> Response:
    """Store a large file; 400 if its content has another hash."""
    call = Call(request, token=False)
    oid, size = check_sha256(call.part("oid")), request.path_params["size"]
    async with in_thread(call.store.blobs.incoming) as incoming:
        async for block in call.blocks():
            if incoming.size + len(block) > size:
                raise BadRequest(f"the body is longer than the declared {size} bytes")
            await to_thread.run_sync(incoming.write, block)
        await to_thread.run_sync(call.store.blobs.keep, incoming, oid)
    return respond(None)


def verify(call: Call) -> object:
    """Check that a large file is stored with the size that the client sent."""
    size = call.store.blobs.size(call.part("oid"))
    if size is None or size != call.body.get("size", size):
        raise NotFound(f"the large file {call.part('oid')} is not here, or has another size")
    return JSONResponse({}, media_type=_LFS_JSON)


def download(call: Call, repo: Repo) -> object:
    """Send a file at a revision, or a range of it. The 404 for a missing file still names the commit."""
    head = repo.resolve(call.part("rev"))
    commit = {"X-Repo-Commit": str(head.id)}
    try:
        entry = repo.entry(head, call.part("path"))
    except EntryNotFound as problem:
        raise EntryNotFound(problem.message, commit) from None
    if entry.is_folder:
        raise EntryNotFound(f"{entry.path!r} is a folder", commit)
    if entry.sha256 is None:
        return _small_response(call.request, repo.read(entry), {**commit, "ETag": f'"{entry.oid}"'})
    path, etag = call.store.blobs.path(entry.sha256), f'"{entry.sha256}"'
    if not path.is_file():
        raise EntryNotFound(f"the content of {entry.path!r} is missing from the hub's storage", commit)
    headers = {**commit, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(entry.size)}
    filename = entry.path.rsplit("/", 1)[-1]
    return _BlobResponse(path, headers=headers, filename=filename, media_type="application/octet-stream")


class _BlobResponse(FileResponse):
    """A file sent in larger blocks than starlette's 64 KiB, each of which costs a hop to a thread."""

    chunk_size = 2**20


def _small_response(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    total, status = len(data), 200
    headers["Accept-Ranges"] = "bytes"
    if byte_range := parse_range(request.headers.get("range"), total):
        start, end = byte_range
        if start >= end:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{total}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        data, status = data[start:end], 206
    headers["Content-Length"] = str(len(data))
    return Response(b"" if request.method == "HEAD" else data, status, headers, media_type="text/plain; charset=utf-8")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the byte range [start, end) that a Range header asks of `size` bytes; it may be empty.

    None without a header, or with several ranges, which may be answered with the whole file.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    return int(match[1]), min(size, int(match[2]) + 1) if match[2] else size


def _batch_object(call: Call, item: object, operation: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("size"), int) or item["size"] < 0:
        raise BadRequest("each object needs 'oid' and 'size'")
    oid, size = check_sha256(item.get("oid")), item["size"]
    answer: dict[str, Any] = {"oid": oid, "size": size}
    present = call.store.blobs.size(oid)
    if operation == "download":
        answer["error"] = {"code": 404, "message": "git-lfs downloads are not served here; use /resolve/"}
    elif present not in (None, size):
        answer["error"] = {"code": 422, "message": f"the file is stored already, with {present} bytes"}
    elif present is None:
        href = f"{call.base_url}/lfs/{oid}/{size}"
        answer["actions"] = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}
    return answer
