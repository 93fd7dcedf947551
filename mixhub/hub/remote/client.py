"""huggingface_hub for one endpoint, with its errors translated to ours."""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.endpoint import HUGGINGFACE, Endpoint
from mixhub.errors import (
    HubError,
    HubUnreachableError,
    MixhubError,
    PushConflictError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UsageError,
    nearest,
)
from mixhub.files import natural, writing
from mixhub.hub.remote.files import MAIN, RemoteFile
from mixhub.hub.remote.retries import is_lost, repeat, seconds_named
from mixhub.hub.remote.tokens import token_guard
from mixhub.phrases import listed

if TYPE_CHECKING:
    from huggingface_hub import GitRefInfo, GitRefs, HfApi

    from mixhub.spec.values import Label

_LOG = logging.getLogger(__name__)

PARALLEL_REQUESTS = 4
"""Branches that are requested at the same time."""
_NOT_A_HUB = (json.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError)
"""Errors that huggingface_hub raises for an answer it does not expect."""
_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
"""How hf_xet reports that a hub answered and refused."""
_REASON = 400
"""Characters of a hub's reason in a message."""
_ABOUT_ACCESS = re.compile(r"token|permission|authori[sz]|authenticat|credential|log ?in|rights|forbidden", re.I)
"""Reasons of status 403 that another token resolves; a full quota is another one."""
_TRANSPORTS = ("httpx", "httpx2", "httpcore", "httpcore2")
"""HTTP clients below huggingface_hub, by version."""
_REACH = "check the address and the network; the embedded hub, `local`, needs none"
_PARTIAL = 206
"""Status of an answer with the part of a file that was asked for."""
_TIMEOUT = 30.0
"""Seconds to wait for the first bytes of a file."""
_TRANSLATIONS: dict[str, tuple[type[HubError], str, str, str]] = {
    "OfflineModeIsEnabled": (
        HubUnreachableError, "hub-offline", "HF_HUB_OFFLINE is set, and {what} is not in the cache",
        "unset HF_HUB_OFFLINE, or run it once with network access",
    ),
    "GatedRepoError": (
        HubError, "repo-gated", "{repo_id} is gated, and this token has no access",
        "request access at {endpoint}/{repo_id}, then run hf auth login",
    ),
    "RepositoryNotFoundError": (
        RepoNotFoundError, "repo-not-found", "no repo {repo_id}, or it is private",
        "check the name, and the hub: --hub, MIXHUB_HUB, mixhub.yaml or HF_ENDPOINT",
    ),
    "LocalEntryNotFoundError": (
        HubUnreachableError, "hub-unreachable", "cannot be reached, and {what} is not in the cache", _REACH,
    ),
}  # fmt: skip
"""Class, code, message and hint by error of huggingface_hub; the first match counts (some are subclasses)."""


def client(endpoint: Endpoint) -> HfApi:
    """Return the client of an endpoint; it sends the endpoint's token and no other."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint.url, token=endpoint.token, library_name="mixhub")


@contextmanager
def hub_errors(endpoint: Endpoint, repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Translate errors of huggingface_hub in the block to ours, which name repo, revision and endpoint.

    The block sends the endpoint's token nowhere else.
    """
    try:
        with token_guard(endpoint):
            yield
    except Exception as raised:
        cause = raised.__cause__  # of a failed upload, huggingface_hub raises a bare RuntimeError
        error = cause if isinstance(raised, RuntimeError) and isinstance(cause, Exception) else raised
        if (ours := _translated(error, endpoint, repo_id, revision)) is not None:
            raise ours from None
        if (guess := _guess(error, endpoint, repo_id, revision)) is not None:
            _LOG.debug("%s: %s is reported as: %s", endpoint, type(error).__name__, guess.message, exc_info=error)
            raise guess from error
        if error is raised:
            raise
        raise error from None


def _translated(error: Exception, endpoint: Endpoint, repo_id: str, revision: str | None) -> MixhubError | None:
    """Return our error for a documented one of huggingface_hub."""
    from huggingface_hub import errors

    fields = {"repo_id": repo_id, "revision": revision, "endpoint": endpoint.url}
    if isinstance(error, errors.RevisionNotFoundError):
        return revision_not_found(endpoint, repo_id, str(revision))
    for name, (kind, code, message, hint) in _TRANSLATIONS.items():
        if isinstance(error, getattr(errors, name)):
            message = message.format(**fields, what=f"{repo_id} at {revision}" if revision else repo_id)
            if said := _reason(error):
                message += f": {said}"
            return kind(f"{endpoint}: {message}", code=code, hint=hint.format(**fields), **fields)
    if isinstance(error, errors.HFValidationError):
        message = f"{repo_id!r} is not a repo_id: {str(error).splitlines()[0]}"
        return UsageError(message, code="repo-id-malformed", repo_id=repo_id)
    return _refused(error, endpoint, fields) if isinstance(error, errors.HfHubHTTPError) else None


def _refused(error: Any, endpoint: Endpoint, fields: dict[str, Any]) -> HubError:
    """Return the error for an answer, by its status; the message has the hub's reason."""
    status = getattr(error.response, "status_code", None)
    repo_id = fields["repo_id"]
    reason = _reason(error)
    said = reason or (str(error).strip().splitlines() or ["no reason given"])[0]
    kind, code = HubError, "hub-refused"
    message = f"refused a request for {repo_id} (status {status}): {said}"
    hint = "retry; if it persists, contact the hub's operators"
    if status == 412:
        kind, code, hint = PushConflictError, "push-conflict", "look at what was pushed, then push again"
        message = f"somebody pushed to {repo_id} during this push, which published nothing"
    elif status == 401 or (status == 403 and (not reason or _ABOUT_ACCESS.search(reason))):
        code, message = "token-refused", f"not allowed for {repo_id} (status {status}): {said}"
        hint = "run hf auth login" if endpoint.url == HUGGINGFACE else "set MIXHUB_HUB and MIXHUB_TOKEN"
    elif status in (409, 429):
        seconds = seconds_named(error.response)
        code, fields = "hub-busy", {**fields, "seconds": seconds}
        hint = f"try again in {seconds} s" if seconds else "try again in a few minutes"
    elif status == 404 and not error.response.headers.get("X-Error-Code"):
        code, hint = "hub-answer-malformed", "check that this is the address of a hub"
        message = f"does not know {repo_id} (status 404), and does not answer like a Hub{reason and f': {reason}'}"
    elif status is not None and status < 500:
        hint = "resolve what the hub names, then run the same command again"
    return kind(f"{endpoint}: {message}", code=code, hint=hint, **fields, status=status)


def _reason(error: Exception) -> str:
    """Return what a hub says of a refusal; empty if nothing."""
    return " ".join((getattr(error, "server_message", None) or "").split())[:_REASON]


def _guess(error: Exception, endpoint: Endpoint, repo_id: str, revision: str | None) -> MixhubError | None:
    """Return our error for an undocumented one, by its type, text and origin; None: it is a bug."""
    fields = {"repo_id": repo_id, "revision": revision, "endpoint": endpoint.url}
    if isinstance(error, ConnectionError) and (status := _XET_STATUS.search(str(error))):
        message = f"{endpoint}: refused large files of {repo_id} (status {status[1]})"
        hint = "push again; if it persists, set HF_HUB_DISABLE_XET=1"
        if status[1] in ("413", "507"):
            hint = "the hub has no room for them: free some there, then push again"
        return HubError(message, code="upload-refused", hint=hint, status=int(status[1]), **fields)
    if isinstance(error, ConnectionError | TimeoutError) or type(error).__module__.split(".")[0] in _TRANSPORTS:
        return unreachable(endpoint)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    is_of_client = bool(frames) and str(frames[-1].f_globals.get("__name__", "")).startswith("huggingface_hub")
    if isinstance(error, _NOT_A_HUB) or (isinstance(error, ValueError) and is_of_client):
        message = f"{endpoint}: does not answer like a Hub ({type(error).__name__}: {str(error).splitlines()[0]})"
        hint = "check that this is the address of a hub, not of a login page or a proxy"
        return HubError(message, code="hub-answer-malformed", hint=hint, **fields)
    return None


def unreachable(endpoint: Endpoint) -> HubUnreachableError:
    """Return the error for a hub that does not answer."""
    return HubUnreachableError(f"{endpoint}: no answer", hint=_REACH, endpoint=endpoint.url)


def revision_not_found(endpoint: Endpoint, repo_id: str, revision: str) -> RevisionNotFoundError:
    """Return the error for a missing revision; it lists the existing ones and names the nearest."""
    refs = _refs(endpoint, repo_id)
    names = sorted((ref.name for ref in (*refs.branches, *refs.tags)), key=natural)
    near = nearest(revision, names)
    fields: dict[str, Any] = {"repo_id": repo_id, "revision": revision, "endpoint": endpoint.url}
    message = f"{endpoint}: {repo_id} has no revision {revision!r}{f'; did you mean {near}?' if near else ''}"
    hint = f"use one of: {listed(names, most=12)}" if names else "push a branch first: the repo has none"
    return RevisionNotFoundError(message, hint=hint, nearest=near, revisions=tuple(names), **fields)


def branch_heads(endpoint: Endpoint, repo_id: str, *, missing_ok: bool = False) -> dict[str, str]:
    """Return the commit of each branch of a repo, in natural order; `missing_ok`: empty without the repo."""
    try:
        return _commits(_refs(endpoint, repo_id).branches)
    except RepoNotFoundError:
        if not missing_ok:
            raise
        return {}


def tags(endpoint: Endpoint, repo_id: str) -> dict[str, str]:
    """Return the commit of each tag of a repo, in natural order."""
    return _commits(_refs(endpoint, repo_id).tags)


def _refs(endpoint: Endpoint, repo_id: str) -> GitRefs:
    with hub_errors(endpoint, repo_id):
        return client(endpoint).list_repo_refs(repo_id)


def _commits(refs: Iterable[GitRefInfo]) -> dict[str, str]:
    return {ref.name: ref.target_commit for ref in sorted(refs, key=lambda ref: natural(ref.name))}


def repos_named(endpoint: Endpoint, pattern: str) -> dict[Label, str]:
    """Return the repos of models whose names fit a pattern with one placeholder, by what stands in its place.

    Numbers in ascending order; words only if there are no numbers.
    """
    before, after = re.split(r"\{\w+\}", pattern)
    owner, _, start = before.partition("/")
    with hub_errors(endpoint, pattern):
        names = [model.id for model in client(endpoint).list_models(author=owner, search=start or None)]
    fit = re.compile(rf"{re.escape(before)}(0|[1-9]\d*|[A-Za-z][A-Za-z0-9._-]*){re.escape(after)}")
    found = {match[1]: name for name in names if (match := fit.fullmatch(name))}
    if numbers := sorted(int(label) for label in found if label.isdecimal()):
        return {number: found[str(number)] for number in numbers}
    return {label: found[label] for label in sorted(found)}


def first_commit(endpoint: Endpoint, repo_id: str) -> str:
    """Return the first commit of a repo, on which new branches are built."""
    with hub_errors(endpoint, repo_id, MAIN):
        return str(client(endpoint).list_repo_commits(repo_id, revision=MAIN)[-1].commit_id)


def commit_files(
    endpoint: Endpoint, repo_id: str, branch: str, parent: str, operations: Sequence[Any], message: str
) -> str:
    """Make a commit on a branch that is still at `parent`; return it.

    If the answer is lost, or the hub fails, look whether the commit was made, and send it again if not.
    """
    options: dict[str, Any] = {"commit_message": message, "revision": branch, "parent_commit": parent}
    is_uncertain = False

    def send() -> str:
        nonlocal is_uncertain
        try:
            with hub_errors(endpoint, repo_id, branch):
                return str(client(endpoint).create_commit(repo_id, operations, **options).oid)
        except HubError as error:
            if not (_has_failed(error) or (isinstance(error, PushConflictError) and is_uncertain)):
                raise
            is_uncertain = True
            if made := _made_commit(endpoint, repo_id, branch, parent, message, error):
                return made
            raise

    return repeat(send, _has_failed, str(endpoint))


def _has_failed(error: Exception) -> bool:
    """Whether a hub did not answer or failed, so that what became of a request is unknown."""
    status = error.fields.get("status") if isinstance(error, HubError) else None
    return isinstance(error, HubUnreachableError) or (isinstance(status, int) and status >= 500)


def _made_commit(
    endpoint: Endpoint, repo_id: str, branch: str, parent: str, message: str, problem: HubError
) -> str | None:
    """Return the commit on top of `parent` with this title; None without one. Raises `problem` if nothing answers."""
    try:
        with hub_errors(endpoint, repo_id, branch):
            commits = client(endpoint).list_repo_commits(repo_id, revision=branch)
    except HubError:
        raise problem from None
    is_made = [commit.commit_id for commit in commits[1:2]] == [parent] and commits[0].title == message
    return str(commits[0].commit_id) if is_made else None


def remote_tree(endpoint: Endpoint, repo_id: str, revision: str) -> dict[str, RemoteFile]:
    """Return the files of a revision, by path."""
    from huggingface_hub import RepoFile

    with hub_errors(endpoint, repo_id, revision):
        entries = list(client(endpoint).list_repo_tree(repo_id, recursive=True, revision=revision))
    return {
        entry.path: RemoteFile(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def snapshot(endpoint: Endpoint, repo_id: str, revision: str | None = None, **options: Any) -> Path:
    """Return the folder of a revision's files, downloaded unless cached; options go to `snapshot_download`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    options = {"endpoint": endpoint.url, "token": endpoint.token, "cache_dir": endpoint.cache_dir, **options}
    folder = options.get("local_dir") or options["cache_dir"] or HF_HUB_CACHE
    with hub_errors(endpoint, repo_id, revision), writing(Path(folder)):
        return Path(str(snapshot_download(repo_id, revision=revision, **options)))


def file_content(endpoint: Endpoint, repo_id: str, commit: str, path: str) -> bytes:
    """Return the content of a small file of a commit, from the cache if it is there."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.constants import HF_HUB_CACHE

    options: dict[str, Any] = {"endpoint": endpoint.url, "token": endpoint.token, "cache_dir": endpoint.cache_dir}
    with hub_errors(endpoint, repo_id, commit), writing(Path(endpoint.cache_dir or HF_HUB_CACHE)):
        return Path(hf_hub_download(repo_id, path, revision=commit, **options)).read_bytes()


def read_bytes(endpoint: Endpoint, repo_id: str, commit: str, path: str, count: int, start: int = 0) -> bytes:
    """Return some bytes of a file, by default the first ones, by one range request; fewer if the file is shorter.

    Of a hub that ignores ranges, no more is received than the first bytes, and others are refused.
    """
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status

    from mixhub.hub.remote.huggingface_private import build_hf_headers

    url = hf_hub_url(repo_id, path, revision=commit, endpoint=endpoint.url)
    headers = {
        **build_hf_headers(token=endpoint.token, library_name="mixhub"),
        "range": f"bytes={start}-{start + count - 1}",
    }

    def read() -> bytes:
        received = bytearray()
        with get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
            hf_raise_for_status(response)
            if start and response.status_code != _PARTIAL:
                message = f"{endpoint}: ignores which part of {path} in {repo_id} is asked for"
                raise HubError(message, code="hub-answer-malformed", hint="use another hub", path=path)
            for part in response.iter_bytes():
                received += part
                if len(received) >= count:
                    break
        return bytes(received[:count])

    with hub_errors(endpoint, repo_id, commit):
        return repeat(read, is_lost, str(endpoint))
