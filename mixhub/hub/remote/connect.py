"""From a choice of hub to an endpoint that answers: starts the embedded hub when `local` is meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from mixhub.endpoint import HUGGINGFACE, LOCAL, LOOPBACK, Endpoint, HubChoice, cache_name
from mixhub.errors import HubUnreachableError, UsageError
from mixhub.files import write_text
from mixhub.hub.remote.client import unreachable
from mixhub.hub.remote.tokens import requests_allowed
from mixhub.workspace.paths import Workspace

_STORE = "store_id"
"""Name of the file that says which embedded hub an address led to last."""


@contextmanager
def open_hub(choice: HubChoice, workspace: Workspace | None) -> Iterator[Endpoint]:
    """The endpoint of a choice, for the block.

    `local` starts the embedded hub over the workspace's `hub/`. Another hub than huggingface.co is asked who it is:
    an embedded hub has a store id, which names the folder of its downloads, and takes the local token.

    Raises:
        UsageError: `local` without a workspace.
        HubUnreachableError: nothing answers.
    """
    if choice.value == LOCAL:
        if workspace is None:
            raise UsageError(
                f"hub 'local' (from {choice.source}) is the embedded hub of a workspace, and there is none",
                code="workspace-required",
                hint="give a workspace, or the address of a hub",
            )
        from mixhub.hubserver import LOCAL_TOKEN, serve

        with serve(workspace.hub) as hub, requests_allowed(hub.url):
            _require_no_proxy(hub.url)
            cache = _downloads(workspace) / hub.store_id
            yield Endpoint(hub.url, LOCAL_TOKEN, cache, LOCAL, hub.store_id)
    elif choice.value == HUGGINGFACE:
        yield Endpoint(HUGGINGFACE, choice.token)
    else:
        yield _identified(choice, workspace)


def _require_no_proxy(url: str) -> None:
    """Refuses an address of this machine that a proxy of the environment would be asked for.

    Commands add these addresses to NO_PROXY of their process; a library leaves the environment to whose it is.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in LOOPBACK and {parts.scheme, "all"} & set(getproxies()) and not proxy_bypass(host):
        raise HubUnreachableError(
            f"{url}: is on this machine, and the environment sends requests to it through a proxy",
            code="hub-behind-proxy",
            hint=f"export NO_PROXY={','.join(LOOPBACK)}",
            endpoint=url,
        )


def _identified(choice: HubChoice, workspace: Workspace | None) -> Endpoint:
    from huggingface_hub import is_offline_mode

    _require_no_proxy(choice.value)
    try:
        store_id = _known_store(choice.value, workspace) if is_offline_mode() else _store_id(choice.value)
    except HubUnreachableError:
        if not (_downloads(workspace) / cache_name(choice.value)).exists():
            raise
        store_id = _known_store(choice.value, workspace)  # what it gave before may be in the cache
    else:
        _note_store(choice.value, store_id, workspace)
    token = choice.token
    if store_id and not token:
        from mixhub.hubserver import LOCAL_TOKEN

        token = LOCAL_TOKEN
    cache = _downloads(workspace) / (store_id or cache_name(choice.value))
    return Endpoint(choice.value, token, cache, store_id=store_id)


def _store_id(url: str) -> str | None:
    """The store id of an embedded hub; None for a hub of another make."""
    from huggingface_hub import get_session

    try:
        response = get_session().get(f"{url}/api/mixhub", timeout=10)
        answer = response.json() if response.status_code == 200 else None
    except ValueError:
        return None
    except Exception:
        raise unreachable(Endpoint(url)) from None
    store_id = answer.get("store_id") if isinstance(answer, dict) else None
    return store_id if isinstance(store_id, str) and store_id.isalnum() else None


def _note_store(url: str, store_id: str | None, workspace: Workspace | None) -> None:
    """Keeps which embedded hub answered at an address, by which its downloads are found when it does not answer."""
    path = _downloads(workspace) / cache_name(url) / _STORE
    if store_id is not None and not (path.is_file() and path.read_text(encoding="utf-8") == store_id):
        with suppress(OSError):  # a cache that others filled may be read-only
            write_text(path, store_id)


def _known_store(url: str, workspace: Workspace | None) -> str | None:
    path = _downloads(workspace) / cache_name(url) / _STORE
    store_id = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    return store_id if store_id.isalnum() else None


def _downloads(workspace: Workspace | None) -> Path:
    """Where downloads of hubs other than huggingface.co are kept, a folder a hub."""
    if workspace is not None:
        return workspace.cache / "downloads"
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(home) / "mixhub"
