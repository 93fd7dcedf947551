"""Withdrawals: noted in the workspace, told on cards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mixhub.card.facts.withdrawal import (
    Withdrawal,
    add_erratum,
    is_marked,
    is_rendered,
    mark_withdrawn,
    note_withdrawal,
    read_mark,
    withdrawal_of,
    withdrawals,
)
from mixhub.errors import SpecError
from tests.card import making
from tests.card.making import render_revision
from tests.refusals import refused


def withdrawal(revision: str = "seed-1", **changes: str) -> Withdrawal:
    data = {
        "family": "tiny",
        "revision": revision,
        "weights_sha256": making.digest(revision),
        "why": "trained on *test* data",
        "date": "2026-11-23",
    }
    return Withdrawal.from_data({**data, **changes}, "withdrawn.json")


def test_what_is_noted_lies_on_disk_in_its_order(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    first, second, foreign = withdrawal(), withdrawal("seed-2"), withdrawal(family="other")
    for one in (second, first, foreign):
        note_withdrawal(workspace, one)
    assert workspace.withdrawn.read_text(encoding="utf-8") == (
        json.dumps({"format": 1, "withdrawals": [one.to_data() for one in (second, first, foreign)]}, indent=2) + "\n"
    )
    assert withdrawals(workspace, workspace.family()) == [second, first]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"why": "another reason", "date": "2026-11-24"}, 1),
        ({"revision": "seed-2"}, 2),
        ({"weights_sha256": making.digest("other")}, 2),
        ({"family": "other"}, 2),
    ],
)
def test_the_same_weights_are_withdrawn_once(tmp_path: Path, changes: dict[str, str], left: int) -> None:
    workspace = making.workspace(tmp_path)
    old, new = withdrawal(), withdrawal(**changes)
    note_withdrawal(workspace, old)
    note_withdrawal(workspace, new)
    noted = json.loads(workspace.withdrawn.read_text(encoding="utf-8"))["withdrawals"]
    assert len(noted) == left
    assert noted[-1] == new.to_data()


def test_nothing_is_withdrawn_where_nothing_is_noted(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    assert withdrawals(workspace, workspace.family()) == []
    workspace.withdrawn.parent.mkdir(exist_ok=True)
    workspace.withdrawn.write_text('{"format": 2}', encoding="utf-8")
    with refused("spec-invalid", SpecError, file=str(workspace.withdrawn)):
        withdrawals(workspace, workspace.family())


def rendered() -> str:
    family = making.family()
    return render_revision(family, making.evaluated(family, family.runs()[0]))


CARDS = {
    "rendered": rendered(),
    "without metadata": "# A model\n\nWords.\n",
    "without tags": "---\nlicense: mit\n---\n\n# A model\n",
    "with one tag": "---\nlicense: mit\ntags: mine\n---\n\n# A model\n",
    "with tags in one line": "---\ntags: [mine, other]\nlicense: mit\n---\n\n# A model\n",
}


@pytest.mark.parametrize("name", CARDS)
def test_a_marked_card_has_the_tag_and_says_why_at_its_head(name: str) -> None:
    card = CARDS[name]
    marked = mark_withdrawn(card, withdrawal())
    before, after = ModelCard(card, ignore_metadata_errors=True), ModelCard(marked)
    old = before.data.to_dict()
    tags = old.pop("tags", [])
    assert after.data.tags == ["withdrawn", *([tags] if isinstance(tags, str) else tags)]
    assert {key: value for key, value in after.data.to_dict().items() if key != "tags"} == old
    assert after.text.strip() == f"> **Withdrawn on 2026-11-23:** trained on \\*test\\* data\n\n{before.text.strip()}"
    assert (is_marked(card), is_marked(marked)) == (False, True)
    assert read_mark(marked) == ("trained on *test* data", "2026-11-23")
    assert withdrawal_of(marked) == "trained on *test* data (2026-11-23)"
    assert withdrawal_of(card) is None


def test_a_card_that_is_marked_again_says_the_last_reason_alone() -> None:
    once = mark_withdrawn(CARDS["rendered"], withdrawal())
    twice = mark_withdrawn(once, withdrawal(why="the wrong seed", date="2026-11-24"))
    assert twice == mark_withdrawn(CARDS["rendered"], withdrawal(why="the wrong seed", date="2026-11-24"))


def test_a_tag_without_a_reason_is_a_withdrawal_too() -> None:
    assert withdrawal_of("---\ntags: [withdrawn]\n---\n\n# A model\n") == "the card has the tag, but no reason"
    assert withdrawal_of("---\ntags: withdrawn-twice\n---\n") is None
    assert withdrawal_of("---\n- no mapping\n---\n") is None


def test_an_erratum_is_said_once_and_before_the_footer() -> None:
    one, other = withdrawal(), withdrawal("seed-2")
    card = rendered()
    assert is_rendered(card)
    once = add_erratum(card, one)
    line = f"- seed-1, with weights {one.weights_sha256[:12]}, was withdrawn on 2026-11-23: trained on \\*test\\* data"
    assert once.endswith(f"\n\n## Errata\n\n{line}\n{card[card.rindex(chr(10) + '---' + chr(10)) :]}")
    assert add_erratum(once, one) == once
    twice = add_erratum(once, other)
    assert twice.count("## Errata") == 1
    assert [text[:8] for text in twice.partition("## Errata")[2].split("\n") if text[:2] == "- "] == [
        "- seed-2",
        "- seed-1",
    ]
    plain = "# A family\n\nWords.\n"
    assert not is_rendered(plain)
    assert add_erratum(plain, one) == f"# A family\n\nWords.\n\n## Errata\n\n{line}\n"
