"""The web app: all routes over one store, and how refusals and failures are answered."""

from __future__ import annotations

import errno
import logging
import secrets
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixhub.errors import WorkspaceError
from mixhub.hubserver.protocol import protocol
from mixhub.hubserver.storage.refusals import NotFound, Refusal, RepoNotFound
from mixhub.hubserver.storage.storage import Store
from mixhub.hubserver.transfers import lfs as transfers
from mixhub.hubserver.transfers import xet

_log = logging.getLogger(__name__)


class _RepoKind(Convertor[str]):
    """The part of a URL that says which type of repo."""

    regex = "models|datasets"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _RawPaths:
    """Matches routes against the path as it was sent.

    Clients percent-encode the slashes of a revision, so that it is one part of the path; decoded, it would be several.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            raw = scope["raw_path"].partition(b"?")[0].decode("ascii", "replace")
            scope = {**scope, "path": raw}
        await self._app(scope, receive, send)


class _RequestIds:
    """Gives each answer an id, which clients show in their error messages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(8).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def make_app(store: Store) -> Starlette:
    """The hub over `store`, as an ASGI app."""
    register_url_convertor("kind", _RepoKind())
    nothing_here = Route("/{rest:path}", _no_route, methods=["GET", "POST", "PUT", "DELETE"])
    app = Starlette(
        routes=[*xet.routes(), *protocol.routes(), *transfers.routes(), nothing_here],
        middleware=[Middleware(_RequestIds), Middleware(_RawPaths)],
        exception_handlers={
            Refusal: _refused,
            WorkspaceError: _busy,
            HTTPException: _http_error,
            OSError: _disk_error,
        },
    )
    app.state.store = store
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse({"error": error.message}, error.status, error.http_headers())


def _busy(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


def _disk_error(request: Request, error: Exception) -> Response:
    _log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = "the disk of the hub is full" if full else "the hub cannot read or write its storage"
    # Clients send again after a 500; to a full disk that is of no use.
    return JSONResponse({"error": message}, 507 if full else 500)


def _no_route(request: Request) -> Response:
    parts: list[Any] = request.url.path.split("/")
    if "resolve" in parts or "raw" in parts:  # a repo without a namespace, as gpt2/resolve/main/config.json
        raise RepoNotFound("there is no such repo on this hub")
    raise NotFound(f"this hub does not answer {request.method} {request.url.path}")
