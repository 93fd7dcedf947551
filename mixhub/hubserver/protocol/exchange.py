"""What all routes share: reading a request, finding its store and repo, and answering off the event loop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mixhub.hubserver.storage.names import RepoName, repo_name
from mixhub.hubserver.storage.refusals import BadRequest, RepoNotFound, TooLarge, Unauthorized
from mixhub.hubserver.storage.repo import Repo
from mixhub.hubserver.storage.storage import Store

Endpoint = Callable[[Request], Awaitable[Response]]
JsonHandler = Callable[[Request, dict[str, Any]], Response]

BODY_MOST_BYTES = 64 * 2**20
"""The largest body that is read into memory at once."""
_BLOCK_BYTES = 2 * 2**20


def store_of(request: Request) -> Store:
    """The store that the app serves."""
    store: Store = request.app.state.store
    return store


def base_url(request: Request) -> str:
    """Scheme, host and port as the client addressed them, without a final slash."""
    return str(request.base_url).rstrip("/")


def raw(request: Request, key: str, default: str = "") -> str:
    """A decoded part of the URL path."""
    return unquote(request.path_params.get(key, default))


def name_of(request: Request) -> RepoName:
    """The repo that the path names; what cannot be a repo's name is answered as a missing repo."""
    repo_type = request.path_params.get("kind", "models").removesuffix("s")
    repo_id = f"{raw(request, 'namespace')}/{raw(request, 'name')}"
    try:
        return repo_name(repo_type, repo_id)
    except BadRequest as problem:
        raise RepoNotFound(problem.message) from None


@contextmanager
def repo_of(request: Request) -> Iterator[Repo]:
    """Opens the repo that the path names, for a block; raises RepoNotFound, also of a private one without a token."""
    name = name_of(request)
    with store_of(request).repo(name) as repo:
        if repo.is_private and not has_token(request):
            raise RepoNotFound(f"there is no {name} on this hub, or it is private")
        yield repo


def has_token(request: Request) -> bool:
    """Whether the request carries a bearer token; any will do, there is one user."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


def require_token(request: Request) -> None:
    """Raises Unauthorized unless the request carries a token."""
    if not has_token(request):
        raise Unauthorized("this needs a token; any text does on this hub")


def is_true(value: str | None) -> bool:
    """Whether a query or form field says true."""
    return value is not None and value.lower() in ("true", "1", "yes")


def writing(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """An endpoint without a body that needs a token."""

    def endpoint(request: Request) -> Response:
        require_token(request)
        return handler(request)

    return endpoint


def json_body(handler: JsonHandler, *, token: bool = True) -> Endpoint:
    """An endpoint with a JSON object as its body; `handler` runs in a thread."""

    async def endpoint(request: Request) -> Response:
        if token:
            require_token(request)
        body = parse_object(await read_body(request) or b"{}")
        return await to_thread.run_sync(handler, request, body)

    return endpoint


async def read_body(request: Request, most: int = BODY_MOST_BYTES) -> bytes:
    """The whole body; raises TooLarge beyond `most` bytes, BadRequest when it breaks off."""
    parts, size = [], 0
    async for part in _parts(request):
        size += len(part)
        if size > most:
            raise TooLarge(f"the body has more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


async def blocks_of(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of some MiB, so that each is worth a hop to a thread; raises BadRequest when it breaks off."""
    parts, size = [], 0
    async for part in _parts(request):
        parts.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)


async def _parts(request: Request) -> AsyncIterator[bytes]:
    try:
        async for part in request.stream():
            yield part
    except ClientDisconnect:
        raise BadRequest("the connection broke while the body was sent") from None


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object; raises BadRequest for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadRequest(f"the body is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def text_field(body: dict[str, Any], key: str, default: str | None = None) -> str:
    """A text field of a JSON body; raises BadRequest when it is missing or no text."""
    value = body.get(key)
    value = default if value is None else value
    if not isinstance(value, str):
        raise BadRequest(f"{key!r} must be given, as text")
    return value
