"""From a choice of hub to an endpoint that answers; starts the embedded hub for `local`."""

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
from mixhub.hub.remote.client import hub_errors
from mixhub.hub.remote.tokens import requests_allowed
from mixhub.workspace.paths import Workspace


@contextmanager
def open_hub(choice: HubChoice, workspace: Workspace | None) -> Iterator[Endpoint]:
    """Open the endpoint of a choice, for the block.

    `local` starts the embedded hub over the workspace's `hub/`. A hub other than huggingface.co is asked for its store
    id: an embedded hub has one, which names the folder of its downloads, and accepts the local token.

    Raises:
        UsageError: `local` without a workspace.
        HubUnreachableError: nothing answers.
    """
    if choice.value == LOCAL:
        if workspace is None:
            message = f"hub 'local' (from {choice.source}) is the embedded hub of a workspace, but none was found"
            raise UsageError(message, code="workspace-required", hint="pass a workspace, or the address of a hub")
        from mixhub.hubserver import LOCAL_TOKEN, serve

        with serve(workspace.hub) as hub, requests_allowed(hub.url):
            _require_no_proxy(hub.url)
            yield Endpoint(hub.url, LOCAL_TOKEN, _downloads(workspace) / hub.store_id, LOCAL, hub.store_id)
    elif choice.value == HUGGINGFACE:
        yield Endpoint(HUGGINGFACE, choice.token)
    else:
        yield _identified(choice, workspace)


def _require_no_proxy(url: str) -> None:
    """Refuse an address of this machine that the environment would send through a proxy.

    Commands add these addresses to NO_PROXY of their process; a library must not change the environment.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in LOOPBACK and {parts.scheme, "all"} & set(getproxies()) and not proxy_bypass(host):
        message = f"{url}: is on this machine, but the environment sends requests to it through a proxy"
        hint = f"export NO_PROXY={','.join(LOOPBACK)}"
        raise HubUnreachableError(message, code="hub-behind-proxy", hint=hint, endpoint=url)


def _identified(choice: HubChoice, workspace: Workspace | None) -> Endpoint:
    from huggingface_hub import is_offline_mode

    _require_no_proxy(choice.value)
    address_folder = _downloads(workspace) / cache_name(choice.value)
    note = address_folder / "store_id"  # the embedded hub that answered last, to find its downloads when none answers
    noted = _checked_id(note.read_text(encoding="utf-8", errors="replace").strip()) if note.is_file() else None
    try:
        store_id = noted if is_offline_mode() else _store_id(choice.value)
    except HubUnreachableError:
        if not address_folder.exists():
            raise
        store_id = noted
    if store_id not in (None, noted):
        with suppress(OSError):  # a shared cache may be read-only
            write_text(note, str(store_id))
    token = choice.token
    if store_id and not token:
        from mixhub.hubserver import LOCAL_TOKEN

        token = LOCAL_TOKEN
    cache = _downloads(workspace) / store_id if store_id else address_folder
    return Endpoint(choice.value, token, cache, store_id=store_id)


def _store_id(url: str) -> str | None:
    """Return the store id of an embedded hub; None for other hubs."""
    from huggingface_hub import get_session

    with hub_errors(Endpoint(url, token=False), "its identity"):
        response = get_session().get(f"{url}/api/mixhub", timeout=10)
    try:
        answer = response.json() if response.status_code == 200 else None
    except ValueError:
        return None
    return _checked_id(answer.get("store_id")) if isinstance(answer, dict) else None


def _checked_id(store_id: object) -> str | None:
    """Return a store id if it can name a folder."""
    return store_id if isinstance(store_id, str) and store_id.isalnum() else None


def _downloads(workspace: Workspace | None) -> Path:
    """Return where downloads of hubs other than huggingface.co go, one folder per hub."""
    if workspace is not None:
        return workspace.cache / "downloads"
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(home) / "mixhub"
