"""A token is sent only to its own hub: a request that would send it elsewhere is refused.

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
from mixhub.hub.remote.retries import send_patiently

_given: Counter[tuple[str, str]] = Counter()
"""Number of running blocks by token and the host it was given for."""
_local: Counter[str] = Counter()
"""Number of running blocks by the host of an embedded hub."""
_lock = Lock()
_PORTS = {"http": 80, "https": 443}


@contextmanager
def token_guard(endpoint: Endpoint) -> Iterator[None]:
    """Refuse, for the block, requests of huggingface_hub that carry the endpoint's token to another host.

    Requests to a busy hub wait (see `send_patiently`).

    Raises:
        HubError: in the block, if an answer of the hub would send the token elsewhere.
    """
    from huggingface_hub import get_token

    from mixhub.hub.remote.huggingface_private import requests_watched

    token = endpoint.token if endpoint.token is not None else get_token()
    registered = _counted(_given, (token, _host(endpoint.url))) if token else nullcontext()
    with registered, requests_watched(_require_own_host, _is_local, send_patiently):
        yield


@contextmanager
def requests_allowed(url: str) -> Iterator[None]:
    """Lift HF_HUB_OFFLINE for one address, for the block: an embedded hub needs no network."""
    with _counted(_local, _host(url)):
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
    return _local[_host(str(request.url))] > 0


def _require_own_host(request: Any) -> None:
    """Refuse a request whose token was given only for other hosts."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    with _lock:
        hosts = {host for (given, host), blocks in _given.items() if given == token and blocks}
    host = _host(str(request.url))
    if not hosts or host in hosts or (host.startswith("https:") and host.replace("https:", "http:", 1) in hosts):
        return
    names = " and ".join(sorted(hosts))
    message = f"{names}: redirects to {host}, for which the token is not meant; nothing was sent there"
    hint = "if the hub is a mirror, use the hub behind it directly, with its own token"
    raise HubError(message, code="token-misdirected", hint=hint, endpoint=names, host=host)


def _host(url: str) -> str:
    """Return scheme, host and port of an address, without the default port."""
    parts = urlsplit(url)
    has_port = parts.port not in (None, _PORTS.get(parts.scheme))
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if has_port else ''}"
