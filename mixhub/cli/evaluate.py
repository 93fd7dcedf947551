"""`mixhub evaluate`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, open_workspace

if TYPE_CHECKING:
    from mixhub.evaluate.results import Cell, Score
    from mixhub.family import Family, Run


def evaluate(
    seed: SeedOption = None,
    index: IndexOption = None,
    tasks: Annotated[
        str | None, typer.Option(help="Only these, with commas; else all of the family's.", metavar="NAMES")
    ] = None,
    num_fewshot: Annotated[
        str | None, typer.Option(help="Shot counts, as 0,5 or 0-5; else all of the family's.", metavar="COUNTS")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first N documents of a task; never counted as whole.", metavar="N", min=1),
    ] = None,
    device: Annotated[str | None, typer.Option(help="`cpu` or `cuda`; else the best there is.", metavar="NAME")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Else float32 on cpu and bfloat16 on cuda.", metavar="DTYPE")
    ] = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Evaluate one run's export with lm-eval, a file a cell (task × shots); cells that are done are left alone."""
    from mixhub.cli.console import counted, progress, say
    from mixhub.cli.steps import evaluate_run

    place = open_workspace(workspace)
    chosen = place.family(family)
    run = chosen.run(seed=seed, index=index)
    cells = evaluate_run(
        place,
        chosen,
        run,
        progress(),
        tasks=tasks.split(",") if tasks else None,
        num_fewshot=_counts(num_fewshot) if num_fewshot else None,
        limit=limit,
        device=device,
        dtype=dtype,
    )
    show_scores(chosen, [run], {run.revision: cells})
    say(f"{run.revision}: {counted(len(cells), 'cell')} in {place.results(run)}")
    say(f"next: mixhub push --{run.kind} {run.number}")


def show_scores(family: Family, runs: Sequence[Run], cells: Mapping[str, Sequence[Cell]]) -> None:
    """Prints the scores of runs; an average over missing cells is never shown as whole."""
    from mixhub.cli.console import show_figures
    from mixhub.evaluate.results import score_table

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


def _score(score: Score) -> str:
    return f"{score.value:.2f}" if score.value is not None else f"- ({score.reason})"


def _counts(text: str) -> list[int]:
    """`0,5` or `0-5`, or both, as numbers; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,3})(?:-([0-9]{1,3}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--num-fewshot = {text!r}: must be counts as 0,5 or 0-5")
        counts += range(int(match[1]), int(match[2] or match[1]) + 1)
    return counts
