"""Which hub: a value that is passed down, and the rule by which it is chosen. No client, no request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from mixhub.errors import UsageError

HUGGINGFACE = "https://huggingface.co"
LOCAL = "local"
"""The name of the workspace's embedded hub, where a hub's address may stand."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that are this machine."""


@dataclass(frozen=True)
class Endpoint:
    """A hub, the token that was given for it, and where its downloads are kept."""

    url: str
    """Address, without a slash at its end."""
    token: str | Literal[False] | None = field(default=None, repr=False)
    """Sent to this endpoint only. False: none is sent. None: the one that huggingface_hub has for huggingface.co."""
    cache_dir: Path | None = None
    """Folder of downloads; None: huggingface_hub's own, which belongs to huggingface.co."""
    name: str = ""
    """`local` for the embedded hub of a workspace, which keeps its name when its address changes; else empty."""
    store_id: str | None = None
    """Identity of an embedded hub's storage; None for hubs of another make."""

    def __str__(self) -> str:
        return f"{self.name} ({self.url})" if self.name else self.url


@dataclass(frozen=True)
class HubChoice:
    """A hub that was asked for, and by what."""

    value: str
    """`local`, or an address."""
    source: str
    """What asked for it, as `--hub`."""
    token: str | Literal[False] | None = field(default=False, repr=False)
    """The token that was given for it."""

    def __str__(self) -> str:
        return f"{self.value} (from {self.source})"


def choose_hub(
    option: str | None, environ: Mapping[str, str], workspace_hub: str | None, *, asked_by: str = "--hub"
) -> HubChoice:
    """`--hub`, else MIXHUB_HUB, else `mixhub.yaml`, else HF_ENDPOINT, else huggingface.co.

    MIXHUB_TOKEN is sent to the address in MIXHUB_HUB and to no other; huggingface.co else gets the token that
    huggingface_hub has for it; other hubs get none.

    Raises:
        UsageError: the choice is neither `local` nor an http(s) address, or the token is none.
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
    given_for = checked_hub(environ["MIXHUB_HUB"], "MIXHUB_HUB") if environ.get("MIXHUB_HUB") else None
    token: str | Literal[False] | None = None if value == HUGGINGFACE else False
    if value == given_for and environ.get("MIXHUB_TOKEN"):
        token = checked_token(environ["MIXHUB_TOKEN"], "MIXHUB_TOKEN")
    return HubChoice(value, source, token)


def checked_token(value: str, source: str) -> str:
    """A token without white space around it; raises UsageError, which does not show it, where it can be none."""
    token = value.strip()
    if not token or not all("!" <= letter <= "~" for letter in token):
        raise UsageError(
            f"{source}: is no token: it must be ASCII letters, digits and signs, without spaces",
            code="token-malformed",
            source=source,
        )
    return token


def checked_hub(value: str, source: str) -> str:
    """`local`, or an address without a slash at its end; raises UsageError for anything else."""
    if value == LOCAL:
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(
            f"{source} = {value!r}: must be 'local' or the address of a hub",
            code="hub-address",
            hint="for example: local, or http://127.0.0.1:8000",
            source=source,
            value=value,
        )
    if parts.username or parts.password:
        raise UsageError(
            f"{source}: the address of a hub must not hold a password",
            code="hub-password",
            hint="use MIXHUB_TOKEN",
            source=source,
        )
    host = f"{parts.hostname}" if ":" not in parts.hostname else f"[{parts.hostname}]"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def cache_name(url: str) -> str:
    """A folder name for the downloads of a hub that has no store id, made of its address."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", url.split("://", 1)[-1]).strip("-")
