"""The web app: all routes over one store, and the responses to refusals and failures."""

from __future__ import annotations

import logging
import secrets

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mixhub.errors import WorkspaceError
from mixhub.files import disk_problem
from mixhub.hubserver.protocol import pages, protocol
from mixhub.hubserver.protocol.exchange import respond
from mixhub.hubserver.storage.refusals import Refusal
from mixhub.hubserver.storage.storage import Store
from mixhub.hubserver.transfers import lfs, xet

_log = logging.getLogger(__name__)


class _ClientConventions:
    """What Hub clients expect: encoded slashes in a revision stay encoded for routing, and each response has an id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(8).encode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id)]
            await send(message)

        if raw_path := scope.get("raw_path"):
            scope = {**scope, "path": raw_path.partition(b"?")[0].decode("ascii", "replace")}
        await self._app(scope, receive, send_with_id)


def make_app(store: Store) -> Starlette:
    """Return the hub over `store` as an ASGI app."""
    app = Starlette(
        routes=[*xet.routes(), *protocol.routes(), *lfs.routes(), *pages.routes(), *protocol.fallback_routes()],
        middleware=[Middleware(_ClientConventions)],
        exception_handlers=dict.fromkeys((Refusal, WorkspaceError, HTTPException, OSError), _failed),
    )
    app.state.store = store
    return app


def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        return respond({"error": error.message}, error.status, error.http_headers())
    if isinstance(error, HTTPException):
        return respond({"error": error.detail}, error.status_code, error.headers)
    if isinstance(error, WorkspaceError):  # a lock is held
        return respond({"error": str(error)}, 503)
    # Clients retry after a 500, hf_xet after any 5xx; retrying does not help if the disk is full or read-only.
    if problem := disk_problem(error):
        _log.error("the hub's storage: %s", problem.strerror)
        status = 413 if request.url.path.startswith("/cas/") else 507
        return respond({"error": f"the hub cannot write its storage: {problem.strerror}"}, status)
    _log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    return respond({"error": "the hub cannot read or write its storage"}, 500)
