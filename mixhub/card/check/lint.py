"""What is wrong with the text of a card: its metadata, links, tables and code. Makes no request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mixhub.card.check.code import endless_code, endless_folds, headless_models, unlisted_revisions, wrong_mixtures
from mixhub.card.check.links import broken_links, links_without_text, refused_links
from mixhub.card.check.metadata import invalid_values, missing_metadata, unnamed_licenses, unreadable_for_client
from mixhub.card.check.model_index import (
    conflicting_scores,
    misnamed_datasets,
    misshapen_index,
    scores_missing_from_index,
    scores_unlike_tables,
)
from mixhub.card.check.subject import MetadataLines, Rule, Subject
from mixhub.card.check.tables import (
    impossible_scores,
    ragged_rows,
    wrong_averages,
    wrong_cells_by_task,
    wrong_means,
    wrong_shares,
)
from mixhub.card.markdown.parse import front_matter, read_card
from mixhub.errors import SpecError
from mixhub.findings import Finding

METADATA_RULES: tuple[Rule, ...] = (
    missing_metadata,
    invalid_values,
    unnamed_licenses,
    misshapen_index,
    conflicting_scores,
)
INDEX_RULES: tuple[Rule, ...] = (scores_unlike_tables, scores_missing_from_index, misnamed_datasets)
"""What the model-index says, against the tables."""
BODY_RULES: tuple[Rule, ...] = (
    broken_links,
    links_without_text,
    refused_links,
    ragged_rows,
    impossible_scores,
    wrong_averages,
    wrong_means,
    wrong_shares,
    wrong_cells_by_task,
    endless_code,
    endless_folds,
    wrong_mixtures,
    headless_models,
    unlisted_revisions,
)


def lint_card(text: str, *, folder: Path | None = None, source: str = "README.md") -> tuple[Finding, ...]:
    """What is wrong with a card, by line; whoever wrote it, only what is broken is found, and no matter of style.

    Args:
        text: the whole file.
        folder: where it lies; files that it refers to are looked up there. None: they are not looked up.
        source: names the card in findings.
    """
    lines = MetadataLines(text)
    try:
        subject = Subject(source, read_card(text, source), folder, lines)
    except SpecError as error:
        subject = Subject(source, read_card(_without_metadata(text), source), folder, lines)
        findings = [*_unreadable(error, source)]
    else:
        findings = _apply(METADATA_RULES, subject)
        findings += [] if findings else unreadable_for_client(subject)
        findings += _apply(INDEX_RULES, subject)
    findings += _apply(BODY_RULES, subject)
    return tuple(sorted(findings, key=lambda finding: finding.line))


def _apply(rules: tuple[Rule, ...], subject: Subject) -> list[Finding]:
    return [finding for rule in rules for finding in rule(subject)]


def _unreadable(error: SpecError, source: str) -> Iterator[Finding]:
    """Metadata that cannot be read; the reader names the place as `card:line` or `card:line:column`."""
    place = re.match(r":(\d+)", error.file.removeprefix(source))
    line = int(place[1]) if place else 1
    for problem in error.problems:
        hint = "mend the lines between the two ---"
        yield Finding(problem.code, source, str(problem), hint, line=line, about="metadata")


def _without_metadata(text: str) -> str:
    """The card with a comment in the place of its metadata, as many lines long."""
    head = front_matter(text.removeprefix("\ufeff"))
    assert head is not None
    return "\n" * (head.lines[1] - 1) + "<!-- metadata -->\n" + text.removeprefix("\ufeff")[head.end :]
