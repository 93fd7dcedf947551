"""`mixhub plot`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import WorkspaceOption, names, open_workspace, workspace_if_any

if TYPE_CHECKING:
    from mixhub.analysis.evidence import Evidence
    from mixhub.analysis.selection import Selection
    from mixhub.analysis.tables import ScoreTable
    from mixhub.card.plots.plot import Plot
    from mixhub.workspace.paths import Workspace

app = typer.Typer(no_args_is_help=True, help="Single plots, as the card shows them.")

_FORMATS = (".svg", ".png")
_SOURCE = "A family, lm-eval's results (file or folder) or a table (.md, .csv)"

SourceArgument = Annotated[
    str | None,
    typer.Argument(help=f"{_SOURCE}; else the workspace's family.", metavar="SOURCE", show_default=False),
]
OutputOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="A file, .svg or .png; or a folder, which is made, for both forms.",
        metavar="PATH",
        show_default="the current folder",
    ),
]
TasksOption = Annotated[str | None, typer.Option(help="Only these, with commas.", metavar="NAMES")]
PublishedOption = Annotated[
    bool, typer.Option("--published", help="Published scores, also where there are measured ones.")
]
SamplesOption = Annotated[
    bool,
    typer.Option("--samples/--no-samples", help="Read samples where they are there: they tell chance, and more."),
]


@app.callback()
def _plot() -> None:
    """Single plots, as the card shows them."""


@app.command()
def scores(
    source: SourceArgument = None,
    published: PublishedOption = False,
    samples: SamplesOption = True,
    tasks: TasksOption = None,
    output: OutputOption = Path(),
    workspace: WorkspaceOption = None,
) -> None:
    """Each task's scores: a dot a seed, their mean with its 95 % interval over seeds, and chance."""
    from mixhub.analysis.evidence import known_tasks
    from mixhub.card.plots.scores import scores_plot

    place = workspace_if_any(workspace)
    evidence, table = _table(source, place, _wanted(tasks, samples), published)
    own = evidence.family.evaluation.tasks if evidence.family else ()
    chance = {task.name: task.chance for task in (*known_tasks(place), *own) if task.chance is not None}
    why = "no score is whole", f"mixhub results {source or evidence.name} says what is missing"
    _save(scores_plot(table, chance), evidence.name, output, why)


@app.command()
def difference(
    a: Annotated[str, typer.Argument(help=f"{_SOURCE}.", metavar="A")],
    b: Annotated[str, typer.Argument(help="The same; its scores are subtracted from A's.", metavar="B")],
    published: PublishedOption = False,
    samples: SamplesOption = True,
    tasks: TasksOption = None,
    output: OutputOption = Path(),
    workspace: WorkspaceOption = None,
) -> None:
    """The difference of two families by task, with its 95 % interval; the average first."""
    from mixhub.analysis.comparison import compare
    from mixhub.card.plots.scores import difference_plot

    wanted = replace(_wanted(tasks, samples), only_common=True)
    found = compare(*_pair([a, b], workspace_if_any(workspace), wanted, published))
    why = found.primary.reason or "no task has figures of both", f"mixhub results {a} {b} shows what there is"
    _save(difference_plot(found), f"{found.a.name}-{found.b.name}", output, why)


@app.command()
def shots(
    source: SourceArgument = None,
    tasks: TasksOption = None,
    output: OutputOption = Path(),
    workspace: WorkspaceOption = None,
) -> None:
    """Scores against the number of shots, a panel a task; of what was measured, since tables do not say it."""
    from mixhub.card.plots.scores import shots_plot

    evidence, table = _table(source, workspace_if_any(workspace), _wanted(tasks, False), False)
    if table.standing == "published":
        why = "published scores do not say the number of shots", "mixhub evaluate measures at each"
    else:
        why = "no task was measured at two shot counts", "mixhub evaluate measures at those of the family"
    _save(shots_plot(table), evidence.name, output, why)


@app.command()
def mixture(
    families: Annotated[
        list[str] | None,
        typer.Argument(
            help="Families, of the workspace or the catalog; else the workspace's.",
            metavar="FAMILY",
            show_default=False,
        ),
    ] = None,
    output: OutputOption = Path(),
    workspace: WorkspaceOption = None,
) -> None:
    """Shares of the domains: of one mixture, of a few side by side, or of all that a family has."""
    from mixhub.card.plots.mixture import mixture_plot
    from mixhub.spec import catalog

    place = workspace_if_any(workspace)
    asked = families or [_own_family(place, "mixhub plot mixture human-1b")]
    found = [place.family(name) if place else catalog.get(name) for name in dict.fromkeys(asked)]
    mixtures = {}
    for family in found:
        if family.mixture is not None:
            mixtures[family.name] = family.mixture
        else:
            several = f"{family.name} " if len(found) > 1 else ""
            mixtures |= {f"{several}{run.revision}": run.mixture for run in family.runs()}
    prefixes = {family.data.train_prefix for family in found}
    plot = mixture_plot(mixtures, prefixes.pop() if len(prefixes) == 1 else "")
    _save(plot, "-".join(family.name for family in found), output, ("no mixture is there", "name a family"))


@app.command()
def losses(
    family: Annotated[
        str | None,
        typer.Argument(help="Another family than the workspace's.", metavar="FAMILY", show_default=False),
    ] = None,
    output: OutputOption = Path(),
    workspace: WorkspaceOption = None,
) -> None:
    """Training and validation losses of a family's runs, against tokens."""
    from mixhub.card.plots.losses import losses_plot
    from mixhub.workspace.metrics import read_metrics

    place = open_workspace(workspace)
    own = place.family(family)
    found = {run.revision: read_metrics(place.run_folder(run).metrics) for run in own.runs()}
    curves = {revision: lines for revision, lines in found.items() if lines}
    why = f"no run of it was trained in {place.root}", "mixhub train"
    _save(losses_plot(curves, own.data.valid_prefix), own.name, output, why)


def _wanted(tasks: str | None, samples: bool) -> Selection:
    from mixhub.analysis.selection import Selection

    return Selection(tasks=tuple(names("--tasks", tasks)) if tasks is not None else None, samples=samples)


def _table(
    source: str | None, place: Workspace | None, wanted: Selection, published: bool
) -> tuple[Evidence, ScoreTable]:
    """What SOURCE means, and its scores: measured ones where there are any."""
    from mixhub.analysis.building import measured_tables
    from mixhub.analysis.evidence import find_evidence
    from mixhub.cli.common.console import progress

    evidence = find_evidence(source or _own_family(place, "mixhub plot scores human-1b"), place, progress())
    if evidence.measured and not published:
        return evidence, measured_tables([evidence], wanted, progress())[0]
    return evidence, _published(evidence, wanted, asked=published)


def _pair(sources: Sequence[str], place: Workspace | None, wanted: Selection, published: bool) -> list[ScoreTable]:
    """The scores of both, measured or published: the two are never compared with each other."""
    from mixhub.analysis.building import measured_tables
    from mixhub.analysis.evidence import find_evidence
    from mixhub.cli.common.console import progress
    from mixhub.errors import UsageError

    found = [find_evidence(source, place, progress()) for source in sources]
    if found[0].name == found[1].name:
        found = [replace(one, name=f"{one.name} in {source}") for one, source in zip(found, sources, strict=True)]
    if published or not any(one.measured for one in found):
        return [_published(one, wanted, asked=published) for one in found]
    if printed := [one.name for one in found if not one.measured]:
        raise UsageError(
            f"{printed[0]} was not measured here, the other was: published scores are never mixed in",
            hint="measure it: mixhub evaluate; or compare what was published: --published",
        )
    return measured_tables(found, wanted, progress())


def _published(evidence: Evidence, wanted: Selection, *, asked: bool) -> ScoreTable:
    from mixhub.analysis.building import published_scores
    from mixhub.analysis.results import nothing_there

    table = published_scores(evidence, wanted)
    if table is None:
        raise nothing_there(evidence, published=asked)
    return table


def _own_family(place: Workspace | None, example: str) -> str:
    from mixhub.errors import UsageError

    if place is None:
        raise UsageError("a plot of what? There is no workspace here", hint=f"{example}, or go to a workspace")
    return place.config.family


def _save(plot: Plot | None, source: str, output: Path, why: tuple[str, str]) -> None:
    """Writes the plot and says where, and what is seen; raises UsageError, saying why, where there is none."""
    from mixhub.card.plots.plot import write_plot, write_plots
    from mixhub.cli.common.console import say
    from mixhub.errors import UsageError

    is_file = _is_file(output)
    if plot is None:
        raise UsageError(f"{source}: nothing to draw: {why[0]}", hint=why[1])
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("-.")[:100]
    named = replace(plot, name=f"{stem}-{plot.name}" if stem else plot.name)
    for path in [write_plot(named, output)] if is_file else write_plots([named], output):
        say(str(path))
    say(plot.alt)


def _is_file(output: Path) -> bool:
    """Whether one file is asked for; raises UsageError for one of another form."""
    from mixhub.errors import UsageError

    if output.is_dir():
        return False
    if output.suffix.lower() in _FORMATS:
        return True
    if output.suffix or output.exists():
        what = f"the suffix must be {' or '.join(_FORMATS)}" if output.suffix else "is a file, and no folder"
        raise UsageError(f"--output = {output}: {what}", hint="name a file .svg or .png, or a folder for both")
    return False
