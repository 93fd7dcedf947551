"""The card that a run would be published with, and the one that lies there."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.card.check.lint import lint_card
from mixhub.card.facts.gather import gather_run
from mixhub.card.facts.withdrawal import withdrawals
from mixhub.card.page.receipts import rendered_files
from mixhub.card.page.write import revision_card
from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.check.subject import RunUnderCheck


def card_unsound(run: RunUnderCheck) -> Iterator[Finding]:
    """The card can be rendered, nothing is wrong with it, and the one that lies there is the same."""
    workspace, family = run.workspace, run.family
    try:
        workspace.license(family)
        card = revision_card(workspace, family, gather_run(workspace, family, run.run, run.step))
    except MixhubError as error:
        yield from_error(error, run.where)
        return
    for finding in lint_card(card, source=f"the card of {run.where}"):
        yield finding.within(run.where)
    if run.is_last:
        yield from _as_rendered(run, card)


def weights_withdrawn(run: RunUnderCheck) -> Iterator[Finding]:
    """Weights that were withdrawn are published all the same, with the reason on their card."""
    for mark in withdrawals(run.workspace, run.family):
        if (mark.revision, mark.weights_sha256) == (run.where, run.content.weights_sha256):
            yield Finding("weights-withdrawn", run.where, f"was withdrawn: {mark.why}", level="warning")


def _as_rendered(run: RunUnderCheck, card: str) -> Iterator[Finding]:
    """Whether the card that lies there is the one that would be published; one that was never rendered is no fault."""
    path = run.workspace.revision_card(run.run)
    if not path.is_file() or path.read_bytes().replace(b"\r\n", b"\n") == card.encode():
        return
    shown = path.relative_to(run.workspace.root)
    try:
        is_edited = not rendered_files(run.workspace)(path)
    except MixhubError as error:
        yield from_error(error, run.where)
        return
    if is_edited:
        message = f"{shown} was edited by hand since it was rendered, and does not say what would be published"
        hint = "see what would go: mixhub card diff; then mixhub card render --force"
        yield Finding("card-edited", run.where, message, hint)
    else:
        message = f"{shown} is not fresh; what is pushed is rendered anew"
        yield Finding("card-stale", run.where, message, "see what changes: mixhub card diff", "warning")
