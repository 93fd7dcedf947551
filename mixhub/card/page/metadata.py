"""The metadata of a card: what the Hub reads at its head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mixhub.analysis.tables import AVERAGE
from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.facts.scores import Scores
from mixhub.card.markdown.text import plain
from mixhub.card.page.view import dataset_repos
from mixhub.phrases import plural
from mixhub.spec.values import range_or_list

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_TASK_TYPE = "text-generation"
_STANDING = {"measured": "", "imported": "imported", "published": "published, not re-measured"}


def card_metadata(facts: FamilyFacts, best: Scores | None) -> ModelCardData:
    """Return the metadata of a card.

    Its model-index has each run's score, and for a family their mean with its sd. An entry has room for one source, so
    it has only the best-known scores.
    """
    from huggingface_hub import ModelCardData

    family, card = facts.family, facts.family.card
    tags = [plain(tag) for tag in card.tags] + ([f"arxiv:{card.arxiv}"] if card.arxiv else [])
    results = list(_eval_results(best)) if best else []
    name = f"{family.name} {facts.runs[0].run.revision}" if facts.of_run else family.name
    return ModelCardData(
        license=card.license,
        license_name=card.license_name,
        license_link=card.license_link,
        language=list(card.language) or None,
        base_model=card.base_model,
        datasets=dataset_repos(family) or None,
        library_name="transformers",
        pipeline_tag=_TASK_TYPE,
        tags=tags or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _eval_results(scores: Scores) -> Iterator[EvalResult]:
    table = scores.table
    shots = range_or_list(scores.facts.family.evaluation.num_fewshot)
    seeds = range_or_list([scores.labels[row.revision] for row in table.rows])
    for task in table.headings:
        spread = table.over_seeds[task].spread
        if spread is not None and spread.sd is not None:
            arguments = {"seeds": seeds, "sd": round(spread.sd, scores.decimals), "num_fewshot": shots}
            yield _eval_result(scores, task, spread.mean, f"mean of {spread.n} seeds", arguments)
        for row in table.rows:
            value = table.score(row, task).value
            if value is not None:
                number = scores.labels[row.revision]
                arguments = {table.kind: number, "num_fewshot": shots}
                yield _eval_result(scores, task, value, f"{table.kind} {number}", arguments)


def _eval_result(scores: Scores, task: str, value: float, of: str, arguments: dict[str, Any]) -> EvalResult:
    from huggingface_hub import EvalResult

    table, standing = scores.table, _STANDING[scores.standing]
    printed = scores.facts.family.published_scores
    source = plain(printed.source) if printed and scores.standing == "published" else None
    title, metrics = table.headings[task], set[str | None]()
    if task == AVERAGE:
        title = f"Average of {plural(len(table.columns), 'task')}"
    else:
        metrics = {row.scores[task].metric for row in table.rows} - {None}
    return EvalResult(
        task_type=_TASK_TYPE,
        dataset_type=task,
        dataset_name=plain(title) or task,
        metric_type=str(metrics.pop()) if len(metrics) == 1 else "accuracy",  # acc or acc_norm, if known
        metric_name=f"score, {of}, {standing}" if standing and not source else f"score, {of}",
        metric_value=round(value, scores.decimals),
        metric_args=arguments,
        source_name=standing if source else None,
        source_url=source,
    )
