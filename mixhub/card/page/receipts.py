"""Which cards were rendered, by hash: so a card that a person edited is known before it is replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
    """By path below the workspace, the hashes of the card as it was rendered last and the time before: a process that
    is killed while it writes leaves the one or the other."""


def is_as_rendered(workspace: Workspace, path: Path, noted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a card or plot that is there has the bytes that a render noted; line ends are no matter.

    Args:
        workspace: where it lies.
        path: the card or plot.
        noted: what `noted_cards` gives.
    """
    known = noted.get(path.relative_to(workspace.root).as_posix(), ())
    content = path.read_bytes()
    as_written = content.replace(b"\r\n", b"\n") if path.suffix == ".md" else content  # git may have changed them
    return hashlib.sha256(as_written).hexdigest() in known


def note_cards(workspace: Workspace, files: Mapping[Path, bytes]) -> None:
    """Notes the cards and plots that are about to be written, beside the other families'."""
    with _store(workspace).update() as data:
        cards = data["cards"]
        for path, content in files.items():
            name = path.relative_to(workspace.root).as_posix()
            newest = hashlib.sha256(content).hexdigest()
            cards[name] = list(dict.fromkeys([newest, *cards.get(name, ())]))[:2]
        data["cards"] = dict(sorted(cards.items()))


def noted_cards(workspace: Workspace) -> Mapping[str, Sequence[str]]:
    """What renders noted: hashes by path below the workspace.

    Raises:
        SpecError, WorkspaceError: the receipts cannot be read.
    """
    return _store(workspace).read().cards


def _store(workspace: Workspace) -> Store[CardReceipts]:
    return Store(workspace.card_receipts, CardReceipts, workspace.lock("card-receipts"))
