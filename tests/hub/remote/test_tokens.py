"""A token goes to the hub that it was given for, and is written nowhere."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import get_session

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubError
from mixhub.hub.publish.branch_plans import plan_run
from mixhub.hub.publish.push import push_plan
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.remote.tokens import token_guard
from mixhub.hub.verify.repo import verify
from mixhub.hubserver import serve
from tests.adopted import adopted_workspace
from tests.hub.wires import heard, wire
from tests.refusals import refused

SAVED, GIVEN = "hf_saved_for_huggingface", "given_for_one_hub"


def test_tokens_go_where_they_were_given_for_and_stay_nowhere(tmp_path, mixhub):
    workspace = adopted_workspace(tmp_path, seeds=[1])
    first, second = bytearray(), bytearray()
    said = ""
    with (
        serve(tmp_path / "staging") as staging,
        serve(tmp_path / "public") as public,
        wire(staging.url, heard(first)) as one,
        wire(public.url, heard(second)) as two,
    ):
        environ = {"HF_TOKEN": SAVED, "MIXHUB_HUB": one, "MIXHUB_TOKEN": GIVEN, "HF_DEBUG": "1"}
        for command in (
            ("push", "--all"),
            ("verify",),
            ("promote", "--all", "--from", one, "--hub", two),
            ("generate", "--seed", 1, "the", "--hub", two, "--tokens", 2),
            ("push", "--seed", 1, "--hub", "http://127.0.0.1:9"),
        ):
            done = mixhub(*command, cwd=workspace.root, **environ)
            said += done.stdout + done.stderr
            assert done.returncode == (2 if "http://127.0.0.1:9" in command else 0), done.stderr
    assert GIVEN.encode() in first
    for token in (SAVED, GIVEN):
        assert token not in said
        assert token.encode() not in second
        assert not [
            path
            for path in tmp_path.rglob("*")
            if path.is_file() and not path.is_symlink() and token.encode() in path.read_bytes()
        ]
    assert SAVED.encode() not in first


@contextmanager
def mirror(hub: str, change: Callable[[str, dict[str, str], bytes], bytes]) -> Iterator[str]:
    """A server that passes everything on to a hub; `change` may change headers, and gives the body of an answer."""

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            asked = Request(hub + self.path, sent, headers, method=self.command)
            try:
                answer = urlopen(asked)
            except HTTPError as error:
                answer = error
            told = {name: value for name, value in answer.headers.items() if name.lower() != "transfer-encoding"}
            body = change(self.path, told, answer.read())
            if self.command != "HEAD":
                told = {name: value for name, value in told.items() if name.lower() != "content-length"}
                told["content-length"] = str(len(body))
            self.send_response(answer.status)
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            return

    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.pass_on)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("listing", ["tree", "commits"])
def test_a_token_does_not_follow_an_answer_to_another_host(tmp_path, listing):
    """A mirror that passes on the `Link` of the hub behind it names that hub for the next page."""
    workspace = adopted_workspace(tmp_path, seeds=[1])
    family, heard_there = workspace.family(), bytearray()
    run = family.run(seed=1)
    with serve(tmp_path / "hub") as hub, wire(hub.url, heard(heard_there)) as elsewhere:

        def lead_away(path: str, headers: dict[str, str], body: bytes) -> bytes:
            if f"/{listing}/" in path:
                headers["link"] = f'<{elsewhere}{path}?page=2>; rel="next"'
            return body

        def pass_on(path: str, headers: dict[str, str], body: bytes) -> bytes:
            return body

        with mirror(hub.url, pass_on) as url, open_hub(HubChoice(url, "the test", GIVEN), workspace) as endpoint:
            push_plan(plan_run(workspace, family, run, endpoint), workspace, endpoint)
            assert not verify(endpoint, family.repo_id).findings
        workspace.path("revision.md").write_text("## More\n\nwords\n")
        workspace.push_receipts.unlink()  # without them, the commits tell who wrote the card
        with (
            mirror(hub.url, lead_away) as url,
            open_hub(HubChoice(url, "the test", GIVEN), workspace) as endpoint,
            refused("token-misdirected", HubError, host=elsewhere) as caught,
        ):
            plan_run(workspace, family, run, endpoint)
    assert GIVEN not in f"{caught.value} {caught.value.hint}"
    assert not heard_there


def test_a_token_is_refused_to_another_host_whatever_is_asked(tmp_path):
    """As where an upload is to be confirmed; without a token, or with another, anything may be asked."""
    heard_there = bytearray()
    with serve(tmp_path / "hub") as hub, wire(hub.url, heard(heard_there)) as elsewhere:
        with token_guard(Endpoint(hub.url, GIVEN)):
            ask = get_session().post
            with refused("token-misdirected", HubError, host=elsewhere, endpoint=hub.url):
                ask(f"{elsewhere}/verify", headers={"authorization": f"Bearer {GIVEN}"})
            assert not heard_there
            ask(f"{hub.url}/verify", headers={"authorization": f"Bearer {GIVEN}"})
            ask(f"{elsewhere}/verify", headers={"authorization": "Bearer another"})
        ask(f"{elsewhere}/verify", headers={"authorization": f"Bearer {GIVEN}"})
        assert GIVEN.encode() in heard_there
