"""Find errors in the text of a card: its metadata, figures, code and images. Makes no request."""

from __future__ import annotations

import re
from pathlib import Path

from mixhub.card.check.body import broken_links, headless_models, unlisted_revisions, wrong_mixtures
from mixhub.card.check.metadata import HINT, invalid_metadata, missing_metadata, unfamiliar_licenses
from mixhub.card.check.model_index import scores_missing_from_index, scores_unlike_tables
from mixhub.card.check.subject import Rule, Subject
from mixhub.card.check.tables import impossible_scores, wrong_averages, wrong_intervals, wrong_means, wrong_shares
from mixhub.card.markdown.parse import read_card
from mixhub.errors import SpecError
from mixhub.findings import Finding

METADATA_RULES: tuple[Rule, ...] = (
    missing_metadata,
    invalid_metadata,
    unfamiliar_licenses,
    scores_unlike_tables,
    scores_missing_from_index,
    headless_models,
)
"""They need metadata that can be read, and come first: they raise SpecError without it."""
BODY_RULES: tuple[Rule, ...] = (
    impossible_scores,
    wrong_averages,
    wrong_means,
    wrong_shares,
    wrong_intervals,
    wrong_mixtures,
    unlisted_revisions,
    broken_links,
)


def lint_card(text: str, *, folder: Path | None = None, source: str = "README.md") -> tuple[Finding, ...]:
    """Return the findings in a card, by line. Style is not checked.

    Args:
        text: the whole file.
        folder: the folder of the card, where images and linked files are looked up; None: they are not.
        source: names the card in findings.
    """
    subject = Subject(read_card(text, source), folder)
    try:
        findings = [finding for rule in METADATA_RULES for finding in rule(subject)]
    except SpecError as error:
        position = re.match(r":(\d+)", error.file.removeprefix(source))  # of `source:line` or `source:line:column`
        line = int(position[1]) if position else 1
        findings = [subject.finding(one.code, str(one), HINT, line=line, about="metadata") for one in error.problems]
    findings += [finding for rule in BODY_RULES for finding in rule(subject)]
    return tuple(sorted(findings, key=lambda finding: finding.line))
