"""What all routes share: reading a request, finding its store and repo, and answering it."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from anyio import CancelScope, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mixhub.hubserver.storage.names import RepoName, repo_name
from mixhub.hubserver.storage.refusals import BadRequest, NotFound, RepoNotFound, TooLarge, Unauthorized
from mixhub.hubserver.storage.repo import Repo
from mixhub.hubserver.storage.storage import Store

T = TypeVar("T")

_MAX_BODY_BYTES = 64 * 2**20
"""The largest body that is read into memory."""
_BLOCK_BYTES = 2 * 2**20


class Call:
    """One request, with the store it goes to.

    Args:
        request: the request.
        token: whether to refuse it unless it carries a token.
    """

    def __init__(self, request: Request, *, token: bool = True) -> None:
        self.request = request
        self.store: Store = request.app.state.store
        self.base_url = str(request.base_url).rstrip("/")
        """Scheme, host and port as the client addressed them."""
        self.body: dict[str, Any] = {}
        scheme, _, self.token = request.headers.get("authorization", "").partition(" ")
        self.has_token = scheme.lower() == "bearer" and bool(self.token.strip())
        """Any token will do: there is one user."""
        if token and not self.has_token:
            raise Unauthorized("this request needs a token; any text will do on this hub")

    def part(self, key: str, default: str = "") -> str:
        """Return a part of the URL path, decoded."""
        return unquote(self.request.path_params.get(key, default))

    def flag(self, key: str) -> bool:
        """Return whether a query field is true."""
        return is_true(self.request.query_params.get(key, ""))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text field of the body; raises BadRequest if it is missing or not text."""
        value = self.body.get(key)
        value = default if value is None else value
        if not isinstance(value, str):
            raise BadRequest(f"{key!r} must be text")
        return value

    @property
    def repo_type(self) -> str:
        """The type in the path; raises NotFound for another type than models and datasets."""
        kind = self.part("kind", "models")
        if kind not in ("models", "datasets"):
            raise NotFound(f"this hub does not serve {self.request.url.path}")
        return kind.removesuffix("s")

    @property
    def name(self) -> RepoName:
        """The repo in the path; raises RepoNotFound if no repo can have that name."""
        try:
            return repo_name(self.repo_type, f"{self.part('namespace')}/{self.part('name')}")
        except BadRequest as problem:
            raise RepoNotFound(problem.message) from None

    @contextmanager
    def repo(self) -> Iterator[Repo]:
        """Open the repo in the path; raises RepoNotFound, also for a private repo without a token."""
        with self.store.repo(self.name) as repo:
            if repo.is_private and not self.has_token:
                raise RepoNotFound(f"{self.name} does not exist on this hub, or it is private")
            yield repo

    async def read(self) -> bytes:
        """Return the whole body; raises TooLarge or BadRequest."""
        body = bytearray()
        async for block in self.blocks():
            body += block
            if len(body) > _MAX_BODY_BYTES:
                raise TooLarge(f"the body has more than {_MAX_BODY_BYTES} bytes")
        return bytes(body)

    async def blocks(self) -> AsyncIterator[bytes]:
        """Yield the body in blocks of some MiB, each worth a hop to a thread; raises BadRequest if it breaks off."""
        block = bytearray()
        try:
            async for part in self.request.stream():
                block += part
                if len(block) >= _BLOCK_BYTES:
                    yield bytes(block)
                    block.clear()
        except ClientDisconnect:
            raise BadRequest("the connection broke while the body was sent") from None
        if block:
            yield bytes(block)


def route(
    method: str, path: str, handler: Callable[[Call], object], *, token: bool | None = None, form: bool = False
) -> Route:
    """Declare a route whose handler runs in a thread, with the fields of the body in `call.body`.

    Args:
        method: HTTP method; GET answers HEAD, too.
        path: revisions and file paths arrive percent-encoded, as one part each.
        handler: returns a response, data for JSON, text, or None for "OK".
        token: whether a token is required; None: unless the method is GET.
        form: whether the body may be a form instead of JSON.
    """
    token = method != "GET" if token is None else token

    async def endpoint(request: Request) -> Response:
        call = Call(request, token=token)
        if method != "GET" and (body := await call.read()):
            if form and not body.lstrip().startswith(b"{"):
                call.body = parse_qs(body.decode("utf-8", "replace"))
            elif method != "DELETE" or body.lstrip().startswith(b"{"):  # HTTP gives the body of a DELETE no meaning
                call.body = parse_object(body)
        return respond(await to_thread.run_sync(handler, call))

    return Route(path, endpoint, methods=[method])


def repo_route(
    method: str, path: str, handler: Callable[[Call, Repo], object], *, token: bool | None = None, form: bool = False
) -> Route:
    """Declare a route whose handler also gets the repo in the path, open."""

    def with_repo(call: Call) -> object:
        with call.repo() as repo:
            return handler(call, repo)

    return route(method, path, with_repo, token=token, form=form)


def respond(answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of what a handler returned."""
    if isinstance(answer, Response):
        return answer
    if answer is None or isinstance(answer, str):
        return PlainTextResponse(answer or "OK", status, headers)
    # Cards are YAML, which has dates as values and as keys; JSON has none.
    text = json.dumps(answer, default=str, skipkeys=True, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers, media_type="application/json")


def is_true(text: str) -> bool:
    """Return whether the text of a query or form field means true."""
    return text.lower() in ("true", "1", "yes")


@asynccontextmanager
async def in_thread(open_context: Callable[[], AbstractContextManager[T]]) -> AsyncIterator[T]:
    """Open and close a context that touches the disk in threads, so that other requests go on."""
    context = await to_thread.run_sync(open_context)
    value = await to_thread.run_sync(context.__enter__)
    try:
        yield value
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(context.__exit__, *sys.exc_info())


def decode_base64(text: object, what: str) -> bytes:
    """Decode base64; raises BadRequest."""
    try:
        return base64.b64decode(text, validate=True)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise BadRequest(f"{what} is not base64") from None


def parse_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises BadRequest for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as problem:
        raise BadRequest(f"the body is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value
