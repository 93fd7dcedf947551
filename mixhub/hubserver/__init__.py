"""The embedded Hub: a server on loopback that Hub clients can push to and load from.

    with serve(Path("hub")) as hub:
        HfApi(endpoint=hub.url, token=LOCAL_TOKEN).create_repo("demo/tiny")

Everything is stored under one root folder, which several server processes may share. Importing this package imports
neither starlette nor pygit2; the first name that is used imports them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixhub.hubserver.server import RunningHub, run_forever, serve
    from mixhub.hubserver.storage.importer import ImportedRepo, import_folder
    from mixhub.hubserver.storage.storage import Store

LOCAL_TOKEN = "hf_mixhub_local"
"""A token for the embedded hub. Any other text works as well: there is one user, named `local`."""

_HOMES = {
    "ImportedRepo": "storage.importer",
    "RunningHub": "server",
    "Store": "storage.storage",
    "import_folder": "storage.importer",
    "run_forever": "server",
    "serve": "server",
}

__all__ = ["LOCAL_TOKEN", "ImportedRepo", "RunningHub", "Store", "import_folder", "run_forever", "serve"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
