"""What a render notes of the cards that it writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mixhub.card.page.receipts import note_cards, rendered_files
from tests.card import making


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_last_two_hashes_of_a_card_lie_on_disk_sorted_by_path(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    for content in (b"one", b"two", b"three"):
        note_cards(workspace, {workspace.path("cards/tiny/README.md"): content})
    note_cards(workspace, {workspace.path("cards/other/README.md"): b"four"})
    expected = {
        "cards/other/README.md": [sha256(b"four")],
        "cards/tiny/README.md": [sha256(b"three"), sha256(b"two")],
    }
    assert workspace.card_receipts.read_text(encoding="utf-8") == (
        json.dumps({"format": 1, "cards": expected}, indent=2) + "\n"
    )


def test_the_same_card_is_noted_once(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    card = workspace.path("cards/tiny/README.md")
    for content in (b"one", b"two", b"two", b"one"):
        note_cards(workspace, {card: content})
    noted = json.loads(workspace.card_receipts.read_text(encoding="utf-8"))["cards"]
    assert noted["cards/tiny/README.md"] == [sha256(b"one"), sha256(b"two")]


def test_line_ends_matter_in_plots_only(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    card, plot, other = (workspace.path(f"cards/tiny/{name}") for name in ("README.md", "scores.svg", "other.md"))
    note_cards(workspace, {card: b"a\nb\n", plot: b"a\nb\n"})
    card.parent.mkdir(parents=True)
    for path in (card, plot, other):
        path.write_bytes(b"a\r\nb\r\n")
    assert list(map(rendered_files(workspace), (card, plot, other))) == [True, False, False]
