"""The sections of a card on scores: results by their standing, audits, and siblings beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixhub.card.facts import scores
from mixhub.card.facts.audit import AuditFacts, audit_measured, audit_published
from mixhub.card.facts.runs import Known, RunFacts, Sibling
from mixhub.card.facts.scores import Measurement, Scores, SideBySide
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, code, escape, link, listed
from mixhub.card.page.loading import repo_link
from mixhub.spec.family import Family


@dataclass(frozen=True)
class ResultsSection:
    """Scores by their standing, how they came about, and what of them does not fit."""

    measured: Scores | None
    measurement: Measurement | None
    """Of the measured ones."""
    measured_audit: AuditFacts | None
    imported: Scores | None
    import_: Measurement | None
    """Of the imported ones."""
    published: Scores | None
    published_audit: AuditFacts | None
    source: Markdown | None
    """Where the published scores stand."""
    tasks: Markdown
    """Tasks of the suite: titles, and lm-eval's names."""
    shots: str
    """Shot counts of the suite."""

    @property
    def best(self) -> Scores | None:
        """Those that are known best: measured here, else imported, else published."""
        return self.measured or self.imported or self.published

    @property
    def audits(self) -> tuple[tuple[str, AuditFacts], ...]:
        """The audits that were made, each with what it is of."""
        given = (("measured", self.measured_audit), ("published", self.published_audit))
        return tuple((of, audit) for of, audit in given if audit is not None)


@dataclass(frozen=True)
class SiblingsSection:
    """The families beside a family."""

    table: Table | None
    """A line per sibling; None where there are none."""
    side_by_side: tuple[SideBySide, ...]
    """Scores of the siblings beside those of the family, by standing."""


def results_section(family: Family, runs: Sequence[RunFacts], known: Known) -> ResultsSection:
    """Scores of the runs.

    Raises:
        ResultsError: cells have neither acc nor acc_norm, or those of one run were made with different weights.
    """
    measured = scores.measured(family, runs, known.samples)
    imported = scores.imported(family, runs)
    published = scores.published(family, runs)
    printed = family.published_scores
    return ResultsSection(
        measured=measured,
        measurement=scores.measurement(family, runs, measured) if measured else None,
        measured_audit=audit_measured(family, measured) if measured else None,
        imported=imported,
        import_=scores.measurement(family, runs, imported) if imported else None,
        published=published,
        published_audit=audit_published(family, published) if published else None,
        source=link(printed.source, printed.source) if printed else None,
        tasks=listed([Markdown(f"{escape(t.title)} ({code(t.name)})") for t in family.evaluation.tasks]),
        shots=figures.shots(family.evaluation.num_fewshot),
    )


def siblings_section(family: Family, own: ResultsSection, siblings: Sequence[Sibling]) -> SiblingsSection:
    """The families beside a family, and their scores beside its own."""
    return SiblingsSection(_siblings(siblings), tuple(_side_by_side(family, own, siblings)))


def _siblings(siblings: Sequence[Sibling]) -> Table | None:
    rows = tuple((repo_link(one.family), one.family.card.title, one.family.card.summary) for one in siblings)
    return Table(("Family", "Title", "What it is"), rows) if rows else None


def _side_by_side(family: Family, own: ResultsSection, siblings: Sequence[Sibling]) -> list[SideBySide]:
    pairs = (
        (own.measured, [(one.family.name, scores.measured(one.family, one.runs, one.samples)) for one in siblings]),
        (own.imported, [(one.family.name, scores.imported(one.family, one.runs)) for one in siblings]),
        (own.published, [(one.family.name, scores.published(one.family, one.runs)) for one in siblings]),
    )
    found = []
    for mine, others in pairs:
        known = [(name, theirs) for name, theirs in others if theirs is not None]
        if mine is not None and (beside := scores.side_by_side(mine, known, family.name)) is not None:
            found.append(beside)
    return found
