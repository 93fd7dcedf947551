"""A proxy in front of a hub that answers chosen requests with a fault, as public hubs do."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from mixhub.hub.remote import retries

_HOP = {"connection", "transfer-encoding", "keep-alive"}
LOCKED = "Another commit operation is in progress for this repository. Please try again later."
"""What huggingface.co says, with status 409, while it makes another commit of a repo."""


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that mixhub would have waited for a hub; it does not wait."""
    waited: list[float] = []
    monkeypatch.setattr(retries, "sleep", waited.append)
    return waited


@dataclass
class Fault:
    """What happens to requests that match, from the `nth` on, `times` times."""

    method: str
    """As `GET`; `*` matches every method."""
    path: str
    """A regular expression that is searched in path and query."""
    status: int = 503
    reason: str = "the test says no"
    """`error` in the JSON body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    nth: int = 1
    """The first request that it happens to, counted from 1 among those that match."""
    times: int = 1_000_000
    forwarded: bool = False
    """Whether the hub gets the request all the same, and its answer is lost."""
    cut: bool = False
    """Send the hub's answer, but only half of the body."""
    seen: int = 0
    """Requests that matched."""

    @property
    def applied(self) -> int:
        """How often it happened."""
        return max(0, min(self.seen - self.nth + 1, self.times))


@dataclass
class Proxy:
    """A running proxy. Faults can be added while it runs; the first that matches counts."""

    url: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """All requests, as `GET /api/models/a/b`."""

    def fails(self, method: str, path: str, status: int = 503, **fields: object) -> Fault:
        """Add a fault; see `Fault`. `headers={"Location": …}` with status 302 is a redirect."""
        self.faults.append(Fault(method, path, status, **fields))  # type: ignore[arg-type]
        return self.faults[-1]

    def count(self, method: str, path: str) -> int:
        """How many requests matched."""
        return sum(re.search(f"^{re.escape(method)} .*(?:{path})", one) is not None for one in self.requests)


@contextmanager
def faulty(hub_url: str) -> Iterator[Proxy]:
    """A proxy in front of a hub, which believes to be at the proxy's address, for the block."""
    lock = threading.Lock()
    target = urlsplit(hub_url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                proxy.requests.append(f"{self.command} {self.path}")
                fault = _due(proxy.faults, self.command, self.path)
            if fault is None or fault.forwarded or fault.cut:
                status, headers, content = self.forwarded(body)
            if fault is not None and not fault.cut:
                content = json.dumps({"error": fault.reason}).encode()
                status, headers = fault.status, {"Content-Type": "application/json", **fault.headers}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "content-length" not in {name.lower() for name in headers}:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if fault is not None and fault.cut else content)
            self.close_connection = fault is not None and fault.cut

        def forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, {key: value for key, value in answer.getheaders() if key.lower() not in _HOP}, content

        def log_message(self, *arguments: object) -> None:
            return

    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _due(faults: list[Fault], method: str, path: str) -> Fault | None:
    """The fault of a request; all that match count it."""
    due = None
    for fault in faults:
        if fault.method in ("*", method) and re.search(fault.path, path):
            fault.seen += 1
            if due is None and fault.nth <= fault.seen < fault.nth + fault.times:
                due = fault
    return due
