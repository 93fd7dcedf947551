"""How evaluated cells are printed: as scores, as a table of tasks by shots, and what is missing of a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixhub.analysis.scores import Score
    from mixhub.spec import Evaluation, Family, Run
    from mixhub.workflow import Options
    from mixhub.workspace.cells import Cell


def show_scores(family: Family, runs: Sequence[Run], cells: Mapping[str, Sequence[Cell]]) -> None:
    """Prints the scores of runs; an average over missing cells is never shown as whole."""
    from mixhub.analysis.scores import score_table
    from mixhub.cli.common.console import show_figures

    figures: dict[tuple[str, str], str] = {}
    titles = {task.name: task.title for task in family.evaluation.tasks}
    for row in score_table(family, runs, cells):
        figures |= {(row.revision, titles[task]): _score(score) for task, score in row.scores.items()}
        figures[row.revision, "Average"] = _score(row.average)
    show_figures(
        [run.revision for run in runs],
        [*titles.values(), "Average"],
        figures,
        title=f"scores in percent, mean over shots {', '.join(map(str, family.evaluation.num_fewshot))}",
        corner="score",
    )


def show_cells(evaluation: Evaluation, cells: Sequence[Cell], title: str) -> None:
    """Prints cells as a table of tasks by shots: `acc_norm`, else `acc`, in percent, else the first metric as it is."""
    from mixhub.cli.common.console import show_table

    shots = list(evaluation.num_fewshot)
    by_place = {(cell.task, cell.num_fewshot): cell for cell in cells}
    rows = []
    for task in evaluation.tasks:
        own = [by_place.get((task.name, count)) for count in shots]
        metric = next((_shown_metric(cell) for cell in own if cell is not None), "-")
        rows.append([task.title, metric, *("-" if cell is None else _figure(cell, metric) for cell in own)])
    show_table(["task", "metric", *(f"{count}-shot" for count in shots)], rows, title=title)


def say_missing(evaluation: Evaluation, cells: Sequence[Cell], options: Options) -> None:
    """Says which cells of the suite are not there, or were cut short by a limit."""
    from mixhub.cli.common.console import say

    there = {(cell.task, cell.num_fewshot): cell for cell in cells}
    asked = [name for name in (task.name for task in evaluation.tasks) if name in (options.tasks or (name,))]
    shots = sorted(options.num_fewshot or evaluation.num_fewshot)
    missing = {name: [count for count in shots if (name, count) not in there] for name in asked}
    if any(missing.values()):
        said = "; ".join(f"{name} {','.join(map(str, counts))}-shot" for name, counts in missing.items() if counts)
        say(f"missing ({sum(map(len, missing.values()))} of {len(asked) * len(shots)} cells): {said}")
    if limited := sum(cell.limit is not None for cell in cells):
        say(f"cut short by a limit, so in no score: {limited} of {len(cells)} cells")


def _shown_metric(cell: Cell) -> str:
    return next((name for name in ("acc_norm", "acc") if name in cell.metrics), sorted(cell.metrics)[0])


def _figure(cell: Cell, metric: str) -> str:
    value = cell.metrics[metric]
    return f"{100 * value:.2f}" if metric in ("acc_norm", "acc") else f"{value:.4g}"


def _score(score: Score) -> str:
    return f"{score.value:.2f}" if score.value is not None else f"- ({score.reason})"
