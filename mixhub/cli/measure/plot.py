"""`mixhub plot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common import options
from mixhub.cli.common.console import progress, say
from mixhub.cli.common.groups import group

if TYPE_CHECKING:
    from mixhub.card.plots.plot import Plot
    from mixhub.workflow import Selection

app = group("Single plots, as the card shows them.")

_SOURCE = "A family, lm-eval's results (file or folder) or a table (.md, .csv)"
SourceArgument = Annotated[
    str | None, typer.Argument(help=f"{_SOURCE}. [default: the workspace's family]", metavar="SOURCE")
]
_OUTPUT = "A file, .svg or .png; or a folder for both formats, which is created. [default: the current folder]"
OutputOption = Annotated[Path, typer.Option("--output", "-o", help=_OUTPUT, metavar="PATH", show_default=False)]
_SAMPLES = "Read samples, if there are any, for chance and exact intervals."
SamplesOption = Annotated[bool, typer.Option("--samples/--no-samples", help=_SAMPLES)]
DifferenceArgument = Annotated[str, typer.Argument(help=f"{_SOURCE}.", metavar="A")]
SubtractedArgument = Annotated[
    str, typer.Argument(help="As A; its scores are subtracted from those of A.", metavar="B")
]
_FAMILIES = "Families of the workspace or the catalog. [default: the workspace's]"
FamiliesArgument = Annotated[list[str] | None, typer.Argument(help=_FAMILIES, metavar="FAMILY")]
FamilyArgument = Annotated[str | None, typer.Argument(help="The family. [default: the workspace's]", metavar="FAMILY")]


@app.command()
def scores(
    source: SourceArgument = None,
    published: options.PublishedOption = False,
    samples: SamplesOption = True,
    tasks: options.TasksOption = None,
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot each task's scores: a dot per seed, their mean with its 95 % interval over seeds, and chance."""
    from mixhub import workflow

    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, samples)
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
    output: OutputOption = Path(),
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Plot the difference of two families by task, with its 95 % interval; the average first."""
    from mixhub import workflow

    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, samples)
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
    """Plot measured scores against the number of shots, a panel per task."""
    from mixhub import workflow

    workspace, selection = options.workspace_if_any(workspace_dir), _selection(tasks, False)
    _save(workflow.plot_shots(source, workspace=workspace, selection=selection, progress=progress()), output)


@app.command()
def mixture(
    families: FamiliesArgument = None, output: OutputOption = Path(), workspace_dir: options.WorkspaceOption = None
) -> None:
    """Plot the shares of the domains: of one mixture, of a few side by side, or of all mixtures of a family."""
    from mixhub import workflow

    _save(workflow.plot_mixture(families or (), workspace=options.workspace_if_any(workspace_dir)), output)


@app.command()
def losses(
    family: FamilyArgument = None, output: OutputOption = Path(), workspace_dir: options.WorkspaceOption = None
) -> None:
    """Plot training and validation losses of a family's runs against tokens."""
    from mixhub import workflow

    _save(workflow.plot_losses(options.find_workspace(workspace_dir), family=family), output)


def _selection(tasks: str | None, samples: bool) -> Selection:
    from mixhub.workflow import Selection

    return Selection(tasks=tuple(options.names("--tasks", tasks)) if tasks is not None else None, samples=samples)


def _save(plot: Plot, output: Path) -> None:
    """Write the plot, and print the paths and a description."""
    from mixhub.workflow import save_plot

    for path in save_plot(plot, output):
        say(str(path))
    say(plot.alt)
