"""A token goes to the hub that it was given for: a request that would carry it elsewhere is refused.

huggingface_hub follows addresses that a hub's answers name (the next page of a listing, where to confirm an upload),
and sends the token along, to whichever host that is. A mirror that passes on what another hub says does so by mistake.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError

_Origin = tuple[str, str, int | None]

_given: Counter[tuple[str, _Origin]] = Counter()
"""By token and origin, how many blocks hold the one for the other now."""
_local: Counter[_Origin] = Counter()
"""By the origin of an embedded hub, how many blocks run it now."""
_lock = Lock()
_PORTS = {"http": 80, "https": 443}


@contextmanager
def token_guard(endpoint: Endpoint) -> Iterator[None]:
    """Refuses, for the block, requests of huggingface_hub that carry the endpoint's token to another host.

    Raises:
        HubError: in the block, when a hub's answer would have the token sent elsewhere.
    """
    from mixhub.hub.remote.huggingface_private import requests_watched

    token = endpoint.token if endpoint.token is not None else _saved()
    registered = _counted(_given, (token, _origin(endpoint.url))) if token else nullcontext()
    with registered, requests_watched(_look, _is_local):
        yield


@contextmanager
def requests_allowed(url: str) -> Iterator[None]:
    """Lifts HF_HUB_OFFLINE for requests to one address, for the block: an embedded hub needs no network."""
    with _counted(_local, _origin(url)):
        yield


@contextmanager
def _counted(counter: Counter[Any], key: object) -> Iterator[None]:
    with _lock:
        counter[key] += 1
    try:
        yield
    finally:
        with _lock:
            counter[key] -= 1
            if not counter[key]:
                del counter[key]


def _saved() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _is_local(request: Any) -> bool:
    """Whether a request goes to an embedded hub of this process."""
    return _origin(str(request.url)) in _local


def _look(request: Any) -> None:
    """Refuses a request whose token was given for other hosts alone."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    with _lock:
        origins = {origin for held, origin in _given if held == token}
    origin = _origin(str(request.url))
    if not origins or origin in origins or (origin[0] == "https" and ("http", origin[1], 80) in origins):
        return
    hosts = " and ".join(sorted(_address(one) for one in origins))
    raise HubError(
        f"{hosts}: its answer leads to {_address(origin)}, for which the token was not given; nothing was sent there",
        code="token-misdirected",
        hint="is it a mirror that passes on what another hub answers? Ask that one itself, with a token of its own",
        endpoint=hosts,
        host=_address(origin),
    )


def _origin(url: str) -> _Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _address(origin: _Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}" + (f":{port}" if port != _PORTS.get(scheme) else "")
