"""The metadata of a card: what the Hub reads at its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixhub.card import figures
from mixhub.card.context import CardContext, RevisionContext, Shared, datasets
from mixhub.card.scores import Scores
from mixhub.card.text import plain
from mixhub.family import Family

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TASK_TYPE = "text-generation"
_PUBLISHED = "published, not re-measured"


def family_metadata(context: CardContext) -> ModelCardData:
    """Metadata of a family's card; its model-index has each revision's score, and their mean with its sd."""
    return _metadata(context.shared, context.shared.family.name)


def revision_metadata(context: RevisionContext) -> ModelCardData:
    """Metadata of a revision's card; its model-index has the scores of this revision."""
    return _metadata(context.shared, f"{context.run.family} {context.run.revision}")


def _metadata(shared: Shared, model_name: str) -> ModelCardData:
    from huggingface_hub import ModelCardData

    card = shared.family.card
    tags = [plain(tag) for tag in card.tags] + ([f"arxiv:{card.arxiv}"] if card.arxiv else [])
    results = _eval_results(shared)
    return ModelCardData(
        license=plain(card.license),
        language=[plain(language) for language in card.language] or None,
        datasets=datasets(shared.family) or None,
        library_name="transformers",
        pipeline_tag=_TASK_TYPE,
        tags=tags or None,
        model_name=model_name if results else None,
        eval_results=results or None,
    )


def _eval_results(shared: Shared) -> list[EvalResult]:
    """Measured scores; published ones only where nothing was measured, since an entry has room for one source."""
    if shared.measured_scores is not None:
        return _of_table(shared.family, shared.measured_scores, source=None)
    if shared.published_scores is not None:
        printed = shared.family.published_scores
        assert printed is not None
        return _of_table(shared.family, shared.published_scores, source=plain(printed.source))
    return []


def _of_table(family: Family, scores: Scores, source: str | None) -> list[EvalResult]:
    shots = figures.compact(family.evaluation.num_fewshot)
    seeds = figures.compact([row.number for row in scores.rows])
    plural = "s" if len(scores.tasks) != 1 else ""
    columns = (
        *zip(scores.tasks, scores.titles, scores.metrics, strict=True),
        ("average", f"Average of {len(scores.tasks)} task{plural}", "accuracy"),
    )
    results = []
    for position, column in enumerate(columns):
        spread = scores.spreads[position]
        if spread is not None and spread.sd is not None:
            arguments = {"seeds": seeds, "sd": round(spread.sd, 2), "num_fewshot": shots}
            results.append(_result(column, spread.mean, f"mean of {spread.n} seeds", arguments, source))
        for row in scores.rows:
            value = row.values[position]
            if value is not None:
                arguments = {scores.kind: row.number, "num_fewshot": shots}
                results.append(_result(column, value, f"{scores.kind} {row.number}", arguments, source))
    return results


def _result(
    column: tuple[str, str, str], value: float, of: str, arguments: dict[str, Any], source: str | None
) -> EvalResult:
    from huggingface_hub import EvalResult

    name, title, metric = column
    return EvalResult(
        task_type=_TASK_TYPE,
        dataset_type=name,
        dataset_name=plain(title) or name,
        metric_type=metric,
        metric_name=f"score, {of}",
        metric_value=round(value, 2),
        metric_args=arguments,
        source_name=_PUBLISHED if source else None,
        source_url=source,
    )
