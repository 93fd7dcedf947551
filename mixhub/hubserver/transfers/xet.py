"""Xet uploads: the routes by which hf_xet sends chunks, and the files that are rebuilt from them.

Downloads do not use Xet: a rebuilt file is stored under its sha256, as if it had come over LFS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import IO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mixhub.files import locked
from mixhub.hubserver.protocol.exchange import Call, in_thread, repo_route, respond
from mixhub.hubserver.storage.chunks import MAX_XORB_BYTES, Chunk, CorruptUpload, FileRecipe, Segment, parse_shard
from mixhub.hubserver.storage.refusals import NotFound, TooLarge
from mixhub.hubserver.storage.repo import Repo
from mixhub.hubserver.storage.storage import Store

_TOKEN_SECONDS = 3600
_MAX_FOOTER_BYTES = 8 * 2**20
_REBUILD_SECONDS = 3600.0
_CACHED_XORBS = 8
"""Neighbouring segments of a file are often in the same xorbs."""

Places = dict[str, dict[int, tuple[str, int, int]]]
"""By xorb and number of the chunk: sha256 of a blob, and offset and size in it."""


def routes() -> list[Route]:
    """Return the token route, and those at the CAS URL. For everything else hf_xet accepts a 404."""
    cas = "/cas/{chunks_id}/v1"
    return [
        repo_route("GET", "/api/{kind}/{namespace}/{name}/xet-write-token/{rev}", write_token, token=True),
        Route(f"{cas}/xorbs/{{prefix}}/{{hash}}", put_xorb, methods=["POST"]),
        Route(f"{cas}/shards", put_shard, methods=["POST"]),
    ]


def write_token(call: Call, repo: Repo) -> object:
    """Return where to send chunks; the URL has the id of their folder, by which clients remember its chunks."""
    repo.resolve(call.part("rev"))
    url = f"{call.base_url}/cas/{call.store.chunks_id}"
    token, expires = call.token.strip(), int(time.time()) + _TOKEN_SECONDS
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expires)}
    return respond({"casUrl": url, "exp": expires, "accessToken": token}, headers=headers)


async def put_xorb(request: Request) -> Response:
    """Store a xorb after checking its structure; 400 if it is damaged."""
    call = await to_thread.run_sync(_cas_call, request)
    async with in_thread(call.store.blobs.incoming) as incoming:
        async for block in call.blocks():
            if incoming.size + len(block) > MAX_XORB_BYTES + _MAX_FOOTER_BYTES:
                raise TooLarge(f"a xorb has at most {MAX_XORB_BYTES} bytes")
            await to_thread.run_sync(incoming.write, block)
        is_new = await to_thread.run_sync(call.store.xorbs.keep, incoming, call.part("hash"))
    return respond({"was_inserted": is_new})


async def put_shard(request: Request) -> Response:
    """Rebuild the files of a shard; 400 if the shard is damaged or names a chunk that was not uploaded."""
    call = await to_thread.run_sync(_cas_call, request)
    await to_thread.run_sync(_rebuild_files, call.store, await call.read())
    return respond({"result": 1})


def _cas_call(request: Request) -> Call:
    call = Call(request)
    if call.part("chunks_id") != call.store.chunks_id:
        raise NotFound("these chunks belong to another store")
    return call


def _rebuild_files(store: Store, shard: bytes) -> None:
    """Store every file that a shard describes; raises CorruptUpload."""
    places: Places = {}
    for recipe in parse_shard(shard):
        # One at a time: a client that times out sends the shard again, and then the file is done.
        lock = store.root / "locks" / "files" / recipe.file_hash[:2]
        with locked(lock, "the file is being rebuilt", timeout=_REBUILD_SECONDS):
            if recipe.sha256 is None or store.blobs.size(recipe.sha256) is None:
                _rebuild(store, recipe, places)
    for xorb, chunks in places.items():
        store.xorbs.fold(xorb, chunks)


def _open_segment(
    chunks_of: Callable[[str], list[tuple[Path, Chunk]]], segment: Segment, files: ExitStack
) -> list[tuple[IO[bytes], Chunk]]:
    """Return the chunks of a segment with their files, open until the stack is closed."""
    chunks = chunks_of(segment.xorb)
    if not 0 <= segment.first < segment.end <= len(chunks):
        raise CorruptUpload(f"the xorb {segment.xorb} has {len(chunks)} chunks, not {segment.end}")
    part = chunks[segment.first : segment.end]
    opened = {path: files.enter_context(path.open("rb")) for path in {path for path, _ in part}}
    return [(opened[path], chunk) for path, chunk in part]


def _rebuild(store: Store, recipe: FileRecipe, places: Places) -> None:
    """Store one file, and add where its chunks are to `places`."""
    chunks_of = lru_cache(_CACHED_XORBS)(store.xorbs.chunks)
    written: list[tuple[str, int, int, int]] = []
    with store.blobs.incoming() as incoming:
        for segment in recipe.segments:
            before = incoming.size
            with ExitStack() as files:
                try:
                    chunks = _open_segment(chunks_of, segment, files)
                except FileNotFoundError:  # another rebuild has folded the xorb meanwhile
                    chunks_of.cache_clear()
                    chunks = _open_segment(chunks_of, segment, files)
                for number, (file, chunk) in enumerate(chunks, segment.first):
                    data = chunk.read(file)
                    written.append((segment.xorb, number, incoming.size, len(data)))
                    incoming.write(data)
            if incoming.size - before != segment.size:
                raise CorruptUpload(f"a segment has {incoming.size - before} bytes, and the shard says {segment.size}")
        sha256 = store.blobs.keep(incoming, recipe.sha256)
    for xorb, number, offset, size in written:
        places.setdefault(xorb, {})[number] = (sha256, offset, size)
