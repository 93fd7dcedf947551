"""Which cards were rendered, by hash, so that a card that a user edited is noticed before it is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from mixhub.receipts import Store
from mixhub.spec.base import FrozenList, FrozenMap, Spec
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.paths import Workspace


class CardReceipts(Spec):
    """`receipts/cards.json`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    cards: FrozenMap[str, FrozenList[Sha256]] = Field(default_factory=dict, validate_default=True)
    """By path below the workspace, the hashes of the card in the last render and the one before: a process that is
    killed while it writes leaves either."""


def note_cards(workspace: Workspace, files: Mapping[Path, bytes]) -> None:
    """Note the cards and plots that are about to be written."""
    with _store(workspace).update() as data:
        cards = data["cards"]
        for path, content in files.items():
            name = path.relative_to(workspace.root).as_posix()
            newest = hashlib.sha256(content).hexdigest()
            cards[name] = list(dict.fromkeys([newest, *cards.get(name, ())]))[:2]
        data["cards"] = dict(sorted(cards.items()))


def rendered_files(workspace: Workspace) -> Callable[[Path], bool]:
    """Return a test of whether a card or plot has the bytes that a render noted; line ends of a card do not matter.

    Raises:
        SpecError, WorkspaceError: the receipts cannot be read.
    """
    noted = _store(workspace).read().cards

    def is_rendered(path: Path) -> bool:
        content = path.read_bytes()
        if path.suffix == ".md":  # git may have changed the line ends
            content = content.replace(b"\r\n", b"\n")
        return hashlib.sha256(content).hexdigest() in noted.get(path.relative_to(workspace.root).as_posix(), ())

    return is_rendered


def _store(workspace: Workspace) -> Store[CardReceipts]:
    return Store(workspace.card_receipts, CardReceipts, workspace.lock("card-receipts"))
