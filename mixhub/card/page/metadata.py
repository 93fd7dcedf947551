"""The metadata of a card: what the Hub reads at its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mixhub.analysis.tables import AVERAGE
from mixhub.card.facts.scores import Scores
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import plain
from mixhub.card.page.about import datasets
from mixhub.card.page.context import CardContext, RevisionContext, Sections
from mixhub.phrases import plural
from mixhub.spec.family import Family

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TASK_TYPE = "text-generation"
_SOURCES = {"measured": None, "imported": "imported", "published": "published, not re-measured"}


def family_metadata(context: CardContext) -> ModelCardData:
    """Metadata of a family's card; its model-index has each revision's score, and their mean with its sd."""
    return _metadata(context.sections, context.sections.family.name)


def revision_metadata(context: RevisionContext) -> ModelCardData:
    """Metadata of a revision's card; its model-index has the scores of this revision."""
    run = context.about.run
    return _metadata(context.sections, f"{run.family} {run.revision}")


def _metadata(sections: Sections, model_name: str) -> ModelCardData:
    from huggingface_hub import ModelCardData

    card = sections.family.card
    tags = [plain(tag) for tag in card.tags] + ([f"arxiv:{card.arxiv}"] if card.arxiv else [])
    results = _eval_results(sections)
    return ModelCardData(
        license=card.license,
        license_name=card.license_name,
        license_link=card.license_link,
        language=list(card.language) or None,
        base_model=card.base_model,
        datasets=datasets(sections.family) or None,
        library_name="transformers",
        pipeline_tag=_TASK_TYPE,
        tags=tags or None,
        model_name=model_name if results else None,
        eval_results=results or None,
    )


def _eval_results(sections: Sections) -> list[EvalResult]:
    """The scores that are known best, since an entry has room for one source; their standing is the source's name."""
    best = sections.results.best
    if best is None:
        return []
    printed = sections.family.published_scores
    source = plain(printed.source) if printed and best.standing == "published" else None
    return _of_table(sections.family, best, _SOURCES[best.standing], source)


def _of_table(family: Family, scores: Scores, source_name: str | None, source: str | None) -> list[EvalResult]:
    shots = figures.range_or_list(family.evaluation.num_fewshot)
    table = scores.table
    seeds = figures.range_or_list([scores.numbers[row.revision] for row in table.rows])
    results = []
    for task, title in table.headings.items():
        column = _Column(task, title if task != AVERAGE else _average_title(scores), _metric(scores, task))
        spread = table.over_seeds[task].spread
        if spread is not None and spread.sd is not None:
            arguments = {"seeds": seeds, "sd": round(spread.sd, scores.decimals), "num_fewshot": shots}
            value = round(spread.mean, scores.decimals)
            results.append(_result(column, value, f"mean of {spread.n} seeds", arguments, source_name, source))
        for row in table.rows:
            found = table.score(row, task).value
            if found is not None:
                number = scores.numbers[row.revision]
                arguments = {scores.kind: number, "num_fewshot": shots}
                value = round(found, scores.decimals)
                results.append(_result(column, value, f"{scores.kind} {number}", arguments, source_name, source))
    return results


class _Column(NamedTuple):
    """What results of one task have in common."""

    task: str
    title: str
    metric: str


def _average_title(scores: Scores) -> str:
    return f"Average of {plural(len(scores.table.columns), 'task')}"


def _metric(scores: Scores, task: str) -> str:
    """`acc_norm` or `acc`, or `accuracy` where it is not known which."""
    if task == AVERAGE:
        return "accuracy"
    known = {row.scores[task].metric for row in scores.table.rows} - {None}
    return str(known.pop()) if len(known) == 1 else "accuracy"


def _result(
    column: _Column, value: float, of: str, arguments: dict[str, Any], source_name: str | None, source: str | None
) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=_TASK_TYPE,
        dataset_type=column.task,
        dataset_name=plain(column.title) or column.task,
        metric_type=column.metric,
        metric_name=f"score, {of}" if source or source_name is None else f"score, {of}, {source_name}",
        metric_value=value,
        metric_args=arguments,
        source_name=source_name if source else None,
        source_url=source,
    )
