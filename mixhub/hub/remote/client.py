"""huggingface_hub for one endpoint, and its errors as ours."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
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
from mixhub.hub.remote.files import MAIN, RemoteFile
from mixhub.hub.remote.tokens import token_guard
from mixhub.phrases import listed

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOG = logging.getLogger(__name__)

ASKED_AT_ONCE = 4
"""Branches of which a hub is asked at the same time."""

_NOT_A_HUB = (json.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError)
"""What huggingface_hub raises when an answer is not what it expects."""

_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
"""How hf_xet tells that a hub answered, and refused."""
_REACH = "check the address and the network; the hub that needs none is the embedded one, `local`"
_PATIENCE = 30.0
"""Seconds to wait for the first bytes of a file."""


def client(endpoint: Endpoint) -> HfApi:
    """The client of an endpoint; it sends the endpoint's token and no other."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint.url, token=endpoint.token, library_name="mixhub")


@dataclass(frozen=True)
class _Asked:
    """What a hub was asked for."""

    endpoint: Endpoint
    repo_id: str
    revision: str | None

    @property
    def at(self) -> str:
        """` at seed-1`; empty without a revision."""
        return f" at {self.revision}" if self.revision else ""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of an error."""
        return {"repo_id": self.repo_id, "revision": self.revision, "endpoint": self.endpoint.url}


@contextmanager
def hub_errors(endpoint: Endpoint, repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turns what huggingface_hub raises inside the block into our errors, which name repo, revision and endpoint; and
    sends the endpoint's token nowhere else."""
    asked = _Asked(endpoint, repo_id, revision)
    try:
        with token_guard(endpoint):
            yield
    except Exception as error:
        known = _known(error)
        for kind, translate in _translations():
            if isinstance(known, kind):
                raise translate(asked, known) from None
        if (guess := _guess(asked, known)) is None:
            if known is error:
                raise
            raise known from None
        _LOG.debug("%s: %s is taken for: %s", endpoint, type(known).__name__, guess.message, exc_info=known)
        raise guess from known


def _known(error: Exception) -> Exception:
    """What went wrong: of an upload, huggingface_hub says only that it failed, and has the reason behind it."""
    behind = error.__cause__
    return behind if isinstance(error, RuntimeError) and isinstance(behind, Exception) else error


@cache
def _translations() -> tuple[tuple[type[Exception], Callable[[_Asked, Any], MixhubError]], ...]:
    """Our errors by what huggingface_hub raises; the first that fits counts, since some are kinds of others."""
    from huggingface_hub import errors

    return (
        (errors.OfflineModeIsEnabled, _offline),
        (errors.RevisionNotFoundError, _no_revision),
        (errors.GatedRepoError, _gated),
        (errors.RepositoryNotFoundError, _no_repo),
        (errors.LocalEntryNotFoundError, _not_cached),
        (errors.HfHubHTTPError, _refused),
        (errors.HFValidationError, _no_repo_id),
    )


def _offline(asked: _Asked, _: Exception) -> MixhubError:
    return HubUnreachableError(
        f"{asked.endpoint}: HF_HUB_OFFLINE is set, and {asked.repo_id}{asked.at} is not in the cache",
        code="hub-offline",
        hint="unset HF_HUB_OFFLINE, or load it once where there is a network",
        **asked.fields,
    )


def _no_revision(asked: _Asked, _: Exception) -> MixhubError:
    return revision_not_found(asked.endpoint, asked.repo_id, str(asked.revision))


def _gated(asked: _Asked, _: Exception) -> MixhubError:
    return HubError(
        f"{asked.endpoint}: {asked.repo_id} is gated, and this token has no access",
        code="repo-gated",
        hint=f"ask for access at {asked.endpoint.url}/{asked.repo_id}, then: hf auth login",
        **asked.fields,
    )


def _no_repo(asked: _Asked, _: Exception) -> MixhubError:
    return RepoNotFoundError(
        f"{asked.endpoint}: no repo {asked.repo_id}, or it is private",
        hint="check the name, and which hub: --hub, MIXHUB_HUB, mixhub.yaml or HF_ENDPOINT",
        **asked.fields,
    )


def _not_cached(asked: _Asked, _: Exception) -> MixhubError:
    return HubUnreachableError(
        f"{asked.endpoint}: cannot be reached, and {asked.repo_id}{asked.at} is not in the cache",
        hint=_REACH,
        **asked.fields,
    )


def _no_repo_id(asked: _Asked, error: Exception) -> MixhubError:
    return UsageError(
        f"{asked.repo_id!r} is no repo_id: {str(error).splitlines()[0]}",
        code="repo-id-malformed",
        repo_id=asked.repo_id,
    )


def _refused(asked: _Asked, error: Any) -> MixhubError:
    """By the status of the answer."""
    endpoint, repo_id = asked.endpoint, asked.repo_id
    status = getattr(error.response, "status_code", None)
    fields = {**asked.fields, "status": status}
    if status == 412:
        branch = f" of branch {asked.revision}" if asked.revision else ""
        return PushConflictError(
            f"{endpoint}: somebody pushed to {repo_id}{branch} meanwhile; nothing of this push is there",
            hint="look at what came, then push again: the plan is made anew",
            **fields,
        )
    if status in (401, 403):
        return HubError(
            f"{endpoint}: not allowed to do this with {repo_id} (status {status})",
            code="token-refused",
            hint="log in: hf auth login" if endpoint.url == HUGGINGFACE else "set MIXHUB_HUB and MIXHUB_TOKEN",
            **fields,
        )
    if status == 404 and not error.response.headers.get("X-Error-Code"):
        return HubError(
            f"{endpoint}: knows nothing of {repo_id} (status 404), and does not answer as a Hub does",
            code="hub-answer-malformed",
            hint="is this the address of a hub?",
            **fields,
        )
    reason = (error.server_message or str(error)).strip().splitlines()
    return HubError(
        f"{endpoint}: refused a request for {repo_id} (status {status}): {reason[0] if reason else 'no reason given'}",
        code="hub-refused",
        hint="try again; if it stays, the hub is the place to ask",
        **fields,
    )


def _guess(asked: _Asked, error: Exception) -> MixhubError | None:
    """What an exception means that huggingface_hub does not document, by its type, text and origin; None: a bug."""
    if isinstance(error, ConnectionError) and (status := _XET_STATUS.search(str(error))):
        return HubError(
            f"{asked.endpoint}: refused large files of {asked.repo_id}{asked.at} (status {status[1]})",
            code="upload-refused",
            hint="push again; if it stays, HF_HUB_DISABLE_XET=1 sends them in another way",
            status=int(status[1]),
            **asked.fields,
        )
    if _is_transport(error):
        return unreachable(asked.endpoint)
    if isinstance(error, _NOT_A_HUB) or (isinstance(error, ValueError) and _is_of_client(error)):
        return HubError(
            f"{asked.endpoint}: answers, but not as a Hub ({type(error).__name__}: {str(error).splitlines()[0]})",
            code="hub-answer-malformed",
            hint="is this the address of a hub, and not of a login page or a proxy?",
            **asked.fields,
        )
    return None


def unreachable(endpoint: Endpoint) -> HubUnreachableError:
    """What to say when nothing answers."""
    return HubUnreachableError(f"{endpoint}: nothing answers there", hint=_REACH, endpoint=endpoint.url)


def revision_not_found(endpoint: Endpoint, repo_id: str, revision: str) -> RevisionNotFoundError:
    """What to say of a revision that a repo does not have: those that it has, and the nearest."""
    revisions = branches(endpoint, repo_id)
    near = nearest(revision, revisions)
    meant = f"; did you mean {near}?" if near else ""
    return RevisionNotFoundError(
        f"{endpoint}: {repo_id} has no revision {revision!r}{meant}",
        hint=f"it has: {listed(revisions, most=12)}" if revisions else "it has no branches",
        repo_id=repo_id,
        revision=revision,
        endpoint=endpoint.url,
        revisions=tuple(revisions),
        nearest=near,
    )


def branches(endpoint: Endpoint, repo_id: str) -> list[str]:
    """Names of a repo's branches and tags, in natural order."""
    with hub_errors(endpoint, repo_id):
        refs = client(endpoint).list_repo_refs(repo_id)
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return sorted(names, key=natural)


def natural(name: str) -> list[tuple[int, int, str]]:
    """By this names are in the order in which people count: `seed-2` before `seed-10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def branch_heads(endpoint: Endpoint, repo_id: str) -> dict[str, str]:
    """The commit of each branch of a repo, in natural order."""
    with hub_errors(endpoint, repo_id):
        heads = {ref.name: ref.target_commit for ref in client(endpoint).list_repo_refs(repo_id).branches}
    return {name: heads[name] for name in sorted(heads, key=natural)}


def heads_if_any(endpoint: Endpoint, repo_id: str) -> dict[str, str]:
    """As `branch_heads`; none where there is no such repo."""
    try:
        return branch_heads(endpoint, repo_id)
    except RepoNotFoundError:
        return {}


def first_commit(endpoint: Endpoint, repo_id: str) -> str:
    """The commit that a repo began with, on which new branches are built."""
    with hub_errors(endpoint, repo_id, MAIN):
        return str(client(endpoint).list_repo_commits(repo_id, revision=MAIN)[-1].commit_id)


def tags(endpoint: Endpoint, repo_id: str) -> dict[str, str]:
    """The commit of each tag of a repo, in natural order."""
    with hub_errors(endpoint, repo_id):
        known = {ref.name: ref.target_commit for ref in client(endpoint).list_repo_refs(repo_id).tags}
    return {name: known[name] for name in sorted(known, key=natural)}


def remote_tree(endpoint: Endpoint, repo_id: str, revision: str) -> dict[str, RemoteFile]:
    """The files of a revision, by path."""
    from huggingface_hub import RepoFile

    with hub_errors(endpoint, repo_id, revision):
        entries = list(client(endpoint).list_repo_tree(repo_id, recursive=True, revision=revision))
    return {
        entry.path: RemoteFile(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
        for entry in entries
        if isinstance(entry, RepoFile)
    }


def file_content(endpoint: Endpoint, repo_id: str, commit: str, path: str) -> bytes:
    """The content of a small file of a commit, from the cache where it is there."""
    from huggingface_hub import hf_hub_download

    with hub_errors(endpoint, repo_id, commit):
        file = hf_hub_download(
            repo_id,
            path,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
        )
    return Path(file).read_bytes()


def first_bytes(endpoint: Endpoint, repo_id: str, commit: str, path: str, count: int) -> bytes:
    """The first bytes of a file of a commit, by one range request; fewer where it has no more."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status

    from mixhub.hub.remote.huggingface_private import build_hf_headers

    url = hf_hub_url(repo_id, path, revision=commit, endpoint=endpoint.url)
    headers = build_hf_headers(token=endpoint.token, library_name="mixhub")
    with hub_errors(endpoint, repo_id, commit):
        answer = get_session().get(url, headers={**headers, "range": f"bytes=0-{count - 1}"}, timeout=_PATIENCE)
        hf_raise_for_status(answer)
    return bytes(answer.content[:count])


def _is_of_client(error: Exception) -> bool:
    """Whether huggingface_hub itself raised it, and none of ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith("huggingface_hub")


def _is_transport(error: BaseException) -> bool:
    """Whether the HTTP client below huggingface_hub (httpx or httpx2, by version) could not get an answer."""
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
    )
