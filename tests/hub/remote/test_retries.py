"""A hub that says no, or not yet: what is waited for, for how long, and which reasons are passed on."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import HubError, HubUnreachableError, PushConflictError
from mixhub.hub.remote import client, retries
from mixhub.hub.remote.client import branch_heads, commit_files, hub_errors, read_bytes, snapshot
from mixhub.hub.remote.connect import open_hub
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.faults import LOCKED, faulty
from tests.refusals import refused

REPO = "a/b"
RATE_LIMIT = {"RateLimit": '"api";r=0;t=3', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
QUOTA = "Private repository storage limit reached, please upgrade your plan"
PATTERNS = "Your storage patterns tripped our internal systems! Please contact us"


@pytest.fixture
def hub(tmp_path):
    """A hub with a repo."""
    with serve(tmp_path / "hub") as hub:
        HfApi(hub.url, token=LOCAL_TOKEN).create_repo(REPO)
        yield Endpoint(hub.url, LOCAL_TOKEN)


@pytest.fixture
def proxy(hub):
    with faulty(hub.url) as proxy:
        yield proxy


@pytest.fixture
def through(proxy, tmp_path):
    """The same hub, by way of the proxy."""
    return Endpoint(proxy.url, LOCAL_TOKEN, tmp_path / "downloads")


def commit(hub: Endpoint) -> str:
    parent = branch_heads(hub, REPO)["main"]
    return commit_files(hub, REPO, "main", parent, [CommitOperationAdd("x", b"some words")], "A title")


def create_repo(hub: Endpoint) -> None:
    with hub_errors(hub, "a/c"):
        client.client(hub).create_repo("a/c", exist_ok=True)


def create_branch(hub: Endpoint) -> None:
    with hub_errors(hub, REPO):
        client.client(hub).create_branch(REPO, branch="seed-1", exist_ok=True)


def history(hub: Endpoint) -> list[str]:
    return [one.commit_id for one in HfApi(hub.url, token=LOCAL_TOKEN).list_repo_commits(REPO)]


@pytest.mark.parametrize(
    ("call", "method", "path", "fault", "expected"),
    [
        (commit, "POST", "/commit/main", {"status": 409, "reason": LOCKED, "times": 2}, [1, 2]),
        (commit, "POST", "/commit/main", {"status": 429, "headers": RATE_LIMIT}, [3]),
        (commit, "POST", "/commit/main", {"status": 429, "headers": {"Retry-After": "7"}}, [7]),
        (commit, "POST", "/preupload/", {"status": 503, "headers": {"Retry-After": "0"}}, [1]),
        (branch_heads, "GET", "/refs", {"status": 429, "headers": RATE_LIMIT}, [3]),
        (branch_heads, "GET", "/refs", {"status": 500}, [1]),
        (branch_heads, "GET", "/refs", {"cut": True, "times": 2}, [1, 2]),
        (create_repo, "POST", "/repos/create", {"status": 409, "reason": "conflicting operation is in progress"}, [1]),
        (create_repo, "POST", "/repos/create", {"status": 504, "forwarded": True}, [1]),
        (create_branch, "POST", "/branch/", {"status": 500, "forwarded": True}, [1]),
    ],
)
def test_a_busy_hub_is_waited_for(hub, through, proxy, waits, call, method, path, fault, expected):
    fault = proxy.fails(method, path, **{"times": 1, **fault})
    call(through, *([REPO] if call is branch_heads else []))
    assert fault.applied == len(expected) == fault.times
    assert waits == expected


def test_a_date_to_wait_for_is_understood(through, proxy, waits):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    proxy.fails("GET", "/refs", 503, headers={"Retry-After": later}, times=1)
    branch_heads(through, REPO)
    assert waits == [pytest.approx(100, abs=3)]


def test_what_waits_says_so(through, proxy, waits, caplog):
    proxy.fails("GET", "/refs", 429, headers=RATE_LIMIT, times=1)
    with caplog.at_level(logging.WARNING):
        branch_heads(through, REPO)
    [record] = [record for record in caplog.records if record.name == "mixhub.hub.remote.retries"]
    assert re.search(r"429.* 3 s", record.getMessage())


@pytest.mark.parametrize(
    "fault",
    [{"status": 500, "forwarded": True}, {"status": 504, "forwarded": True}, {"cut": True}, {"status": 504}],
    ids=["500, made", "504, made", "answer cut, made", "504, not made"],
)
def test_a_commit_whose_answer_is_lost_is_made_once(hub, through, proxy, waits, fault):
    before = history(hub)
    applied = proxy.fails("POST", "/commit/main", times=1, **fault)
    made = commit(through)
    assert applied.applied == 1
    assert history(hub) == [made, *before]


def test_a_commit_of_somebody_else_meanwhile_is_a_conflict(hub, through, proxy, waits):
    parent = branch_heads(hub, REPO)["main"]
    theirs = commit(hub)
    proxy.fails("POST", "/commit/main", 504, times=1)
    with refused("push-conflict", PushConflictError):
        commit_files(through, REPO, "main", parent, [CommitOperationAdd("y", b"y")], "Another title")
    assert history(hub)[0] == theirs


@pytest.mark.parametrize(
    ("status", "headers", "reason", "code", "seconds"),
    [
        (429, {"RateLimit": '"api";r=0;t=1800'}, "You have reached your rate limit", "hub-busy", 1800),
        (429, {"Retry-After": "3600"}, "slow down", "hub-busy", 3600),
        (409, {}, LOCKED, "hub-busy", None),
        (503, {}, "maintenance", "hub-refused", None),
    ],
)
@pytest.mark.parametrize("call", [commit, create_repo])
def test_waiting_ends(through, proxy, waits, call, status, headers, reason, code, seconds):
    proxy.fails("POST", "/commit/|/repos/create", status, reason=reason, headers=headers)
    with refused(code, HubError, status=status) as caught:
        call(through)
    assert reason in caught.value.message
    assert sum(waits) <= retries.PATIENCE_LOCKED
    if seconds:
        assert (waits, caught.value.fields["seconds"]) == ([], seconds)
        assert f"{seconds} s" in caught.value.hint
    else:
        assert waits


def test_a_listing_is_waited_for_once_by_mixhub_and_not_again_by_its_client(through, proxy, waits):
    proxy.fails("GET", "/tree/", 503)
    with refused("hub-refused", HubError, status=503):
        client.remote_tree(through, REPO, "main")
    assert proxy.count("GET", "/tree/") == len(waits) + 1
    assert sum(waits) <= retries.PATIENCE


def test_a_connection_that_is_always_lost(through, proxy, waits):
    proxy.fails("GET", "/refs", cut=True)
    with refused("hub-unreachable", HubUnreachableError):
        branch_heads(through, REPO)
    assert 0 < sum(waits) <= retries.PATIENCE


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (403, PATTERNS, "hub-refused"),
        (403, QUOTA, "hub-refused"),
        (402, "Payment required", "hub-refused"),
        (413, "Too large", "hub-refused"),
        (422, "Not like this", "hub-refused"),
        (403, "You don't have the rights to create a model under the namespace", "token-refused"),
        (401, "Invalid credentials in Authorization header", "token-refused"),
    ],
)
@pytest.mark.parametrize(("call", "path"), [(commit, "/commit/"), (create_repo, "/repos/create")])
def test_the_reason_of_a_refusal_is_passed_on(through, proxy, waits, call, path, status, reason, code):
    proxy.fails("POST", path, status, reason=reason)
    with refused(code, HubError, status=status) as caught:
        call(through)
    assert reason in caught.value.message
    assert bool(re.search("TOKEN|login", caught.value.hint)) == (code == "token-refused")
    assert waits == []


@pytest.mark.parametrize("fault", [{"status": 429, "headers": RATE_LIMIT}, {"status": 503}, {"cut": True}])
def test_bytes_of_a_file_are_asked_for_again(hub, through, proxy, waits, fault):
    head = commit(hub)
    proxy.fails("GET", "/resolve/", times=1, **fault)
    assert read_bytes(through, REPO, head, "x", 4) == b"some"
    assert len(waits) == 1
    assert read_bytes(through, REPO, head, "x", 3, start=1) == b"ome"


@pytest.mark.parametrize("fault", [{"status": 429, "headers": RATE_LIMIT}, {"cut": True}])
def test_a_download_waits_too(hub, through, proxy, waits, fault):
    head = commit(hub)
    proxy.fails("GET", "/revision/", times=1, **fault)
    assert snapshot(through, REPO, "main").name == head
    assert len(waits) == 1


def test_the_identity_of_a_hub_is_asked_for_again(hub, proxy, waits):
    """A hub that is not known to be an embedded one would get no token, and other downloads."""
    proxy.fails("GET", "/api/mixhub", 503, times=1)
    with open_hub(HubChoice(proxy.url, "the test"), None) as again:
        assert again.store_id
    assert waits == [1]
