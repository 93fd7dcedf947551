"""What hubs say of cards: a real embedded one, and what else may answer at an address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from huggingface_hub import constants

from mixhub.card.page.render import render_catalog
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, HubUnreachableError
from mixhub.hub.publish.validate import Answer, validate
from mixhub.hubserver import RunningHub
from tests.refusals import refused


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[Endpoint, list[dict[str, Any]]]]:
    """A server that gives one answer, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "token": self.headers.get("Authorization"), "body": content})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Endpoint(f"http://127.0.0.1:{server.server_port}", False), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_rendered_card_is_taken(endpoint: Endpoint) -> None:
    assert validate(endpoint, render_catalog("human-1b").text) == Answer((), ())


def test_what_the_hub_refuses_and_warns_of(endpoint: Endpoint) -> None:
    refused = validate(endpoint, "---\ntags: [no]\nmodel-index: 3\n---\n# A\n")
    assert len(refused.errors) == 2
    assert refused.errors[0].startswith('"tags.0": ')
    assert refused.errors[1].startswith('"model-index": ')
    warned = validate(endpoint, "# A card without metadata\n")
    assert warned == Answer((), ("empty or missing yaml metadata in repo card",))


def test_nothing_is_written(endpoint: Endpoint, hub: RunningHub) -> None:
    before = sorted(hub.root.rglob("*"))
    validate(endpoint, "---\nlicense: mit\n---\n")
    assert sorted(hub.root.rglob("*")) == before


@pytest.mark.parametrize(("token", "sent"), [(False, None), ("hub_secret", "Bearer hub_secret")])
def test_the_token_of_the_endpoint_is_sent_and_no_other(
    monkeypatch: pytest.MonkeyPatch, token: Any, sent: str | None
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_saved_for_another_hub")
    with answering(200, b'{"errors": [], "warnings": [{"message": "a\\n  b"}]}') as (endpoint, asked):
        assert validate(Endpoint(endpoint.url, token), "the card") == Answer((), ("a b",))
    (request,) = asked
    assert request == {
        "path": "/api/validate-yaml",
        "token": sent,
        "body": {"repoType": "model", "content": "the card"},
    }


def test_an_answer_as_huggingface_gives_it() -> None:
    body = {"errors": [{"message": '"license" must be one of [apache-2.0, mit]'}], "warnings": []}
    with answering(400, json.dumps(body).encode()) as (endpoint, _):
        assert validate(endpoint, "x").errors == ('"license" must be one of [apache-2.0, mit]',)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b"{}", "validation-refused"),
        (500, b"oops", "hub-refused"),
        (400, b'{"errors": []}', "validation-refused"),
        (200, b"<html>a login page</html>", "hub-answer-malformed"),
        (200, b"[]", "hub-answer-malformed"),
        (200, b"{}", "hub-answer-malformed"),
        (400, b'{"error": "no such route"}', "hub-answer-malformed"),
        (200, b'{"errors": ["a"]}', "hub-answer-malformed"),
        (200, b'{"errors": [{"message": null}]}', "hub-answer-malformed"),
    ],
)
def test_what_is_no_answer(status: int, body: bytes, code: str, waits: list[float]) -> None:
    with answering(status, body) as (endpoint, _), refused(code, HubError, endpoint=endpoint.url) as raised:
        validate(endpoint, "x")
    assert raised.value.hint
    assert raised.value.fields.get("status") in (None, status)
    assert not isinstance(raised.value, HubUnreachableError)


def test_nobody_answers() -> None:
    with answering(200, b"{}") as (endpoint, _):
        pass
    with refused("hub-unreachable", HubUnreachableError, endpoint=endpoint.url):
        validate(endpoint, "x")


def test_offline(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with refused("hub-offline", HubUnreachableError, endpoint=endpoint.url):
        validate(endpoint, "x")
