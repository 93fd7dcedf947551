"""A token goes only to the hub it was given for: a request that would carry it elsewhere is refused.

huggingface_hub follows addresses in a hub's answers (the next page of a listing, where to confirm an upload) and sends
the token along to any host. A mirror that passes on another hub's answers causes this by mistake.
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
"""Scheme, host and port."""

_given: Counter[tuple[str, _Origin]] = Counter()
"""Number of running blocks by token and the origin it was given for."""
_local: Counter[_Origin] = Counter()
"""Number of running blocks by the origin of an embedded hub."""
_lock = Lock()
_PORTS = {"http": 80, "https": 443}


@contextmanager
def token_guard(endpoint: Endpoint) -> Iterator[None]:
    """Refuse, for the block, requests of huggingface_hub that carry the endpoint's token to another host.

    Raises:
        HubError: in the block, if an answer of the hub would send the token elsewhere.
    """
    from huggingface_hub import get_token

    from mixhub.hub.remote.huggingface_private import requests_watched

    token = endpoint.token if endpoint.token is not None else get_token()
    registered = _counted(_given, (token, _origin(endpoint.url))) if token else nullcontext()
    with registered, requests_watched(_require_own_host, _is_local):
        yield


@contextmanager
def requests_allowed(url: str) -> Iterator[None]:
    """Lift HF_HUB_OFFLINE for one address, for the block: an embedded hub needs no network."""
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


def _is_local(request: Any) -> bool:
    """Whether a request goes to an embedded hub of this process."""
    return _local[_origin(str(request.url))] > 0


def _require_own_host(request: Any) -> None:
    """Refuse a request whose token was given only for other hosts."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    with _lock:
        origins = {origin for (given, origin), blocks in _given.items() if given == token and blocks}
    origin = _origin(str(request.url))
    if not origins or origin in origins or (origin[0] == "https" and ("http", origin[1], 80) in origins):
        return
    hosts = " and ".join(sorted(_address(one) for one in origins))
    raise HubError(
        f"{hosts}: the answer leads to {_address(origin)}, which the token was not given for; nothing was sent there",
        code="token-misdirected",
        hint="if this is a mirror, use the hub behind it directly, with its own token",
        endpoint=hosts,
        host=_address(origin),
    )


def _origin(url: str) -> _Origin:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


def _address(origin: _Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}" + (f":{port}" if port != _PORTS.get(scheme) else "")
