"""How evaluated cells are printed: as scores, as a table of tasks by shots, and which cells of a suite are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mixhub.cli.common.console import say, show_figures, show_table
from mixhub.phrases import listed

if TYPE_CHECKING:
    from mixhub.evaluation.calls.group_scores import GroupScore
    from mixhub.spec import Evaluation, Family, Run
    from mixhub.workflow import Options
    from mixhub.workspace.cells import Cell


def show_scores(family: Family, runs: Sequence[Run], cells: Mapping[str, Sequence[Cell]]) -> None:
    """Print the scores of runs; an average with missing cells is never shown as complete."""
    from mixhub.analysis.scores import score_table

    figures: dict[tuple[str, str], str] = {}
    titles = {task.name: task.title for task in family.evaluation.tasks}
    for row in score_table(family, runs, cells):
        for title, score in (*((titles[task], one) for task, one in row.scores.items()), ("Average", row.average)):
            figures[row.revision, title] = f"{score.value:.2f}" if score.value is not None else f"- ({score.reason})"
    show_figures(
        [run.revision for run in runs],
        [*titles.values(), "Average"],
        figures,
        title=f"scores in percent, mean over shots {', '.join(map(str, family.evaluation.num_fewshot))}",
        corner="score",
    )


def show_cells(evaluation: Evaluation, cells: Sequence[Cell], title: str) -> None:
    """Print cells as tasks by shots: `acc_norm`, else `acc`, in percent, else the first metric in its own unit."""
    from mixhub.analysis.scores import SCORE

    mark = ""
    if limits := sorted({cell.limit for cell in cells if cell.limit is not None}):
        mark = "*" if any(cell.limit is None for cell in cells) else ""
        title += f" ({mark}only the first {listed(limits)} documents of each task: in none of the scores)"
    shots = list(evaluation.num_fewshot)
    by_place = {(cell.task, cell.num_fewshot): cell for cell in cells}
    rows = []
    for task in evaluation.tasks:
        own = [by_place.get((task.name, count)) for count in shots]
        metric = next((SCORE.metric(cell) or min(cell.metrics) for cell in own if cell is not None), "-")
        rows.append([task.title, metric, *("-" if cell is None else _figure(cell, metric, mark) for cell in own)])
    show_table(["task", "metric", *(f"{count}-shot" for count in shots)], rows, title=title)


def show_groups(groups: Sequence[GroupScore]) -> None:
    """Print lm-eval's scores of groups: each metric that a group aggregates."""
    rows = []
    for one in groups:
        shots = "own" if one.group.num_fewshot is None else str(one.group.num_fewshot)
        for metric, value in one.metrics.items():
            name = metric.removesuffix(",none")
            stderr = one.stderr(metric)
            error = "-" if stderr is None else _in_unit(name, stderr)
            rows.append([one.group.name, name, shots, _in_unit(name, value), error, str(one.figures["sample_len"])])
    if rows:
        columns = ["group", "metric", "shots", "score", "standard error", "documents"]
        show_table(columns, rows, title="groups, as lm-eval aggregates them")


def requested_part(evaluation: Evaluation, options: Options) -> Evaluation:
    """Return the part of a suite that options ask for."""
    from mixhub.evaluation.options import requested_names

    asked = requested_names(evaluation, options)
    tasks = tuple(task for task in evaluation.tasks if any(task.name == name for name, _ in asked))
    return evaluation.model_copy(update={"tasks": tasks, "num_fewshot": tuple(sorted({shots for _, shots in asked}))})


def say_suite(family: Family) -> None:
    """Print what a score needs, after a part of the suite was measured."""
    from mixhub.phrases import plural

    tasks, shots = len(family.evaluation.tasks), len(family.evaluation.num_fewshot)
    suite = f"{plural(tasks, 'task')} at {plural(shots, 'shot count')}"
    say(f"scores need the whole suite: {suite}, in `evaluation:` of {family.name} in mixhub.yaml")


def say_missing(requested: Sequence[tuple[str, int]], cells: Sequence[Cell]) -> None:
    """Print which of the requested cells are missing, or were cut short by a limit."""
    present = {(cell.task, cell.num_fewshot) for cell in cells}
    missing: dict[str, list[int]] = {}
    for name, count in requested:
        if (name, count) not in present:
            missing.setdefault(name, []).append(count)
    if missing:
        names = "; ".join(f"{name} {','.join(map(str, counts))}-shot" for name, counts in missing.items())
        say(f"missing ({sum(map(len, missing.values()))} of {len(requested)} cells): {names}")
    if limited := sum(cell.limit is not None for cell in cells):
        say(f"cut short by a limit, so in none of the scores: {limited} of {len(cells)} cells")


def _figure(cell: Cell, metric: str, mark: str) -> str:
    return _in_unit(metric, cell.metrics[metric]) + ("" if cell.limit is None else mark)


def _in_unit(metric: str, value: float) -> str:
    return f"{100 * value:.2f}" if metric in ("acc_norm", "acc") else f"{value:.4g}"
