"""Which cards were rendered, by hash: so a card that a person edited is known before it is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from mixhub.family import Family
from mixhub.files import locked, read_json, write_json
from mixhub.lineage import Sha256, file_sha256
from mixhub.spec import FrozenList, FrozenMap, Spec
from mixhub.workspace import Workspace


class CardReceipts(Spec):
    """`receipts/cards.json`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    cards: FrozenMap[str, FrozenList[Sha256]]
    """By path below the workspace, the hashes of the card as it was rendered last and the time before: a process that
    is killed while it writes leaves the one or the other."""


def edited_cards(workspace: Workspace, family: Family) -> list[Path]:
    """The cards of a family that are not as they were rendered; those that were never noted are taken as they are.

    Raises:
        SpecError, WorkspaceError: the receipts cannot be read.
    """
    folder = workspace.card(family).parent
    return [
        path
        for name, known in _read(workspace).items()
        if (path := workspace.path(name)).is_relative_to(folder) and path.is_file() and file_sha256(path) not in known
    ]


def note_cards(workspace: Workspace, cards: Mapping[Path, str]) -> None:
    """Notes what is about to be written, beside the other families' cards."""
    with locked(workspace.lock("card-receipts"), f"{workspace.card_receipts} is being written", timeout=30):
        noted = {name: list(known) for name, known in _read(workspace).items()}
        for path, text in cards.items():
            name = path.relative_to(workspace.root).as_posix()
            newest = hashlib.sha256(text.encode()).hexdigest()
            noted[name] = list(dict.fromkeys([newest, *noted.get(name, ())]))[:2]
        write_json(workspace.card_receipts, {"format": 1, "cards": dict(sorted(noted.items()))})


def _read(workspace: Workspace) -> Mapping[str, Sequence[str]]:
    path = workspace.card_receipts
    if not path.is_file():
        return {}
    return CardReceipts.from_data(read_json(path), str(path)).cards
