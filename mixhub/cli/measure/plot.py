"""`mixhub plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common import options
from mixhub.cli.common.console import progress, say
from mixhub.cli.common.groups import group
from mixhub.cli.measure.results import MeasureName, MeasureOption, PairedOption, StepOption, require_of_measure

if TYPE_CHECKING:
    from mixhub.card.plots.plot import Plot
    from mixhub.workflow import Selection

app = group("Make single plots, as shown on the card.")

_SOURCE = "A family, lm-eval's results (file or folder), or a table (.md, .csv)"
SourceArgument = Annotated[
    str | None, typer.Argument(help=f"{_SOURCE}. [default: the workspace's family]", metavar="SOURCE")
]
_OUTPUT = "File (.svg, .png or .pdf), or folder for .svg and .png, created if missing. [default: the current folder]"
OutputOption = Annotated[Path, typer.Option("--output", "-o", help=_OUTPUT, metavar="PATH", show_default=False)]
_SAMPLES = "Read the samples, if any, for chance and exact intervals."
SamplesOption = Annotated[bool, typer.Option("--samples/--no-samples", help=_SAMPLES)]
DifferenceArgument = Annotated[str, typer.Argument(help=f"{_SOURCE}.", metavar="A")]
SubtractedArgument = Annotated[
    str, typer.Argument(help="Like A; its scores are subtracted from those of A.", metavar="B")
]
_FAMILIES = "Families in the workspace or the catalog. [default: the workspace's]"
FamiliesArgument = Annotated[list[str] | None, typer.Argument(help=_FAMILIES, metavar="FAMILY")]
_DOMAINS = "A panel for each domain, with its training and validation losses."
FamilyArgument = Annotated[
    str | None, typer.Argument(help="Name of the family. [default: the workspace's]", metavar="FAMILY")
]
_LOGS = "Families, or logs of training (files or folders). [default: the workspace's family]"
ValidationArgument = Annotated[list[str] | None, typer.Argument(help=_LOGS, metavar="SOURCE")]


@app.command()
def scores(
    source: SourceArgument = None,
    published: options.PublishedOption = False,
    samples: SamplesOption = True,
    tasks: options.TasksOption = None,
    measure: MeasureOption = MeasureName.SCORE,
    step: StepOption = None,
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot the scores of each task, or losses of each domain: a dot per seed, the mean with its 95 % interval over
    seeds, and chance.
    """
    from mixhub import workflow

    require_of_measure(measure, step, {"--published": published})
    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, samples, measure, step)
    plot = workflow.plot_scores(
        source, workspace=workspace, selection=selection, published=published, progress=progress()
    )
    _save(plot, output)


@app.command()
def difference(
    a: DifferenceArgument,
    b: SubtractedArgument,
    published: options.PublishedOption = False,
    samples: SamplesOption = True,
    tasks: options.TasksOption = None,
    measure: MeasureOption = MeasureName.SCORE,
    step: StepOption = None,
    paired: PairedOption = False,
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot the difference between two families by task or domain, with 95 % intervals; the average comes first."""
    from mixhub import workflow

    require_of_measure(measure, step, {"--published": published})
    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, samples, measure, step, paired)
    plot = workflow.plot_difference(
        a, b, workspace=workspace, selection=selection, published=published, progress=progress()
    )
    _save(plot, output)


@app.command()
def shots(
    source: SourceArgument = None,
    tasks: options.TasksOption = None,
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot measured scores against the number of shots, one panel per task."""
    from mixhub import workflow

    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, False)
    _save(workflow.plot_shots(source, workspace=workspace, selection=selection, progress=progress()), output)


@app.command()
def mixture(
    families: FamiliesArgument = None, output: OutputOption = Path(), workspace_dir: options.WorkspaceOption = None
) -> None:
    """Plot the domain shares of one mixture, of several side by side, or of all mixtures of a family."""
    from mixhub import workflow

    _save(workflow.plot_mixture(families or (), workspace=options.workspace_if_any(workspace_dir)), output)


@app.command()
def losses(
    family: FamilyArgument = None,
    domains: Annotated[bool, typer.Option("--domains", help=_DOMAINS)] = False,
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot the training and validation losses of a family's runs against training tokens."""
    from mixhub import workflow

    _save(workflow.plot_losses(options.find_workspace(workspace_dir), family=family, domains=domains), output)


@app.command()
def validation(
    sources: ValidationArgument = None, output: OutputOption = Path(), workspace_dir: options.WorkspaceOption = None
) -> None:
    """Plot the validation losses of several families against steps, a panel per domain and one for their average."""
    from mixhub import workflow

    _save(workflow.plot_validation(sources or (), workspace=options.workspace_if_any(workspace_dir)), output)


def _selection(
    tasks: str | None,
    samples: bool,
    measure: MeasureName = MeasureName.SCORE,
    step: int | None = None,
    paired: bool = False,
) -> Selection:
    from mixhub.analysis.scores import measure_named
    from mixhub.workflow import Selection

    names = tuple(options.names("--tasks", tasks)) if tasks is not None else None
    return Selection(tasks=names, samples=samples, measure=measure_named(measure.value), step=step, paired=paired)


def _save(plot: Plot, output: Path) -> None:
    """Write the plot, and print the paths and a description."""
    from mixhub.workflow import save_plot

    for path in save_plot(plot, output):
        say(str(path))
    say(plot.alt)
