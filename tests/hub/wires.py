"""The wire between a client and a hub: heard, or cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def heard(by: bytearray) -> Callable[[bytes], bool]:
    """Lets everything pass, and keeps it."""

    def passes(data: bytes) -> bool:
        by.extend(data)
        return True

    return passes


@contextmanager
def wire(url: str, passes: Callable[[bytes], bool]) -> Iterator[str]:
    """The address of a proxy to a hub, for the block.

    Args:
        url: the hub's address.
        passes: is told of all bytes that go to the hub; once it says False, every connection is cut, and each new one.
    """
    port = int(url.rpartition(":")[2])
    cut, lock = threading.Event(), threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, to_hub: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                with lock:
                    if to_hub and not passes(data):
                        cut.set()
                if cut.is_set():
                    break
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if cut.is_set():
                client.close()
                continue
            upstream = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, upstream, True), (upstream, client, False)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        cut.set()
        listener.close()
