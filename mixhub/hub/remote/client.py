"""huggingface_hub for one endpoint, and its errors as ours."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.endpoint import HUGGINGFACE, Endpoint
from mixhub.errors import (
    HubError,
    HubUnreachableError,
    PushConflictError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UsageError,
    nearest,
)
from mixhub.hub.remote.files import MAIN, RemoteFile
from mixhub.hub.remote.tokens import token_guard

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ASKED_AT_ONCE = 4
"""Branches of which a hub is asked at the same time."""

_NOT_A_HUB = (json.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError)
"""What huggingface_hub raises when an answer is not what it expects."""

_XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})")
"""How hf_xet tells that a hub answered, and refused."""
_REACH = "check the address and the network; the hub that needs none is the embedded one, `local`"
_PATIENCE = 30.0
"""Seconds to wait for the first bytes of a file."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def client(endpoint: Endpoint) -> HfApi:
    """The client of an endpoint; it sends the endpoint's token and no other."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=endpoint.url, token=endpoint.token, library_name="mixhub")


def bypass_proxy_on_loopback() -> None:
    """Adds loopback to NO_PROXY of this process, since HTTP_PROXY captures it otherwise."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


@contextmanager
def hub_errors(endpoint: Endpoint, repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turns what huggingface_hub raises inside the block into our errors, which name repo, revision and endpoint; and
    sends the endpoint's token nowhere else."""
    from huggingface_hub import errors

    fields: dict[str, Any] = {"repo_id": repo_id, "revision": revision, "endpoint": endpoint.url}
    at = f" at {revision}" if revision else ""
    try:
        with token_guard(endpoint):
            yield
    except errors.OfflineModeIsEnabled:
        raise HubUnreachableError(
            f"{endpoint}: HF_HUB_OFFLINE is set, and {repo_id}{at} is not in the cache",
            hint="unset HF_HUB_OFFLINE, or load it once where there is a network",
            **fields,
        ) from None
    except errors.RevisionNotFoundError:
        raise revision_not_found(endpoint, repo_id, str(revision)) from None
    except errors.GatedRepoError:
        raise HubError(
            f"{endpoint}: {repo_id} is gated, and this token has no access",
            hint=f"ask for access at {endpoint.url}/{repo_id}, then: hf auth login",
            **fields,
        ) from None
    except errors.RepositoryNotFoundError:
        raise RepoNotFoundError(
            f"{endpoint}: no repo {repo_id}, or it is private",
            hint="check the name, and which hub: --hub, MIXHUB_HUB, mixhub.yaml or HF_ENDPOINT",
            **fields,
        ) from None
    except errors.LocalEntryNotFoundError:
        raise HubUnreachableError(
            f"{endpoint}: cannot be reached, and {repo_id}{at} is not in the cache",
            hint=_REACH,
            **fields,
        ) from None
    except errors.HfHubHTTPError as error:
        raise _http_error(error, endpoint, repo_id, revision, fields) from None
    except errors.HFValidationError as error:
        raise UsageError(f"{repo_id!r} is no repo_id: {str(error).splitlines()[0]}") from None
    except RuntimeError as error:
        if not isinstance(error.__cause__, Exception):  # of an upload the client says only that it failed
            raise
        with hub_errors(endpoint, repo_id, revision):
            raise error.__cause__ from None
    except Exception as error:
        if isinstance(error, ConnectionError) and (status := _XET_STATUS.search(str(error))):
            raise HubError(
                f"{endpoint}: refused large files of {repo_id}{at} (status {status[1]})",
                hint="push again; if it stays, HF_HUB_DISABLE_XET=1 sends them in another way",
                **fields,
            ) from None
        if _is_transport(error):
            raise unreachable(endpoint) from None
        if not isinstance(error, _NOT_A_HUB) and not (isinstance(error, ValueError) and _is_of_client(error)):
            raise
        raise HubError(
            f"{endpoint}: answers, but not as a Hub ({type(error).__name__}: {str(error).splitlines()[0]})",
            hint="is this the address of a hub, and not of a login page or a proxy?",
            **fields,
        ) from error


@contextmanager
def requests_allowed() -> Iterator[None]:
    """Lifts HF_HUB_OFFLINE for the block: the embedded hub needs no network, and serves where there is none."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def unreachable(endpoint: Endpoint) -> HubUnreachableError:
    """What to say when nothing answers."""
    return HubUnreachableError(f"{endpoint}: nothing answers there", hint=_REACH, endpoint=endpoint.url)


def revision_not_found(endpoint: Endpoint, repo_id: str, revision: str) -> RevisionNotFoundError:
    """What to say of a revision that a repo does not have: those that it has, and the nearest."""
    there = branches(endpoint, repo_id)
    near = nearest(revision, there)
    meant = f"; did you mean {near}?" if near else ""
    shown = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
    return RevisionNotFoundError(
        f"{endpoint}: {repo_id} has no revision {revision!r}{meant}",
        hint=f"it has: {shown}" if there else "it has no branches",
        repo_id=repo_id,
        revision=revision,
        endpoint=endpoint.url,
        revisions=tuple(there),
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
    from huggingface_hub.hf_api import RepoFile

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
        found = hf_hub_download(
            repo_id,
            path,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
        )
    return Path(found).read_bytes()


def first_bytes(endpoint: Endpoint, repo_id: str, commit: str, path: str, count: int) -> bytes:
    """The first bytes of a file of a commit, by one range request; fewer where it has no more."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, but in no __all__

    url = hf_hub_url(repo_id, path, revision=commit, endpoint=endpoint.url)
    headers = build_hf_headers(token=endpoint.token, library_name="mixhub")
    with hub_errors(endpoint, repo_id, commit):
        answer = get_session().get(url, headers={**headers, "range": f"bytes=0-{count - 1}"}, timeout=_PATIENCE)
        hf_raise_for_status(answer)
    return bytes(answer.content[:count])


def _http_error(error: Any, endpoint: Endpoint, repo_id: str, revision: str | None, fields: dict[str, Any]) -> HubError:
    status = getattr(error.response, "status_code", None)
    branch = f" of branch {revision}" if revision else ""
    if status == 412:
        return PushConflictError(
            f"{endpoint}: somebody pushed to {repo_id}{branch} meanwhile; nothing of this push is there",
            hint="look at what came, then push again: the plan is made anew",
            **fields,
        )
    if status in (401, 403):
        return HubError(
            f"{endpoint}: not allowed to do this with {repo_id} (status {status})",
            hint="log in: hf auth login" if endpoint.url == HUGGINGFACE else "set MIXHUB_HUB and MIXHUB_TOKEN",
            **fields,
        )
    if status == 404 and not error.response.headers.get("X-Error-Code"):
        return HubError(
            f"{endpoint}: knows nothing of {repo_id} (status 404), and does not answer as a Hub does",
            hint="is this the address of a hub?",
            **fields,
        )
    said = (error.server_message or str(error)).strip().splitlines()
    return HubError(
        f"{endpoint}: refused a request for {repo_id} (status {status}): {said[0] if said else 'no reason given'}",
        hint="try again; if it stays, the hub is the place to ask",
        **fields,
    )


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
