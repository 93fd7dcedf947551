"""Single plots, as the card shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.building import measured_tables, require_published
from mixhub.analysis.comparison import compare
from mixhub.analysis.evidence import Evidence, find_evidence, known_tasks
from mixhub.analysis.losses.runs import find_losses
from mixhub.analysis.losses.table import loss_tables
from mixhub.analysis.scores import LOSS
from mixhub.analysis.selection import Selection
from mixhub.analysis.tables import ScoreTable
from mixhub.card.plots.domain_losses import domain_losses_plot
from mixhub.card.plots.losses import losses_plot
from mixhub.card.plots.mixture import mixture_plot
from mixhub.card.plots.plot import Plot, write_plot
from mixhub.card.plots.scores import difference_plot, scores_plot, shots_plot
from mixhub.card.plots.validation import validation_plot
from mixhub.errors import UsageError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace, workspace_if_given
from mixhub.workflow.measure.tables import comparable_tables, default_source
from mixhub.workspace.metrics import iterate_metrics

if TYPE_CHECKING:
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace

_ALL = Selection()
_FORMATS = (".svg", ".png", ".pdf")
_BOTH = _FORMATS[:2]
"""What a folder gets: one for pages, one where SVG is not shown."""


def plot_scores(
    source: str | None = None,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> Plot:
    """Plot each task's scores: a dot per seed, their mean with its 95 % interval over seeds, and chance.

    Args:
        source: a family by name, lm-eval's results or a table; default: the workspace's family.
        workspace: the workspace with further families and with cells.
        selection: which figures.
        published: published scores, even if there are measured ones.
        progress: shows the files that are read.

    Raises:
        UsageError: there is no source and no workspace, or nothing to plot.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    if selection.measure is LOSS:
        name = source or default_source(workspace, "mixhub plot scores LOGS --measure loss")
        table = loss_tables([name], workspace, selection)[0]
        return _checked(
            scores_plot(table), table.name, "no loss is complete", f"run mixhub results {name} --measure loss"
        )
    evidence, table = _table(source, workspace, selection, published, progress)
    chance = _chances(workspace, evidence)
    hint = f"run mixhub results {source or evidence.name} to see what is missing"
    return _checked(scores_plot(table, chance), evidence.name, "no score is complete", hint)


def plot_difference(
    a: str,
    b: str,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> Plot:
    """Plot the difference of two families by task, with its 95 % interval; the average first.

    Args:
        a, b: as the source of `plot_scores`; the scores of `b` are subtracted from those of `a`.
        workspace, selection, published, progress: as for `plot_scores`.

    Raises:
        UsageError: there is nothing to plot, or measured and published scores are mixed.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    tables, _ = comparable_tables(
        [a, b], workspace_if_given(workspace), selection, published=published, progress=progress
    )
    comparison = compare(*tables, paired=selection.paired)
    reason = comparison.primary.reason or "no task has figures of both"
    name = f"{comparison.a.name}-{comparison.b.name}"
    return _checked(difference_plot(comparison), name, reason, f"run mixhub results {a} {b} to see the scores")


def plot_shots(
    source: str | None = None,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    progress: Progress = SILENT,
) -> Plot:
    """Plot measured scores against the number of shots, a panel per task.

    Args:
        source, workspace, selection, progress: as for `plot_scores`.

    Raises:
        UsageError: there is no source and no workspace, or nothing to plot.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    evidence, table = _table(source, workspace, replace(selection, samples=False), False, progress)
    reason = "no task was measured at two shot counts"
    if table.standing == "published":
        reason = "published scores do not state the number of shots"
    return _checked(
        shots_plot(table, _chances(workspace, evidence)), evidence.name, reason, "run mixhub evaluate --all"
    )


def plot_mixture(families: Sequence[str] = (), *, workspace: WorkspaceLike | None = None) -> Plot:
    """Plot the shares of the domains: of one mixture, of a few side by side, or of all mixtures of a family.

    Args:
        families: names, from the workspace or the catalog; default: the workspace's family.
        workspace: the workspace with further families.

    Raises:
        UsageError: there is no workspace and no name, or nothing to plot.
        UnknownNameError: there is no such family.
    """
    workspace = workspace_if_given(workspace)
    names = families or [default_source(workspace, "mixhub plot mixture human-1b")]
    chosen = [find_family(workspace, name) for name in dict.fromkeys(names)]
    mixtures = {}
    for family in chosen:
        if family.mixture is not None:
            mixtures[family.name] = family.mixture
        else:
            prefix = f"{family.name} " if len(chosen) > 1 else ""
            mixtures |= {f"{prefix}{run.revision}": run.mixture for run in family.runs()}
    prefixes = {family.data.train_prefix for family in chosen}
    name = chosen[0].name if len(chosen) == 1 else ""
    plot = mixture_plot(mixtures, prefixes.pop() if len(prefixes) == 1 else "", name)
    return _checked(plot, "-".join(family.name for family in chosen), "the workspace has no family", "name a family")


def plot_losses(workspace: WorkspaceLike, *, family: str | Family | None = None, domains: bool = False) -> Plot:
    """Plot training and validation losses of a family's runs against tokens.

    Args:
        workspace: the workspace with the runs.
        family: the family; default: the workspace's.
        domains: a panel for each domain, with its training and validation losses.

    Raises:
        UsageError: none of its runs was trained here.
        UnknownNameError: there is no such family.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    curves = {run.revision: iterate_metrics(workspace.run_folder(run).metrics) for run in family.runs()}
    if domains:
        plot = domain_losses_plot(curves, family.data.train_prefix, family.data.valid_prefix, family.name)
    else:
        plot = losses_plot(curves, family.data.valid_prefix, family.name)
    return _checked(plot, family.name, f"none of its runs was trained in {workspace.root}", "run mixhub train --all")


def plot_validation(sources: Sequence[str] = (), *, workspace: WorkspaceLike | None = None) -> Plot:
    """Plot validation losses of several families against steps, a panel per domain and one for their average.

    Args:
        sources: families by name, or files or folders with logs of any trainer; default: the workspace's family.
        workspace: the workspace with the families.

    Raises:
        UsageError: there is no source and no workspace, or nothing to plot.
        UnknownNameError, ResultsError, RunError: as `find_losses`.
    """
    workspace = workspace_if_given(workspace)
    names = list(dict.fromkeys(sources)) or [default_source(workspace, "mixhub plot validation LOGS")]
    runs = [one for name in names for one in find_losses(name, workspace)]
    stem = "-".join(one.name for one in runs)
    return _checked(validation_plot(runs), stem, "no losses with steps", "pass logs with a column of steps")


def save_plot(plot: Plot, output: str | os.PathLike[str] = ".") -> list[Path]:
    """Write a plot, and return the paths.

    Args:
        plot: the plot.
        output: a file, .svg, .png or .pdf; or a folder for .svg and .png, which is created.

    Raises:
        UsageError: `output` is a file of another format.
    """
    path = Path(output)
    if path.is_dir() or not (path.suffix or path.exists()):
        return [write_plot(plot, path / f"{plot.name}{suffix}") for suffix in _BOTH]
    if path.suffix.lower() not in _FORMATS:
        message = f"--output = {path}: must end in {listed(_FORMATS, last='or')}, or be a folder"
        raise UsageError(
            message, code="option-value", hint="pass a file or a folder", option="--output", value=str(path)
        )
    return [write_plot(plot, path)]


def _table(
    source: str | None, workspace: Workspace | None, selection: Selection, published: bool, progress: Progress
) -> tuple[Evidence, ScoreTable]:
    """The evidence of a source, and its scores: measured ones, if there are any."""
    evidence = find_evidence(source or default_source(workspace, "mixhub plot scores human-1b"), workspace, progress)
    if evidence.by_standing and not published:
        return evidence, measured_tables(evidence.by_standing[:1], selection, progress)[0]
    return evidence, require_published(evidence, selection, published=published)


def _chances(workspace: Workspace | None, evidence: Evidence) -> dict[str, float]:
    """The score of guessing by task, as families state it."""
    own = evidence.family.evaluation.tasks if evidence.family else ()
    return {task.name: task.chance for task in (*known_tasks(workspace), *own) if task.chance is not None}


def _checked(plot: Plot | None, source: str, reason: str, hint: str) -> Plot:
    """The plot, with its source in its name; UsageError if there is none."""
    if plot is None:
        raise UsageError(f"{source}: nothing to plot: {reason}", code="plot-empty", hint=hint, source=source)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("-.")[:100]
    return replace(plot, name=f"{stem}-{plot.name}" if stem else plot.name)
