"""Runs the hub: in a thread of this process, or until a signal comes."""

from __future__ import annotations

import errno
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

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


@dataclass(frozen=True)
class RunningHub:
    """A hub that answers."""

    url: str
    """As `http://127.0.0.1:20123`, without a final slash."""
    store_id: str
    root: Path


@contextmanager
def serve(root: Path, host: str = HOST, port: int | None = None) -> Iterator[RunningHub]:
    """Serves the store at `root` from a thread for the block; it answers from the first line on.

    Args:
        root: folder of the store; made if it is not there.
        host: address to listen on.
        port: TCP port; None for the store's own, which stays from one time to the next, or another while that is taken.

    Raises:
        UsageError: the port or host cannot be listened on.
        WorkspaceError: the store has a newer format, is damaged, or cannot be written.
    """
    store = Store.open(root)
    store.sweep_uploads()
    listener = _listen(store, host, port)
    with listener, _running(store, listener):
        yield RunningHub(_url(listener), store.store_id, store.root)


def run_forever(
    root: Path, host: str = HOST, port: int | None = None, on_ready: Callable[[str], None] | None = None
) -> None:
    """Serves the store at `root` until SIGINT or SIGTERM, then returns; `on_ready` is called with the url.

    Raises as `serve` does, and HubError when the server ends by itself.
    """
    with _stop_by_signal() as stop, serve(root, host, port) as hub:
        if on_ready is not None:
            on_ready(hub.url)
        while not stop.wait(1.0):
            if not any(thread.name == _thread_name(hub.url) for thread in threading.enumerate()):
                message = f"the hub at {hub.url} has ended by itself"
                raise HubError(message, code="server-ended", hint="its log says why", url=hub.url)


@contextmanager
def _running(store: Store, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(
        make_app(store),
        log_config=None,
        server_header=False,
        loop="asyncio",
        http=_QuietProtocol,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name=_thread_name(_url(listener)), daemon=True
    )
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield
    finally:
        server.should_exit = True
        thread.join()


class _QuietProtocol(H11Protocol):
    """Logs no request. uvicorn's own switch for it empties a logger that belongs to the whole process."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.access_log = False


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise HubError("the embedded hub did not start", code="server-not-started", hint="its log says why")
        time.sleep(0.005)


def _listen(store: Store, host: str, port: int | None) -> socket.socket:
    if port is not None:
        listener = _bound(host, port)
    elif (own := store.port) is not None:
        listener = _try_bound(host, own) or _bound(host, 0)
    else:
        listener = _bound_anywhere(host)
    listener.listen(_BACKLOG)
    if store.port is None:
        store.remember_port(listener.getsockname()[1])
    return listener


def _bound_anywhere(host: str) -> socket.socket:
    for port in random.sample(_PORTS, _PORT_TRIES):
        listener = _try_bound(host, port)
        if listener is not None:
            return listener
    return _bound(host, 0)


def _try_bound(host: str, port: int) -> socket.socket | None:
    try:
        return _bound(host, port)
    except UsageError as problem:
        if problem.fields.get("errno") in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio turns Nagle's algorithm off only for such sockets, and it costs 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port that this server had a moment ago can be had again; one that is listened on cannot.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as problem:
        listener.close()
        raise _cannot_listen(host, port, problem) from problem
    return listener


def _cannot_listen(host: str, port: int, problem: Exception) -> UsageError:
    number = problem.errno if isinstance(problem, OSError) else None
    if number == errno.EADDRINUSE:
        code, message, hint = "port-in-use", f"port {port} of {host} is in use", "choose another port, or none"
    elif number == errno.EACCES:
        code, message, hint = "port-forbidden", f"port {port} of {host} needs more rights", "choose a port above 1023"
    else:
        code, message, hint = "host-unusable", f"cannot listen on port {port} of {host}: {problem}", f"try host {HOST}"
    return UsageError(message, code=code, hint=hint, host=host, port=port, errno=number)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # every address: of these, loopback can be called from here
        host = HOST if host == "0.0.0.0" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _thread_name(url: str) -> str:
    return f"mixhub hub {url}"


@contextmanager
def _stop_by_signal() -> Iterator[threading.Event]:
    stop = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop
        return
    before = {number: signal.signal(number, request_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
