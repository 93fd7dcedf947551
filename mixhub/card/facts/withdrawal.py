"""Revisions that turned out to be bad: noted in the workspace, and told on cards; what others pinned stays."""

from __future__ import annotations

import html
import re
from typing import Literal

from mixhub.card.markdown.parse import front_matter, read_card
from mixhub.card.markdown.text import escape
from mixhub.errors import MixhubError
from mixhub.receipts import Store
from mixhub.spec.base import FrozenList, Spec
from mixhub.spec.family import Family
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.paths import Workspace

TAG = "withdrawn"
"""In the metadata of a card."""
_BANNER = re.compile(r"^> \*\*Withdrawn on (?P<date>\S+):\*\* (?P<why>.+)$", re.MULTILINE)
FOOTER = "\n---\n\nRendered by mixhub"


class Withdrawal(Spec):
    """One revision, with the weights that it had."""

    family: str
    """Name of the family."""
    revision: str
    """The branch."""
    weights_sha256: Sha256
    """The weights: others that take their place are not withdrawn."""
    why: str
    """One line."""
    date: str
    """As `2026-11-23`."""

    def sentence(self) -> str:
        """What the card of the family says of it."""
        return f"{self.revision}, with weights {self.weights_sha256[:12]}, was withdrawn on {self.date}: {self.why}"


class Withdrawals(Spec):
    """The content of `receipts/withdrawn.json`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    withdrawals: FrozenList[Withdrawal] = ()
    """In the order in which they were withdrawn."""


def withdrawals(workspace: Workspace, family: Family) -> list[Withdrawal]:
    """What was withdrawn of a family; raises SpecError when the file cannot be read."""
    return [one for one in _store(workspace).read().withdrawals if one.family == family.name]


def note_withdrawal(workspace: Workspace, withdrawal: Withdrawal) -> None:
    """Notes a withdrawal, in place of one of the same weights."""
    same = (withdrawal.family, withdrawal.revision, withdrawal.weights_sha256)
    with _store(workspace).update() as data:
        others = [one for one in data["withdrawals"] if (one["family"], one["revision"], one["weights_sha256"]) != same]
        data["withdrawals"] = [*others, withdrawal.to_data()]


def mark_withdrawn(card: str, withdrawal: Withdrawal) -> str:
    """A revision's card that says at its head that it was withdrawn, and has the tag; the rest stays as it is."""
    card = _without_banner(_with_tag(card))
    head = front_matter(card)
    end = head.end if head else 0
    banner = f"> **Withdrawn on {withdrawal.date}:** {escape(withdrawal.why)}"
    return f"{card[:end].rstrip()}\n\n{banner}\n\n{card[end:].lstrip()}"


def withdrawal_of(card: str) -> str | None:
    """Why and when a revision was withdrawn, as its card says; None where it was not."""
    if not is_marked(card):
        return None
    mark = read_mark(card)
    return f"{mark[0]} ({mark[1]})" if mark else "its card has the tag, and says no reason"


def is_marked(card: str) -> bool:
    """Whether a card has the tag of those that were withdrawn."""
    try:
        tags = read_card(card).metadata.get("tags")
    except MixhubError:
        return False
    return isinstance(tags, list) and TAG in tags


def read_mark(card: str) -> tuple[str, str] | None:
    """Why, and on which date, as the banner of a card that was withdrawn says; None where it has none."""
    match = _BANNER.search(card)
    if match is None:
        return None
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", match["why"])), match["date"]


def is_rendered(card: str) -> bool:
    """Whether mixhub rendered a card, by its last words."""
    return FOOTER in card


def add_erratum(card: str, withdrawal: Withdrawal) -> str:
    """A family's card with one erratum more, for where it cannot be rendered; the same one is said once."""
    line = f"- {escape(withdrawal.sentence())}"
    if line in card:
        return card
    if "\n## Errata\n" in card:
        return card.replace("\n## Errata\n", f"\n## Errata\n\n{line}", 1)
    section = f"\n## Errata\n\n{line}\n"
    place = card.rfind(FOOTER)
    return f"{card.rstrip()}\n{section}" if place < 0 else f"{card[:place].rstrip()}\n{section}{card[place:]}"


def _with_tag(card: str) -> str:
    head = front_matter(card)
    if head is None:
        return f"---\ntags:\n- {TAG}\n---\n\n{card}"
    metadata = card[: head.end]
    if is_marked(card):
        return card
    listed = re.search(r"^tags:[ ]*\n([ ]*)- ", metadata, re.MULTILINE)
    if listed:
        marked = (
            f"{metadata[: listed.start()]}tags:\n{listed[1]}- {TAG}\n{metadata[listed.start() :].partition(chr(10))[2]}"
        )
    else:
        import yaml

        data = yaml.safe_load(metadata.strip().strip("-")) or {}
        given = data.get("tags") or []
        data["tags"] = [TAG, *(given if isinstance(given, list) else [given])]
        marked = f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---\n"
    return marked + card[head.end :]


def _without_banner(card: str) -> str:
    return _BANNER.sub("", card, count=1)


def _store(workspace: Workspace) -> Store[Withdrawals]:
    return Store(workspace.withdrawn, Withdrawals, workspace.lock("withdrawn"))
