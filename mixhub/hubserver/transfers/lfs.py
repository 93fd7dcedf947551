"""Files over HTTP: the LFS uploads, in one piece or in parts, and the downloads with ranges."""

from __future__ import annotations

import os
import re
import secrets
from typing import Any

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mixhub.hubserver.protocol.exchange import base_url, blocks_of, json_body, name_of, raw, repo_of, store_of
from mixhub.hubserver.storage.names import check_sha256
from mixhub.hubserver.storage.refusals import BadRequest, EntryNotFound, NotFound, RepoNotFound
from mixhub.hubserver.storage.repo import Entry, Repo
from mixhub.hubserver.storage.storage import Store

PART_BYTES = 64 * 2**20
"""A file larger than this is uploaded in parts of this size, by clients that can."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LFS_JSON = "application/vnd.git-lfs+json"


def routes() -> list[Route]:
    """LFS and download routes. An upload's href carries no token, by the protocol: its content is checked instead."""
    repos = ("/{namespace}/{name}", "/{kind:kind}/{namespace}/{name}")
    return [
        *(Route(f"{repo}.git/info/lfs/objects/batch", json_body(batch), methods=["POST"]) for repo in repos),
        Route("/lfs/{oid}/{size:int}", put_large, methods=["PUT"]),
        Route("/lfs/{oid}/{size:int}/verify", json_body(verify, token=False), methods=["POST"]),
        Route("/lfs/{oid}/{size:int}/{upload}", json_body(finish_parts, token=False), methods=["POST"]),
        Route("/lfs/{oid}/{size:int}/{upload}/{offset:int}", put_part, methods=["PUT"]),
        *(Route(f"{repo}/{verb}/{{rev}}/{{path:path}}", download) for repo in repos for verb in ("resolve", "raw")),
    ]


def batch(request: Request, body: dict[str, Any]) -> Response:
    """Where to send each large file; those that are here already have no action."""
    name = name_of(request)
    store = store_of(request)
    if not store.exists(name):
        raise RepoNotFound(f"there is no {name} on this hub")
    if body.get("operation") not in ("upload", "download"):
        raise BadRequest("'operation' must be 'upload' or 'download'")
    if not isinstance(body.get("objects"), list):
        raise BadRequest("'objects' must be a list")
    in_parts = "multipart" in (body.get("transfers") or [])
    objects = [_batch_object(request, store, item, body["operation"], in_parts) for item in body["objects"]]
    transfer = "multipart" if in_parts else "basic"
    return JSONResponse({"transfer": transfer, "objects": objects, "hash_algo": "sha256"}, media_type=_LFS_JSON)


async def put_large(request: Request) -> Response:
    """Stores a large file sent in one piece; 400 when its content has another hash."""
    oid = check_sha256(raw(request, "oid"))
    blobs = store_of(request).blobs
    with await to_thread.run_sync(blobs.incoming) as incoming:
        async for block in blocks_of(request):
            _refuse_longer(incoming.size + len(block), request)
            await to_thread.run_sync(incoming.write, block)
        await to_thread.run_sync(blobs.keep, incoming, oid)
    return PlainTextResponse("OK")


async def put_part(request: Request) -> Response:
    """Stores one part of a large file at its offset."""
    blobs, upload = store_of(request).blobs, raw(request, "upload")
    start = offset = request.path_params["offset"]
    async for block in blocks_of(request):
        _refuse_longer(offset + len(block), request)
        await to_thread.run_sync(blobs.write_part, upload, offset, block)
        offset += len(block)
    return PlainTextResponse("OK", headers={"ETag": f'"{start}-{offset}"'})


def finish_parts(request: Request, body: dict[str, Any]) -> Response:
    """Makes one file of the parts; 400 when one is missing."""
    store_of(request).blobs.finish_parts(raw(request, "upload"), check_sha256(raw(request, "oid")))
    return JSONResponse({}, media_type=_LFS_JSON)


def verify(request: Request, body: dict[str, Any]) -> Response:
    """Whether the large file is here with the size that the client sent."""
    size = store_of(request).blobs.size(raw(request, "oid"))
    if size is None or size != body.get("size", size):
        raise NotFound(f"the large file {raw(request, 'oid')} is not here, or has another size")
    return JSONResponse({}, media_type=_LFS_JSON)


def download(request: Request) -> Response:
    """A file at a revision, by GET or HEAD; a range of it when asked. A missing file still names the commit."""
    with repo_of(request) as repo:
        head = repo.resolve(raw(request, "rev"))
        commit = {"X-Repo-Commit": str(head.id)}
        try:
            entry = repo.entry(head, raw(request, "path"))
        except EntryNotFound as problem:
            raise EntryNotFound(problem.message, commit) from None
        if entry.is_folder:
            raise EntryNotFound(f"{entry.path!r} is a folder", commit)
        if entry.pointer is not None:
            return _large_response(store_of(request), entry, commit)
        return _small_response(request, repo, entry, commit)


class _BlobResponse(FileResponse):
    """A file sent in larger blocks than starlette's 64 KiB, each of which costs a hop to a thread."""

    chunk_size = 2**20


def _large_response(store: Store, entry: Entry, commit: dict[str, str]) -> Response:
    assert entry.pointer is not None
    path = store.blobs.path(entry.pointer.sha256)
    try:
        stat: os.stat_result = path.stat()
    except FileNotFoundError:
        raise EntryNotFound(f"the content of {entry.path!r} is missing from the hub's storage", commit) from None
    etag = f'"{entry.pointer.sha256}"'
    headers = {**commit, "ETag": etag, "X-Linked-Etag": etag, "X-Linked-Size": str(stat.st_size)}
    filename = entry.path.rsplit("/", 1)[-1]
    return _BlobResponse(
        path, headers=headers, stat_result=stat, filename=filename, media_type="application/octet-stream"
    )


def _small_response(request: Request, repo: Repo, entry: Entry, commit: dict[str, str]) -> Response:
    data, status = repo.read(entry), 200
    headers = {**commit, "ETag": f'"{entry.oid}"', "Accept-Ranges": "bytes"}
    wanted = parse_range(request.headers.get("range"), len(data))
    if wanted is not None:
        start, end = wanted
        if start >= end:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        data, status = data[start:end], 206
    headers["Content-Length"] = str(len(data))
    return Response(b"" if request.method == "HEAD" else data, status, headers, media_type="text/plain; charset=utf-8")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The single byte range [start, end) that a Range header asks of `size` bytes; empty if there is nothing in it.

    None when there is no header, or one of several ranges, which may be answered with the whole file.
    """
    match = _RANGE.fullmatch((header or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    end = min(size, int(match[2]) + 1) if match[2] else size
    return int(match[1]), end


def _batch_object(request: Request, store: Store, item: object, operation: str, in_parts: bool) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("size"), int) or item["size"] < 0:
        raise BadRequest("each object needs 'oid' and 'size'")
    oid, size = check_sha256(item.get("oid")), item["size"]
    answer: dict[str, Any] = {"oid": oid, "size": size}
    present = store.blobs.size(oid)
    if operation == "download":
        missing = {"code": 404, "message": "git-lfs downloads are not served here; use /resolve/"}
        return {**answer, "error": missing}
    if present is not None and present != size:
        return {**answer, "error": {"code": 422, "message": f"the file is here and has {present} bytes"}}
    if present is None:
        href = f"{base_url(request)}/lfs/{oid}/{size}"
        answer["actions"] = _actions_in_parts(href, size) if in_parts and size > PART_BYTES else _actions(href)
    return answer


def _actions(href: str) -> dict[str, Any]:
    return {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}


def _actions_in_parts(href: str, size: int) -> dict[str, Any]:
    upload = f"{href}/{secrets.token_hex(16)}"
    parts = {str(number): f"{upload}/{offset}" for number, offset in enumerate(range(0, size, PART_BYTES), start=1)}
    return {"upload": {"href": upload, "header": {"chunk_size": str(PART_BYTES), **parts}}}


def _refuse_longer(size: int, request: Request) -> None:
    declared = request.path_params["size"]
    if size > declared:
        raise BadRequest(f"the body is longer than the {declared} bytes that were declared")
