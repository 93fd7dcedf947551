"""Xet uploads: the routes by which hf_xet sends chunks, and the files that are rebuilt from them.

Downloads do not use Xet: a rebuilt file is stored under its sha256 as one that came over LFS is.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from types import TracebackType

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mixhub.files import locked
from mixhub.hubserver.protocol.exchange import (
    base_url,
    blocks_of,
    raw,
    read_body,
    repo_of,
    require_token,
    store_of,
    writing,
)
from mixhub.hubserver.storage.blobs import Incoming
from mixhub.hubserver.storage.chunks import XORB_MOST_BYTES, CorruptUpload, Recipe, Segment, Xorb, parse_shard
from mixhub.hubserver.storage.refusals import NotFound, TooLarge
from mixhub.hubserver.storage.storage import Store
from mixhub.hubserver.storage.xorbs import FoldedXorb, Place

_TOKEN_SECONDS = 3600
_FOOTER_MOST_BYTES = 8 * 2**20
_REBUILD_SECONDS = 3600.0
_OPEN_XORBS = 8


def routes() -> list[Route]:
    """The token route, and those at the CAS url. What else hf_xet asks, it takes a 404 for."""
    cas = "/cas/{chunks_id}"
    return [
        Route("/api/{kind:kind}/{namespace}/{name}/xet-write-token/{rev}", writing(write_token)),
        Route(f"{cas}/v1/xorbs/{{prefix}}/{{hash}}", put_xorb, methods=["POST"]),
        Route(f"{cas}/v1/shards", put_shard, methods=["POST"]),
    ]


def write_token(request: Request) -> Response:
    """Where to send chunks. Their folder's id is in the url because clients remember by it which chunks are there."""
    with repo_of(request) as repo:
        repo.resolve(raw(request, "rev"))
    url = f"{base_url(request)}/cas/{store_of(request).chunks_id}"
    token = request.headers["authorization"].partition(" ")[2].strip()
    expires = int(time.time()) + _TOKEN_SECONDS
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(expires),
    }
    return JSONResponse({"casUrl": url, "exp": expires, "accessToken": token}, headers=headers)


async def put_xorb(request: Request) -> Response:
    """Stores a xorb after a look at its structure; 400 when it is damaged."""
    store = _cas_store(request)
    xorb = raw(request, "hash")
    with await to_thread.run_sync(Incoming, store.uploads) as incoming:
        async for block in blocks_of(request):
            if incoming.size + len(block) > XORB_MOST_BYTES + _FOOTER_MOST_BYTES:
                raise TooLarge(f"a xorb has at most {XORB_MOST_BYTES} bytes")
            await to_thread.run_sync(incoming.write, block)
        inserted = await to_thread.run_sync(store.xorbs.keep, incoming, xorb)
    return JSONResponse({"was_inserted": inserted})


async def put_shard(request: Request) -> Response:
    """Rebuilds the files of a shard; 400 when the shard is damaged or names a chunk that is not here."""
    store = _cas_store(request)
    data = await read_body(request)
    await to_thread.run_sync(partial(rebuild_files, store, data))
    return JSONResponse({"result": 1})


def rebuild_files(store: Store, shard: bytes) -> None:
    """Stores every file that `shard` describes; raises CorruptUpload."""
    places: dict[str, dict[int, Place]] = {}
    for recipe in parse_shard(shard):
        # One at a time: a client that loses patience sends the shard again, and then finds the file done.
        lock = store.root / "locks" / "files" / recipe.file_hash[:2]
        with locked(lock, "the file is being rebuilt", timeout=_REBUILD_SECONDS):
            for xorb, chunk, place in _rebuild(store, recipe):
                places.setdefault(xorb, {})[chunk] = place
    for xorb, chunks in places.items():
        store.xorbs.fold(xorb, chunks)


def _cas_store(request: Request) -> Store:
    require_token(request)
    store = store_of(request)
    if raw(request, "chunks_id") != store.chunks_id:
        raise NotFound("this hub keeps the chunks of another store")
    return store


def _rebuild(store: Store, recipe: Recipe) -> list[tuple[str, int, Place]]:
    """Stores one file, unless it is here; returns xorb, number and place of each chunk that was written."""
    if recipe.sha256 is not None and store.blobs.size(recipe.sha256) is not None:
        return []
    written: list[tuple[str, int, int, int]] = []
    with _Shelf(store) as shelf, store.blobs.incoming() as incoming:
        for segment in recipe.segments:
            before = incoming.size
            for number, chunk in enumerate(shelf.decode(segment), start=segment.first):
                written.append((segment.xorb, number, incoming.size, len(chunk)))
                incoming.write(chunk)
            if incoming.size - before != segment.size:
                raise CorruptUpload(f"a segment has {incoming.size - before} bytes, the shard says {segment.size}")
        sha256 = store.blobs.keep(incoming, recipe.sha256)
    return [(xorb, number, Place(sha256, offset, size)) for xorb, number, offset, size in written]


class _Shelf:
    """The last few xorbs, held open: neighbouring segments of a file often lie in the same ones."""

    def __init__(self, store: Store) -> None:
        self._xorbs = store.xorbs
        self._open: OrderedDict[str, tuple[Xorb | FoldedXorb, ExitStack]] = OrderedDict()

    def __enter__(self) -> _Shelf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, files in self._open.values():
            files.close()

    def decode(self, segment: Segment) -> Iterator[bytes]:
        """The chunks of a segment; raises CorruptUpload when its xorb has not been uploaded."""
        if segment.xorb not in self._open:
            files = ExitStack()
            self._open[segment.xorb] = (files.enter_context(self._xorbs.open(segment.xorb)), files)
        self._open.move_to_end(segment.xorb)
        if len(self._open) > _OPEN_XORBS:
            _, (_, oldest) = self._open.popitem(last=False)
            oldest.close()
        return self._open[segment.xorb][0].decode(segment.first, segment.end)
