"""`mixhub results`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common import options
from mixhub.cli.common.console import progress, say, say_wrapped
from mixhub.cli.measure.comparisons import show_compared
from mixhub.cli.measure.tables import Format, show_tables
from mixhub.errors import UsageError
from mixhub.phrases import plural

if TYPE_CHECKING:
    from mixhub.analysis.every_eval_ever.writing import Written
    from mixhub.workspace.paths import Workspace


class MeasureName(StrEnum):
    """Measures."""

    SCORE = "score"
    BITS_PER_BYTE = "bits_per_byte"
    ANSWER_PROBABILITY = "answer_probability"
    LOSS = "loss"


_SOURCES = (
    "Families, lm-eval results (files or folders), files of a repo with .eval_results/, or tables (.md, .csv); with "
    "--measure loss, families or logs of training: metrics.jsonl, trainer_state.json, CSV or TensorBoard's. [default: "
    "the workspace's family]"
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
_FORMAT = (
    "Output format; `latex` needs the package booktabs, `csv` can be passed as a SOURCE again, and `every-eval-ever` "
    "writes a record of each cell into a folder, with its samples."
)
FormatOption = Annotated[Format, typer.Option("--format", help=_FORMAT)]
_OUTPUT = "With --format every-eval-ever: the folder, which gets data/TASK/OWNER/MODEL/UUID.json."
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help=_OUTPUT, metavar="DIR")]
_ORGANIZATION = "With --format every-eval-ever: who measured. [default: the owner of the family's repo, or unknown]"
OrganizationOption = Annotated[str | None, typer.Option("--organization", help=_ORGANIZATION, metavar="NAME")]
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
    output: OutputOption = None,
    organization: OrganizationOption = None,
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
        **_chosen(workspace, suite, tasks, num_fewshot),
        measure=measure_named(measure.value),
        allow_incomplete=allow_incomplete,
        rows_are_seeds=seeds,
        samples=samples,
        step=step,
        paired=paired,
    )
    _require_consistent({"--against": against, "--paired": paired}, compare, allow_incomplete, form)
    of_tables = {
        "--compare": compare,
        "--seeds": seeds,
        "--published": published,
        "--measure": measure.value != "score",
    }
    _require_of_format(form, output, {"--organization": organization}, of_tables)
    require_of_measure(measure, step, {"--suite": suite, "--num-fewshot": num_fewshot, "--published": published})
    bars = progress(as_json=form not in (Format.TABLE, Format.EVERY_EVAL_EVER))
    shared: dict[str, Any] = {"workspace": workspace, "selection": selection, "progress": bars}
    own, others = sources or (), options.names("--against", against) if against else ()
    if output is not None:
        _show_written(workflow.export_results(own, output, organization=organization, **shared), output)
    elif compare:
        show_compared(workflow.compare_scores(own, against=others, published=published, **shared), form)
    else:
        show_tables(workflow.score_tables(own, published=published, **shared), form)


def _chosen(
    workspace: Workspace | None, suite: str | None, tasks: str | None, num_fewshot: str | None
) -> dict[str, Any]:
    """Suite, tasks and shot counts of a selection."""
    from mixhub import workflow

    return {
        "suite": workflow.find_suite(workspace, suite).evaluation if suite else None,
        "tasks": tuple(options.names("--tasks", tasks)) if tasks is not None else None,
        "num_fewshot": tuple(options.counts(num_fewshot)) if num_fewshot else None,
    }


def _require_consistent(
    of_comparisons: Mapping[str, object], compare: bool, allow_incomplete: bool, form: Format
) -> None:
    for option in (name for name, value in of_comparisons.items() if value and not compare):
        hint = "run mixhub results --compare A B --against C,D" if option == "--against" else None
        message = f"{option} requires --compare"
        raise UsageError(message, code="option-missing", hint=hint, option="--compare")
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


def _require_of_format(
    form: Format, output: Path | None, of_records: Mapping[str, object], of_tables: Mapping[str, object]
) -> None:
    """Refuse options of records with other formats, and the reverse; a folder of records is required."""
    if form is Format.EVERY_EVAL_EVER:
        if output is None:
            message = "--format every-eval-ever writes several files, and requires --output DIR"
            raise UsageError(message, code="option-missing", option="--output")
        for option in (name for name, value in of_tables.items() if value):
            message = (
                f"{option} cannot be combined with --format every-eval-ever, which writes every metric of each cell"
            )
            raise UsageError(message, code="option-conflict", hint=f"omit {option}", options=(option, "--format"))
        return
    for option in (name for name, value in {"--output": output, **of_records}.items() if value):
        message = f"{option} requires --format every-eval-ever; other formats are printed"
        raise UsageError(message, code="option-conflict", hint=f"omit {option}", options=(option, "--format"))


def _show_written(written: Written, output: Path) -> None:
    records, samples = plural(len(written.records), "record"), plural(len(written.samples), "file")
    say(f"wrote {records} and {samples} of samples to {output}")
    if written.unchanged:
        say(f"already there: {plural(written.unchanged, 'file')}")
    for note in written.notes:
        say_wrapped(f"note: {note}")


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
