"""A token goes to the hub that it was given for: a request that would carry it elsewhere is refused.

huggingface_hub follows addresses that a hub's answers name (the next page of a listing, where to confirm an upload),
and sends the token along, to whichever host that is. A mirror that passes on what another hub says does so by mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError

_Origin = tuple[str, str, int | None]

_given: Counter[tuple[str, _Origin]] = Counter()
"""By token and origin, how many blocks hold the one for the other now."""
_lock = Lock()
_PORTS = {"http": 80, "https": 443}


@contextmanager
def token_guard(endpoint: Endpoint) -> Iterator[None]:
    """Refuses, for the block, requests of huggingface_hub that carry the endpoint's token to another host.

    Raises:
        HubError: in the block, when a hub's answer would have the token sent elsewhere.
    """
    token = endpoint.token if endpoint.token is not None else _saved()
    if not token:
        yield
        return
    key = (token, _origin(endpoint.url))
    with _lock:
        _given[key] += 1
        _install()
    try:
        yield
    finally:
        with _lock:
            _given[key] -= 1
            if not _given[key]:
                del _given[key]


def _saved() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _install() -> None:
    """Makes the clients that huggingface_hub makes from now on look at what they send."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    before = getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    if getattr(before, "looks_at_tokens", False):
        return

    def factory() -> Any:
        made = before()
        hooks = made.event_hooks
        made.event_hooks = {**hooks, "request": [*hooks.get("request", ()), _look]}
        return made

    factory.looks_at_tokens = True  # type: ignore[attr-defined]
    set_client_factory(factory)


def _look(request: Any) -> None:
    """Refuses a request whose token was given for other hosts alone."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    with _lock:
        origins = {origin for held, origin in _given if held == token}
    origin = _origin(str(request.url))
    if not origins or origin in origins or (origin[0] == "https" and ("http", origin[1], 80) in origins):
        return
    asked = " and ".join(sorted(_shown(one) for one in origins))
    raise HubError(
        f"{asked}: its answer leads to {_shown(origin)}, for which the token was not given; nothing was sent there",
        hint="is it a mirror that passes on what another hub answers? Ask that one itself, with a token of its own",
        endpoint=asked,
    )


def _origin(url: str) -> _Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _shown(origin: _Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}" + (f":{port}" if port != _PORTS.get(scheme) else "")
