"""`mixhub results`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer

from mixhub.cli.common import options
from mixhub.cli.common.console import progress
from mixhub.cli.measure.comparisons import show_compared
from mixhub.cli.measure.tables import Format, show_tables
from mixhub.errors import UsageError


class MeasureName(StrEnum):
    """Measures."""

    SCORE = "score"
    BITS_PER_BYTE = "bits_per_byte"
    ANSWER_PROBABILITY = "answer_probability"
    LOSS = "loss"


_SOURCES = (
    "Families, lm-eval results (files or folders), or tables (.md, .csv); with --measure loss, families or logs of "
    "training: metrics.jsonl, trainer_state.json, CSV or TensorBoard's. [default: the workspace's family]"
)
SourcesArgument = Annotated[list[str] | None, typer.Argument(help=_SOURCES, metavar="SOURCE")]
_COMPARE = "Compare the sources: two by their difference, more by their ranks."
CompareOption = Annotated[bool, typer.Option("--compare", help=_COMPARE)]
_AGAINST = "With --compare: sources with the same mixtures at another model size, comma-separated, in the same order."
AgainstOption = Annotated[str | None, typer.Option(help=_AGAINST, metavar="SOURCES")]
_MEASURE = "Measure to show. `loss`: validation losses by domain, in nats per token."
MeasureOption = Annotated[MeasureName, typer.Option(help=_MEASURE)]
_STEP = "With --measure loss: the step. [default: the last of each run]"
StepOption = Annotated[int | None, typer.Option("--step", help=_STEP, metavar="N", min=0)]
_PAIRED = (
    "Of a comparison: rows with the same name, or else at the same place, are pairs of seeds. [default: seeds that "
    "share the initial weights or the seed of the data order, if the lineage of the runs is known]"
)
PairedOption = Annotated[bool, typer.Option("--paired", help=_PAIRED)]
_INCOMPLETE = "Also show means over incomplete sets of cells, marked as incomplete."
IncompleteOption = Annotated[bool, typer.Option("--allow-incomplete", help=_INCOMPLETE)]
_SEEDS = (
    "Treat the rows as seeds of one recipe, whatever they are called. The results of all sources are then rows of one "
    "table; with --compare, those of sources joined by commas."
)
SeedsOption = Annotated[bool, typer.Option("--seeds", help=_SEEDS)]
_SAMPLES = "Read the samples, if any, for exact standard errors."
SamplesOption = Annotated[bool, typer.Option("--samples/--no-samples", help=_SAMPLES)]
ShotsOption = Annotated[
    str | None, typer.Option(help="Only these shot counts, such as 0,5 or 0-5. [default: all]", metavar="COUNTS")
]
_FORMAT = "Output format; `latex` needs the package booktabs, and `csv` can be passed as a SOURCE again."
FormatOption = Annotated[Format, typer.Option("--format", help=_FORMAT)]
_SUITE = "Family whose tasks and shot counts to use."
SuiteOption = Annotated[str | None, typer.Option(help=_SUITE, metavar="NAME")]


def results(
    sources: SourcesArgument = None,
    compare: CompareOption = False,
    against: AgainstOption = None,
    measure: MeasureOption = MeasureName.SCORE,
    step: StepOption = None,
    paired: PairedOption = False,
    published: options.PublishedOption = False,
    allow_incomplete: IncompleteOption = False,
    seeds: SeedsOption = False,
    samples: SamplesOption = True,
    tasks: options.TasksOption = None,
    num_fewshot: ShotsOption = None,
    form: FormatOption = Format.TABLE,
    as_json: options.JsonOption = False,
    suite: SuiteOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Show scores by seed and task, or validation losses by domain, with spread over seeds; or compare families.

    A score is the mean over shot counts of acc_norm, or of acc if the task has no acc_norm. Incomplete scores are not
    averaged. Published scores get a table of their own and are never mixed with measured ones.
    """
    from mixhub import workflow
    from mixhub.analysis.scores import measure_named

    form = Format.JSON if as_json else form
    workspace = options.workspace_if_any(workspace_dir)
    if workspace is not None and sources and len(sources) == 1 and sources[0] in workspace.family_names():
        options.note_family(sources[0])
    selection = workflow.Selection(
        suite=workflow.find_suite(workspace, suite).evaluation if suite else None,
        tasks=tuple(options.names("--tasks", tasks)) if tasks is not None else None,
        num_fewshot=tuple(options.counts(num_fewshot)) if num_fewshot else None,
        measure=measure_named(measure.value),
        allow_incomplete=allow_incomplete,
        rows_are_seeds=seeds,
        samples=samples,
        step=step,
        paired=paired,
    )
    _require_consistent(compare, against, allow_incomplete, form)
    require_of_measure(measure, step, {"--suite": suite, "--num-fewshot": num_fewshot, "--published": published})
    if paired and not compare:
        raise UsageError("--paired requires --compare", code="option-missing", option="--compare")
    bars = progress(as_json=form is not Format.TABLE)
    own, others = sources or (), options.names("--against", against) if against else ()
    if not compare:
        tables = workflow.score_tables(
            own, workspace=workspace, selection=selection, published=published, progress=bars
        )
        show_tables(tables, form)
        return
    comparison = workflow.compare_scores(
        own, against=others, workspace=workspace, selection=selection, published=published, progress=bars
    )
    show_compared(comparison, form)


def _require_consistent(compare: bool, against: str | None, allow_incomplete: bool, form: Format) -> None:
    if against and not compare:
        message = "--against requires --compare"
        raise UsageError(
            message, code="option-missing", hint="run mixhub results --compare A B --against C,D", option="--compare"
        )
    for is_given, option, reason in (
        (compare, "--compare", "incomplete scores are not compared"),
        (form is Format.CSV, "--format", "a CSV cannot mark incomplete scores"),
    ):
        if allow_incomplete and is_given:
            raise UsageError(
                f"--allow-incomplete cannot be combined with {option}: {reason}",
                code="option-conflict",
                hint=f"omit --allow-incomplete or {option}",
                options=("--allow-incomplete", option),
            )


def require_of_measure(measure: MeasureName, step: int | None, of_scores: Mapping[str, object]) -> None:
    """Refuse options of scores with losses, and the reverse."""
    if measure is not MeasureName.LOSS:
        if step is not None:
            message = f"--step = {step}: scores are of the last step"
            raise UsageError(
                message, code="option-conflict", hint="add --measure loss", options=("--step", "--measure")
            )
        return
    for option in (name for name, value in of_scores.items() if value):
        message = f"{option} cannot be combined with --measure loss: losses have no shots, suites or published tables"
        raise UsageError(message, code="option-conflict", hint=f"omit {option}", options=(option, "--measure"))
