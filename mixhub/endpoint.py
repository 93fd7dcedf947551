"""Which hub to use, and how it is chosen. Makes no request."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mixhub.errors import UsageError

HUGGINGFACE = "https://huggingface.co"
LOCAL = "local"
"""The workspace's embedded hub; allowed wherever the address of a hub is."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of this machine."""


@dataclass(frozen=True)
class Endpoint:
    """A hub, its token, and where its downloads are cached."""

    url: str
    """Address, without a final slash."""
    token: str | Literal[False] | None = field(default=None, repr=False)
    """Sent to this endpoint only. False: send none. None: use huggingface_hub's, for huggingface.co."""
    cache_dir: Path | None = None
    """Folder of downloads; None: huggingface_hub's own, for huggingface.co."""
    name: str = ""
    """`local` for the embedded hub of a workspace, whose address changes; otherwise empty."""
    store_id: str | None = None
    """Identity of an embedded hub's storage; None for other hubs."""

    def __str__(self) -> str:
        return f"{self.name} ({self.url})" if self.name else self.url


@dataclass(frozen=True)
class HubChoice:
    """The chosen hub, and where the choice comes from."""

    value: str
    """`local`, or an address."""
    source: str
    """Where it was set, such as `--hub`."""
    token: str | Literal[False] | None = field(default=False, repr=False)
    """As in `Endpoint`."""

    def __str__(self) -> str:
        return f"{self.value} (from {self.source})"


def choose_hub(
    option: str | None, environ: Mapping[str, str], workspace_hub: str | None, *, asked_by: str = "--hub"
) -> HubChoice:
    """Return the first that is set: `--hub`, MIXHUB_HUB, `mixhub.yaml`, HF_ENDPOINT, huggingface.co.

    MIXHUB_TOKEN is only sent to the address in MIXHUB_HUB. Otherwise huggingface.co gets huggingface_hub's token, and
    other hubs get none.

    Raises:
        UsageError: the hub is neither `local` nor an http(s) address, or the token is malformed.
    """
    candidates = [
        (option, asked_by),
        (environ.get("MIXHUB_HUB"), "MIXHUB_HUB"),
        (workspace_hub, "mixhub.yaml"),
        (environ.get("HF_ENDPOINT"), "HF_ENDPOINT"),
        (HUGGINGFACE, "the default"),
    ]
    value, source = next((value, source) for value, source in candidates if value)
    value = checked_hub(value, source)
    token: str | Literal[False] | None = None if value == HUGGINGFACE else False
    hub_of_token = environ.get("MIXHUB_HUB")
    if hub_of_token and environ.get("MIXHUB_TOKEN") and value == checked_hub(hub_of_token, "MIXHUB_HUB"):
        token = checked_token(environ["MIXHUB_TOKEN"], "MIXHUB_TOKEN")
    return HubChoice(value, source, token)


def choose_hub_of_call(hub: str | None, workspace_hub: str | None, *, asked_by: str = "hub=") -> HubChoice:
    """Choose the hub of a Python call: its argument, mixhub.yaml, HF_ENDPOINT or huggingface.co; see `choose_hub`."""
    return choose_hub(hub, {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}, workspace_hub, asked_by=asked_by)


def checked_token(value: str, source: str) -> str:
    """Return a token without surrounding white space; raises UsageError, which does not show it, if it is malformed."""
    token = value.strip()
    if not token or not all("!" <= letter <= "~" for letter in token):
        message = f"{source}: not a token, which has only ASCII letters, digits and signs"
        raise UsageError(message, code="token-malformed", source=source)
    return token


def checked_hub(value: str, source: str) -> str:
    """Return `local`, or an address without a final slash; raises UsageError for anything else."""
    if value == LOCAL:
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        message = f"{source} = {value!r}: must be 'local' or the address of a hub"
        raise UsageError(message, code="hub-address", source=source, value=value)
    if parts.username or parts.password:
        message = f"{source}: the address of a hub must not hold a password"
        raise UsageError(message, code="hub-password", hint="use MIXHUB_TOKEN", source=source)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def cache_name(url: str) -> str:
    """Turn the address of a hub without a store id into the name of the folder of its downloads."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", url.split("://", 1)[-1]).strip("-")
