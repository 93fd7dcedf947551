"""The embedded Hub: a server on loopback that Hub clients can push to and load from.

    with serve(Path("hub")) as hub:
        HfApi(endpoint=hub.url, token=LOCAL_TOKEN).create_repo("demo/tiny")

Everything is stored under one root folder, which several server processes may share. Importing this package imports
neither starlette nor pygit2; the first name that is used imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixhub import lazy_names

if TYPE_CHECKING:
    from mixhub.hubserver.server import RunningHub, run_forever, serve
    from mixhub.hubserver.storage.importer import ImportedRepo, import_folder
    from mixhub.hubserver.storage.storage import Store

LOCAL_TOKEN = "hf_mixhub_local"
"""A token for the embedded hub. Any other text works as well: there is one user, named `local`."""

__all__ = ["LOCAL_TOKEN", "ImportedRepo", "RunningHub", "Store", "import_folder", "run_forever", "serve"]

__getattr__ = lazy_names(__name__, __file__)


def __dir__() -> list[str]:
    return sorted(__all__)
