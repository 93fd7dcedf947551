"""The card that a run would be published with, and the existing one."""

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
    """A card that cannot be rendered, has findings, or differs from the existing one."""
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
        yield from _card_differs(run, card)


def weights_withdrawn(run: RunUnderCheck) -> Iterator[Finding]:
    """Withdrawn weights, which are published with the reason on their card."""
    for mark in withdrawals(run.workspace, run.family):
        if mark.concerns(run.run, run.branch) and mark.weights_sha256 == run.content.weights_sha256:
            yield Finding("weights-withdrawn", run.where, f"was withdrawn: {mark.why}", level="warning")


def _card_differs(run: RunUnderCheck, card: str) -> Iterator[Finding]:
    """An existing card that differs from the one that would be published."""
    path = run.workspace.revision_card(run.run)
    if not path.is_file() or path.read_bytes().replace(b"\r\n", b"\n") == card.encode():
        return
    name = path.relative_to(run.workspace.root)
    try:
        if rendered_files(run.workspace)(path):
            message = f"{name} is stale; the pushed card is rendered again"
            yield Finding("card-stale", run.where, message, "see what changes: mixhub card diff", "warning")
        else:
            message = f"{name} was edited by hand since it was rendered, so it is not what would be published"
            hint = "see what would be lost: mixhub card diff; then mixhub card render --force"
            yield Finding("card-edited", run.where, message, hint)
    except MixhubError as error:
        yield from_error(error, run.where)
