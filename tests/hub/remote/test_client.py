"""What huggingface_hub raises, as our errors: each kind with its code, and bugs as they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import pytest
from huggingface_hub import errors
from huggingface_hub.utils import _http

from mixhub.endpoint import HUGGINGFACE, Endpoint
from mixhub.errors import HubError, HubUnreachableError, MixhubError, PushConflictError, RepoNotFoundError, UsageError
from mixhub.hub.remote.client import branch_heads, hub_errors, natural
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.refusals import refused

HUB = Endpoint("http://127.0.0.1:9", "a-token")


def answered(status: int, kind: type[errors.HfHubHTTPError] = errors.HfHubHTTPError, **headers: str) -> Exception:
    """What huggingface_hub raises for an answer with this status."""
    httpx = _http.default_client_factory.__globals__.get("httpx2") or _http.default_client_factory.__globals__["httpx"]
    request = httpx.Request("GET", f"{HUB.url}/api/x")
    return kind("refused", response=httpx.Response(status, request=request, headers=headers))


def upload_of(reason: Exception) -> RuntimeError:
    """What huggingface_hub raises when the upload of a file fails."""
    failed = RuntimeError("Error while uploading 'x' to the Hub.")
    failed.__cause__ = reason
    return failed


@pytest.mark.parametrize(
    ("raised", "code", "kind", "fields"),
    [
        (errors.OfflineModeIsEnabled("offline"), "hub-offline", HubUnreachableError, {}),
        (answered(403, errors.GatedRepoError), "repo-gated", HubError, {}),
        (answered(404, errors.RepositoryNotFoundError), "repo-not-found", RepoNotFoundError, {}),
        (errors.LocalEntryNotFoundError("not cached"), "hub-unreachable", HubUnreachableError, {}),
        (answered(412), "push-conflict", PushConflictError, {"status": 412}),
        (answered(401), "token-refused", HubError, {"status": 401}),
        (answered(403), "token-refused", HubError, {"status": 403}),
        (answered(404), "hub-answer-malformed", HubError, {"status": 404}),
        (answered(404, **{"X-Error-Code": "EntryNotFound"}), "hub-refused", HubError, {"status": 404}),
        (answered(500), "hub-refused", HubError, {"status": 500}),
        (
            ConnectionError("HTTP status client error (413 Payload) for url"),
            "upload-refused",
            HubError,
            {"status": 413},
        ),
        (upload_of(answered(500)), "hub-refused", HubError, {"status": 500}),
        (upload_of(ConnectionError("no route")), "hub-unreachable", HubUnreachableError, {}),
        (ConnectionError("no route"), "hub-unreachable", HubUnreachableError, {}),
        (TimeoutError("late"), "hub-unreachable", HubUnreachableError, {}),
        (KeyError("sha"), "hub-answer-malformed", HubError, {}),
        (json.JSONDecodeError("no", "<html>", 0), "hub-answer-malformed", HubError, {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_kind_of_failure_has_its_code(raised, code, kind, fields):
    told = {} if code == "hub-unreachable" else {"repo_id": "a/b", "revision": "seed-1"}
    with refused(code, kind, endpoint=HUB.url, **told, **fields), hub_errors(HUB, "a/b", "seed-1"):
        raise raised


@pytest.mark.parametrize(
    ("kind", "code"), [(errors.GatedRepoError, "repo-gated"), (errors.RepositoryNotFoundError, "repo-not-found")]
)
def test_what_a_hub_says_of_a_repo_that_it_does_not_show(kind, code):
    said = "Access to model a/b is restricted: accept its terms"
    with refused(code) as caught, hub_errors(HUB, "a/b"):
        raise kind("refused", response=answered(403).response, server_message=said)
    assert said in caught.value.message


def test_a_name_that_the_client_refuses():
    with refused("repo-id-malformed", UsageError, repo_id="a b"), hub_errors(HUB, "a b"):
        raise errors.HFValidationError("Repo id must be ...")


def test_a_revision_that_is_not_there_is_named_with_those_that_are(tmp_path):
    from huggingface_hub import HfApi

    with serve(tmp_path / "hub") as hub:
        endpoint = Endpoint(hub.url, LOCAL_TOKEN)
        HfApi(hub.url, token=LOCAL_TOKEN).create_repo("a/b")
        fields = {"repo_id": "a/b", "revision": "mian", "revisions": ("main",), "nearest": "main"}
        with refused("revision-not-found", **fields), hub_errors(endpoint, "a/b", "mian"):
            raise answered(404, errors.RevisionNotFoundError)
        with refused("repo-not-found"):
            branch_heads(endpoint, "a/other")


@pytest.mark.parametrize(
    "bug",
    [
        ValueError("of ours"),
        RuntimeError("of ours"),
        ZeroDivisionError("of ours"),
        HubError("of ours", code="push-unverified"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_none_of_the_hub_stays_as_it_is(bug):
    with pytest.raises(type(bug)) as caught, hub_errors(HUB, "a/b"):
        raise bug
    assert caught.value is bug


def test_the_reason_behind_a_failed_upload_is_raised_whatever_it_is():
    for reason in (ValueError("of ours"), HubError("misdirected", code="token-misdirected")):
        with pytest.raises(type(reason)) as caught, hub_errors(HUB, "a/b"):
            raise upload_of(reason)
        assert caught.value is reason


def test_a_guess_is_logged_with_what_it_was_made_of(caplog):
    with caplog.at_level(logging.DEBUG, "mixhub"), refused("hub-answer-malformed") as caught, hub_errors(HUB, "a/b"):
        raise TypeError("'NoneType' object is not iterable")
    assert isinstance(caught.value.__cause__, TypeError)
    [record] = [record for record in caplog.records if record.name == "mixhub.hub.remote.client"]
    assert (record.levelname, record.exc_info[0]) == ("DEBUG", TypeError)
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "mixhub"), refused("hub-refused"), hub_errors(HUB, "a/b"):
        raise answered(500)
    assert not [record for record in caplog.records if record.name.startswith("mixhub")]


@pytest.mark.parametrize(("hub", "hint"), [(Endpoint(HUGGINGFACE, False), "hf auth login"), (HUB, "MIXHUB_TOKEN")])
def test_who_is_refused_learns_how_to_log_in(hub, hint):
    with refused("token-refused") as caught, hub_errors(hub, "a/b"):
        raise answered(401)
    assert hint in str(caught.value.hint)


def test_names_are_in_the_order_in_which_people_count():
    names = ["seed-10", "main", "seed-2", "seed-2-step-10", "seed-2-step-9"]
    assert sorted(names, key=natural) == ["main", "seed-2", "seed-2-step-9", "seed-2-step-10", "seed-10"]


def test_no_error_shows_the_token():
    makers: list[Callable[[], Exception]] = [lambda: answered(401), lambda: answered(500), lambda: TimeoutError("x")]
    for maker in makers:
        with pytest.raises(MixhubError) as caught, hub_errors(HUB, "a/b", "seed-1"):
            raise maker()
        assert "a-token" not in f"{caught.value} {caught.value.hint} {caught.value.fields}"
