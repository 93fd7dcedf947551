"""Withdrawn revisions: noted in the workspace and shown on cards. The commits that others pinned stay."""

from __future__ import annotations

import html
import re
from typing import Any, Literal

from mixhub.card.markdown.parse import front_matter, read_card
from mixhub.card.markdown.text import escape
from mixhub.errors import MixhubError
from mixhub.receipts import Store
from mixhub.spec.base import FrozenList, Spec
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.paths import Workspace

TAG = "withdrawn"
"""In the metadata of a card."""
_BANNER = re.compile(r"^> \*\*Withdrawn on (?P<date>\S+):\*\* (?P<why>.+)$", re.MULTILINE)
FOOTER = "\n---\n\nRendered by mixhub"
"""How the last part of a rendered card begins."""


class Withdrawal(Spec):
    """One withdrawn revision, with its weights."""

    family: str
    """Name of the family."""
    revision: str
    """The branch."""
    run: str | None = None
    """The run, if the name of the branch alone does not say it."""
    weights_sha256: Sha256
    """The weights. Other weights on the same branch are not withdrawn."""
    why: str
    """One line."""
    date: str
    """For example `2026-11-23`."""

    def sentence(self) -> str:
        """Return what the card of the family says."""
        of = f"{self.revision} of {self.run}" if self.run and self.run not in self.revision else self.revision
        return f"{of}, with weights {self.weights_sha256[:12]}, was withdrawn on {self.date}: {self.why}"

    def concerns(self, run: Run, branch: str) -> bool:
        """Return whether a branch of a run was withdrawn, with some weights."""
        return (self.revision, self.run or run.revision) == (branch, run.revision)


class Withdrawals(Spec):
    """The content of `receipts/withdrawn.json`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    withdrawals: FrozenList[Withdrawal] = ()
    """In the order in which they were noted."""


def withdrawals(workspace: Workspace, family: Family) -> list[Withdrawal]:
    """Return the withdrawals of a family, or of what a repo holds of it; raises SpecError if the file is unreadable."""
    marks = [one for one in _store(workspace).read().withdrawals if one.family == family.name]
    runs = {run.revision for run in family.runs()} if family.is_part else set()
    return [one for one in marks if not family.is_part or one.run in runs]


def note_withdrawal(workspace: Workspace, withdrawal: Withdrawal) -> None:
    """Note a withdrawal; it replaces one of the same weights."""
    keys = ("family", "revision", "run", "weights_sha256")
    same = [getattr(withdrawal, key) for key in keys]
    with _store(workspace).update() as data:
        others = [one for one in data["withdrawals"] if [one.get(key) for key in keys] != same]
        data["withdrawals"] = [*others, withdrawal.to_data()]


def mark_withdrawn(card: str, withdrawal: Withdrawal) -> str:
    """Return the card of a revision with the tag and a banner; without the tag if its metadata cannot be read."""
    card = _BANNER.sub("", _with_tag(card), count=1)
    head = front_matter(card)
    end = head.end if head else 0
    banner = f"> **Withdrawn on {withdrawal.date}:** {escape(withdrawal.why)}"
    return f"{card[:end].rstrip()}\n\n{banner}\n\n{card[end:].lstrip()}"


def withdrawal_of(card: str) -> str | None:
    """Return why and when a revision was withdrawn, by its card; None if it was not."""
    if not is_marked(card):
        return None
    mark = read_mark(card)
    return f"{mark[0]} ({mark[1]})" if mark else "the card has the tag, but no reason"


def is_marked(card: str) -> bool:
    """Return whether a card has the tag of withdrawn revisions."""
    tags = (_metadata(card) or {}).get("tags")
    return isinstance(tags, list) and TAG in tags


def read_mark(card: str) -> tuple[str, str] | None:
    """Return reason and date of a withdrawal from the banner of a card; None without a banner."""
    match = _BANNER.search(card)
    if match is None:
        return None
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", match["why"])), match["date"]


def is_rendered(card: str) -> bool:
    """Return whether mixhub rendered a card, by its footer."""
    return FOOTER in card


def add_erratum(card: str, withdrawal: Withdrawal) -> str:
    """Return a family's card with an erratum, for a card that cannot be rendered again; the same one is added once."""
    line = f"- {escape(withdrawal.sentence())}"
    if line in card:
        return card
    if "\n## Errata\n" in card:
        return card.replace("\n## Errata\n", f"\n## Errata\n\n{line}", 1)
    body, footer_start, footer = card.rpartition(FOOTER) if FOOTER in card else (card, "", "")
    return f"{body.rstrip()}\n\n## Errata\n\n{line}\n{footer_start}{footer}"


def _with_tag(card: str) -> str:
    import yaml

    metadata = _metadata(card)
    if metadata is None or is_marked(card):
        return card
    head, tags = front_matter(card), metadata.get("tags") or []
    data = {**metadata, "tags": [TAG, *(tags if isinstance(tags, list) else [tags])]}
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---\n{card[head.end :] if head else card}"


def _metadata(card: str) -> dict[str, Any] | None:
    """Return the metadata of a card; None if it cannot be read."""
    try:
        return dict(read_card(card).metadata)
    except MixhubError:
        return None


def _store(workspace: Workspace) -> Store[Withdrawals]:
    return Store(workspace.withdrawn, Withdrawals, workspace.lock("withdrawn"))
