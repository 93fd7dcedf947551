"""Runs the hub: in a thread of this process, or until a signal arrives."""

from __future__ import annotations

import errno
import json
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mixhub.errors import HubError, UsageError
from mixhub.hubserver.app import make_app
from mixhub.hubserver.storage.storage import Store

HOST = "127.0.0.1"

_START_SECONDS = 30.0
_GRACE_SECONDS = 2
# Below the ports that the system lends to outgoing connections, so that the port is likely free next time.
_PORTS = range(20000, 30000)
_PORT_TRIES = 20
_BACKLOG = 512
_OPTIONS: Any = {"log_config": None, "server_header": False, "loop": "asyncio", "ws": "none", "lifespan": "off"}


@dataclass(frozen=True)
class RunningHub:
    """A hub that answers."""

    url: str
    """For example `http://127.0.0.1:20123`, without a final slash."""
    store_id: str
    root: Path
    beside: str | None = None
    """Address of another server of the same storage: they share it by locks, and see each other's commits."""


@contextmanager
def serve(root: Path, host: str = HOST, port: int | None = None) -> Iterator[RunningHub]:
    """Serve the store at `root` from a thread for the block; it answers from the first line on.

    Args:
        root: folder of the store; created if missing.
        host: address to listen on.
        port: TCP port; None: the port that the store used before, or another one if that is taken.

    Raises:
        UsageError: it cannot listen on the port or host.
        WorkspaceError: the store has a newer format, is damaged, or cannot be written.
    """
    store = Store.open(root)
    store.sweep_uploads()
    with _listen(store, host, port) as listener, _running(store, listener):
        yield RunningHub(_url(listener), store.store_id, store.root)


def run_forever(
    root: Path, host: str = HOST, port: int | None = None, on_ready: Callable[[RunningHub], None] | None = None
) -> None:
    """Serve the store at `root` until SIGINT or SIGTERM; `on_ready` is called with it. Raises as `serve` does."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        with serve(root, host, port) as hub:
            if on_ready is not None:
                on_ready(replace(hub, beside=_beside(hub, host)))
            signal.sigwait(signals)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _beside(hub: RunningHub, host: str) -> str | None:
    """Return the address of the server that has the port that the store used first, if it serves the same store."""
    url = f"http://{host if host != '0.0.0.0' else HOST}:{Store.open(hub.root).port}"
    if url == hub.url:
        return None
    with suppress(OSError, ValueError), urlopen(f"{url}/api/mixhub", timeout=2) as answer:
        return url if json.loads(answer.read()).get("store_id") == hub.store_id else None
    return None


@contextmanager
def _running(store: Store, listener: socket.socket) -> Iterator[None]:
    app = make_app(store)
    config = uvicorn.Config(app, http=_QuietProtocol, timeout_graceful_shutdown=_GRACE_SECONDS, **_OPTIONS)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise HubError("the embedded hub did not start", code="server-not-started", hint="read the log")
            time.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        thread.join()


class _QuietProtocol(H11Protocol):
    """Logs no request. uvicorn's own switch for it empties a logger that belongs to the whole process."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False


def _listen(store: Store, host: str, port: int | None) -> socket.socket:
    if port is not None:
        ports = [port]
    elif store.port is not None:
        ports = [store.port, 0]
    else:
        ports = [*random.sample(_PORTS, _PORT_TRIES), 0]
    for number in ports:
        try:
            listener = _bind(host, number)
            break
        except (OSError, OverflowError) as problem:
            in_use = isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE
            if number == ports[-1] or not in_use:
                code = "port-in-use" if in_use else "host-unusable"
                message = f"cannot listen on port {number} of {host}: {problem}"
                hint = f"choose another port, or host {HOST}"
                raise UsageError(message, code=code, hint=hint, host=host, port=number) from problem
    listener.listen(_BACKLOG)
    store.remember_port(listener.getsockname()[1])
    return listener


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio turns off Nagle's algorithm only for such sockets, and it costs 40 ms per answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # So that a port that this server used a moment ago is free again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # every address: loopback is one of them
        host = HOST if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
