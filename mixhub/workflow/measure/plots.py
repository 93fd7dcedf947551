"""Single plots, as the card shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.building import measured_tables
from mixhub.analysis.evidence import Evidence, find_evidence, known_tasks
from mixhub.analysis.selection import Selection
from mixhub.analysis.tables import ScoreTable
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot, write_plot, write_plots
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.errors import UsageError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace, workspace_if_given
from mixhub.workflow.measure.tables import comparable_tables, published_table, told_apart
from mixhub.workspace.metrics import read_metrics

if TYPE_CHECKING:
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace

_ALL = Selection()
"""Every figure."""
FORMATS = (".svg", ".png")


def plot_scores(
    source: str | None = None,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> Plot:
    """Each task's scores: a dot a seed, their mean with its 95 % interval over seeds, and chance.

    Args:
        source: a family by name, lm-eval's results or a table; None: the workspace's family.
        workspace: its families are known by name, and its cells are read.
        selection: which figures.
        published: published scores, also where there are measured ones.
        progress: shows the files.

    Raises:
        UsageError: there is no workspace and no source, or nothing to draw.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    evidence, table = _table(source, workspace, selection, published, progress)
    own = evidence.family.evaluation.tasks if evidence.family else ()
    chance = {task.name: task.chance for task in (*known_tasks(workspace), *own) if task.chance is not None}
    hint = f"mixhub results {source or evidence.name} says what is missing"
    return _named(scores_plot(table, chance), evidence.name, "no score is whole", hint)


def plot_difference(
    a: str,
    b: str,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> Plot:
    """The difference of two families by task, with its 95 % interval; the average first.

    Args:
        a, b: as the source of `plot_scores`; the scores of `b` are subtracted from those of `a`.
        workspace, selection, published, progress: as for `plot_scores`.

    Raises:
        UsageError: nothing to draw, or measured and published scores would be mixed.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    from mixhub.analysis.comparison import compare

    evidence = told_apart([a, b], workspace_if_given(workspace), progress)
    comparison = compare(*comparable_tables(evidence, replace(selection, only_common=True), published, progress))
    why = comparison.primary.reason or "no task has figures of both"
    name = f"{comparison.a.name}-{comparison.b.name}"
    return _named(difference_plot(comparison), name, why, f"mixhub results {a} {b} shows what there is")


def plot_shots(
    source: str | None = None,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    progress: Progress = SILENT,
) -> Plot:
    """Scores against the number of shots, a panel a task; of what was measured, since tables do not say it.

    Args:
        source, workspace, selection, progress: as for `plot_scores`.

    Raises:
        UsageError: there is no workspace and no source, or nothing to draw.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    evidence, table = _table(source, workspace, replace(selection, samples=False), False, progress)
    if table.standing == "published":
        why, hint = "published scores do not say the number of shots", "mixhub evaluate measures at each"
    else:
        why, hint = "no task was measured at two shot counts", "mixhub evaluate measures at those of the family"
    return _named(shots_plot(table), evidence.name, why, hint)


def plot_mixture(families: Sequence[str] = (), *, workspace: WorkspaceLike | None = None) -> Plot:
    """Shares of the domains: of one mixture, of a few side by side, or of all that a family has.

    Args:
        families: names, of the workspace or the catalog; none: the workspace's family.
        workspace: its families are known by name.

    Raises:
        UsageError: there is no workspace and no name, or nothing to draw.
        UnknownNameError: there is no such family.
    """
    workspace = workspace_if_given(workspace)
    names = families or [_own_family(workspace, "mixhub plot mixture human-1b")]
    chosen = [find_family(workspace, name) for name in dict.fromkeys(names)]
    mixtures = {}
    for family in chosen:
        if family.mixture is not None:
            mixtures[family.name] = family.mixture
        else:
            several = f"{family.name} " if len(chosen) > 1 else ""
            mixtures |= {f"{several}{run.revision}": run.mixture for run in family.runs()}
    prefixes = {family.data.train_prefix for family in chosen}
    plot = mixture_plot(mixtures, prefixes.pop() if len(prefixes) == 1 else "")
    return _named(plot, "-".join(family.name for family in chosen), "no mixture is there", "name a family")


def plot_losses(workspace: WorkspaceLike, *, family: str | Family | None = None) -> Plot:
    """Training and validation losses of a family's runs, against tokens.

    Args:
        workspace: where the runs lie.
        family: the family; None: the workspace's.

    Raises:
        UsageError: no run of it was trained here.
        UnknownNameError: there is no such family.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    metrics = {run.revision: read_metrics(workspace.run_folder(run).metrics) for run in family.runs()}
    curves = {revision: lines for revision, lines in metrics.items() if lines}
    plot = losses_plot(curves, family.data.valid_prefix)
    return _named(plot, family.name, f"no run of it was trained in {workspace.root}", "mixhub train")


def save_plot(plot: Plot, output: str | os.PathLike[str] = ".") -> list[Path]:
    """Writes a plot; the paths.

    Args:
        plot: the plot.
        output: a file, .svg or .png; or a folder, which is made, for both forms.

    Raises:
        UsageError: `output` is a file of another form.
    """
    path = Path(output)
    return [write_plot(plot, path)] if _is_file(path) else write_plots([plot], path)


def _table(
    source: str | None, workspace: Workspace | None, selection: Selection, published: bool, progress: Progress
) -> tuple[Evidence, ScoreTable]:
    """What the source means, and its scores: measured ones where there are any."""
    evidence = find_evidence(source or _own_family(workspace, "mixhub plot scores human-1b"), workspace, progress)
    if evidence.measured and not published:
        return evidence, measured_tables([evidence], selection, progress)[0]
    return evidence, published_table(evidence, selection, asked=published)


def _own_family(workspace: Workspace | None, example: str) -> str:
    if workspace is None:
        raise UsageError(
            "a plot of what? There is no workspace here",
            code="option-missing",
            hint=f"{example}, or go to a workspace",
            option="SOURCE",
        )
    return workspace.config.family


def _named(plot: Plot | None, source: str, why: str, hint: str) -> Plot:
    """The plot, with its source in its name; raises UsageError, saying why, where there is none."""
    if plot is None:
        raise UsageError(f"{source}: nothing to draw: {why}", code="plot-empty", hint=hint, source=source)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("-.")[:100]
    return replace(plot, name=f"{stem}-{plot.name}" if stem else plot.name)


def _is_file(output: Path) -> bool:
    """Whether one file is asked for; raises UsageError for one of another form."""
    if output.is_dir():
        return False
    if output.suffix.lower() in FORMATS:
        return True
    if output.suffix or output.exists():
        what = f"the suffix must be {' or '.join(FORMATS)}" if output.suffix else "is a file, and no folder"
        raise UsageError(
            f"--output = {output}: {what}",
            code="option-value",
            hint="name a file .svg or .png, or a folder for both",
            option="--output",
            value=str(output),
        )
    return False
