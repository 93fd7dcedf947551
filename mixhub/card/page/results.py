"""The sections of a card on scores: results by their standing, and siblings beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixhub.analysis.comparison import Comparison, compare
from mixhub.analysis.scores import Standing
from mixhub.card.facts.audit import audit_scores
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.scores import Scores, find_scores
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, code, escape, link, listed
from mixhub.card.page.loading import repo_link

_STANDINGS: tuple[Standing, ...] = ("measured", "imported", "published")


def results(facts: FamilyFacts) -> dict[str, Any]:
    """Return the scores by their standing, the best-known ones, and their audits."""
    family, printed = facts.family, facts.family.published_scores
    measured, imported, published = (find_scores(facts, standing) for standing in _STANDINGS)
    audits = [audit_scores(scores) for scores in (measured, published) if scores]
    return {
        "measured": measured,
        "imported": imported,
        "published": published,
        "best": measured or imported or published,
        "audits": [audit for audit in audits if audit],
        "source": link(printed.source, printed.source) if printed else None,
        "original": _original(facts),
        "tasks": listed([Markdown(f"{escape(task.title)} ({code(task.name)})") for task in family.evaluation.tasks]),
        "shots": figures.shots(family.evaluation.num_fewshot),
    }


def _original(facts: FamilyFacts) -> dict[str, Any] | None:
    """Return the published scores of the models that a family replicates, for its card; they are not its own."""
    original = facts.original
    if original is None or facts.of_run or original.published_scores is None:
        return None
    theirs = FamilyFacts(original, tuple(RunFacts(run) for run in original.runs()))
    source = original.published_scores.source
    return {"scores": find_scores(theirs, "published"), "name": repo_link(theirs), "source": link(source, source)}


def siblings(facts: FamilyFacts, own: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Comparison]]:
    """Return the siblings and their scores beside the family's; and the comparisons of measured scores, by sibling."""
    rows = tuple((repo_link(one), one.family.card.title, one.family.card.summary) for one in facts.siblings)
    side_by_side, measured = [], {}
    for standing in _STANDINGS:
        scores: Scores | None = own[standing]
        if scores is None or scores.table.kind != "seed":
            continue
        others = {one.family.name: found for one in facts.siblings if (found := _same_suite(scores, one))}
        compared = {name: compare(scores.table, other.table) for name, other in others.items()}
        if compared:
            side_by_side.append({"standing": standing, **_beside(scores, others, compared)})
        if standing == "measured" and scores.spread_shown:
            measured = {name: one for name, one in compared.items() if others[name].spread_shown}
    table = Table(("Family", "Title", "Description"), rows) if rows else None
    return {"table": table, "side_by_side": side_by_side}, measured


def _same_suite(scores: Scores, sibling: FamilyFacts) -> Scores | None:
    """Return the scores of a sibling over seeds that have the same standing and tasks."""
    found = find_scores(sibling, scores.standing)
    if found is None or found.table.kind != "seed":
        return None
    return found if found.table.headings.keys() == scores.table.headings.keys() else None


def _beside(scores: Scores, others: Mapping[str, Scores], compared: Mapping[str, Comparison]) -> dict[str, Any]:
    shown = [(scores.facts.family.name, scores)]
    shown += [(name, others[name]) for name, one in compared.items() if not one.primary.reason]
    rows = [(title, *(one.mean(task) for _, one in shown)) for task, title in scores.table.headings.items()]
    table = Table(("Task", *(name for name, _ in shown)), tuple(rows), frozenset(range(1, len(shown) + 1)))
    differences = [sentence for one in compared.values() if (sentence := _difference(one))]
    return {"table": table if len(shown) > 1 else None, "differences": differences}


def _difference(comparison: Comparison) -> str | None:
    """Return the difference of two averages in words, with its interval over seeds; None if there is none."""
    primary, a, b = comparison.primary, comparison.a.name, comparison.b.name
    if primary.reason:
        return f"{a} and {b} are not compared: {primary.reason}."
    if primary.difference is None or primary.interval is None:
        return None
    low, high = primary.interval.low, primary.interval.high
    return (
        f"{a} minus {b}: {primary.difference:+.2f} points of the average; the 95 % interval over seeds, "
        f"{low:+.2f} to {high:+.2f}, {'includes' if low <= 0 <= high else 'excludes'} zero."
    )
