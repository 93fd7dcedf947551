"""`mixhub evaluate`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    WorkspaceOption,
    choose_hub,
    counts,
    find_workspace,
    names,
    workspace_if_any,
)

if TYPE_CHECKING:
    from mixhub.evaluation.crosscheck import Crosscheck
    from mixhub.spec import Family
    from mixhub.workflow import Options, Prefetched
    from mixhub.workspace.paths import Workspace


class BackendName(StrEnum):
    """What scores."""

    MIXHUB = "mixhub"
    STOCK = "stock"


ModelArgument = Annotated[
    str | None,
    typer.Argument(
        help="A model that is no run of the workspace: a folder, or repo_id@revision.",
        metavar="MODEL",
        show_default=False,
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All runs that are trained.")]
TasksOption = Annotated[
    str | None,
    typer.Option(
        help="Only these, with commas; for a MODEL any of lm-eval's; else all of the family's.", metavar="NAMES"
    ),
]
ShotsOption = Annotated[
    str | None, typer.Option(help="Shot counts, as 0,5 or 0-5; else all of the family's.", metavar="COUNTS")
]
LimitOption = Annotated[
    int | None,
    typer.Option(help="Only the first N documents of a task; never counted as whole.", metavar="N", min=1),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="`cpu`, `cuda` or `cuda:N`; else the best there is.", metavar="NAME")
]
DtypeOption = Annotated[str | None, typer.Option(help="Else float32 on cpu and bfloat16 on cuda.", metavar="DTYPE")]
FewshotSeedOption = Annotated[
    int | None,
    typer.Option(help="Another seed of the shots; its cells lie apart and make no score.", metavar="N", min=0),
]
ShardOption = Annotated[
    str, typer.Option(help="The i-th of n parts of the cells, for a job array or several GPUs.", metavar="I/N")
]
PrefetchOption = Annotated[
    bool, typer.Option("--prefetch", help="Only fetch documents and build requests, where the network is.")
]
CheckOption = Annotated[
    int | None,
    typer.Option(help="Then score N random requests with lm-eval's own backend, and compare.", metavar="N", min=1),
]
BackendOption = Annotated[BackendName, typer.Option(help="`stock`: all by lm-eval's own backend, request by request.")]
DatasetsHubOption = Annotated[
    str | None,
    typer.Option(help="Source of documents: `local` or an address; else HF_ENDPOINT, huggingface.co.", metavar="HUB"),
]
OutputOption = Annotated[
    Path | None, typer.Option(help="Where the cells of a MODEL go.", metavar="DIR", show_default=False)
]


def evaluate(
    model: ModelArgument = None,
    seed: SeedOption = None,
    index: IndexOption = None,
    every: AllOption = False,
    tasks: TasksOption = None,
    num_fewshot: ShotsOption = None,
    limit: LimitOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    fewshot_seed: FewshotSeedOption = None,
    shard: ShardOption = "1/1",
    prefetch: PrefetchOption = False,
    check: CheckOption = None,
    backend: BackendOption = BackendName.MIXHUB,
    datasets_hub: DatasetsHubOption = None,
    output: OutputOption = None,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Evaluate models with lm-eval's tasks and numbers, all in one process, a file a cell (task × shots).

    Cells that are done are left alone. Several processes may share the work: each takes cells that no other has.
    """
    from mixhub.cli.common.console import log_lines
    from mixhub.workflow import Options

    options = Options(
        tasks=names("--tasks", tasks) if tasks is not None else None,
        num_fewshot=counts(num_fewshot) if num_fewshot else None,
        limit=limit,
        device=device,
        dtype=dtype,
        backend=backend.value,
        shard=_shard(shard),
    )
    _require_fitting(model, every or seed is not None or index is not None, prefetch, check, output, hub)
    log_lines()
    settings: dict[str, Any] = {"options": options, "datasets_hub": datasets_hub}
    if model is None:
        workspace = find_workspace(workspace_dir)
        runs = {"seed": seed, "index": index, "all": every, "family": _family(workspace, family_name, fewshot_seed)}
        _evaluate_runs(workspace, runs, settings, prefetch, check)
    else:
        nearest = workspace_if_any(workspace_dir)
        settings |= {"workspace": nearest, "family": _family(nearest, family_name, fewshot_seed)}
        _evaluate_model(model, settings | {"hub": choose_hub(hub, nearest)}, output, prefetch, check)


def _evaluate_runs(
    workspace: Workspace, runs: Mapping[str, Any], settings: Mapping[str, Any], prefetch: bool, check: int | None
) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say
    from mixhub.cli.measure.cells import say_missing, show_cells, show_scores
    from mixhub.phrases import plural

    if prefetch:
        ready = workflow.prefetch(workspace, family=runs["family"], **settings, progress=progress())
        say(f"tokenizer: {ready.tokenizer}")
        _say_prefetched(ready)
        return
    with _table_of_what_is_there(workspace, runs):
        evaluated = workflow.evaluate(workspace, **settings, **runs, progress=progress())
    options: Options = settings["options"]
    if evaluated.counts:
        show_scores(evaluated.family, evaluated.runs, evaluated.cells)
    for run in evaluated.runs:
        cells = evaluated.cells[run.revision]
        if not evaluated.counts:
            show_cells(evaluated.family.evaluation, cells, f"{run.revision}, shots by another seed: in no score")
        say(f"{run.revision}: {plural(len(cells), 'cell')} in {evaluated.folders[run.revision]}")
        say_missing(evaluated.family.evaluation, cells, options)
        if check is not None:
            _say_checked(workflow.crosscheck(evaluated.exports[run.revision], cells, check, options))
    if evaluated.counts and all(evaluated.cells.values()) and options.limit is None:
        first = evaluated.runs[0]
        say(
            "next: mixhub card render"
            if len(evaluated.runs) > 1
            else f"next: mixhub push --{first.kind} {first.number}"
        )


def _evaluate_model(
    model: str, settings: Mapping[str, Any], output: Path | None, prefetch: bool, check: int | None
) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say
    from mixhub.cli.measure.cells import say_missing, show_cells
    from mixhub.phrases import plural

    if prefetch:
        _say_prefetched(workflow.prefetch_model(model, **settings, progress=progress()))
        return
    assert output is not None
    evaluated = workflow.evaluate_model(model, output, **settings, progress=progress())
    options: Options = settings["options"]
    if not options.tasks:
        say(f"suite: that of {evaluated.suite}")
    show_cells(evaluated.evaluation, evaluated.cells, str(evaluated.model))
    say(f"{evaluated.model}: {plural(len(evaluated.cells), 'cell')} in {output}")
    say_missing(evaluated.evaluation, evaluated.cells, options)
    if check is not None:
        _say_checked(workflow.crosscheck(evaluated.model.folder, evaluated.cells, check, options))


def _say_prefetched(ready: Prefetched) -> None:
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    built = plural(ready.requests, "request")
    say(f"{built} built, and the documents in {ready.datasets}: evaluation needs no network now")


def _say_checked(again: Crosscheck) -> None:
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    say(
        f"check: {plural(again.requests, 'request')} of {plural(again.cells, 'cell')} by lm-eval's own backend: "
        f"largest difference {again.largest:.1e} nats ({again.where}), is_greedy differs in {again.flips}"
    )


@contextmanager
def _table_of_what_is_there(workspace: Workspace, runs: Mapping[str, Any]) -> Iterator[None]:
    """Shows the table so far when the block is interrupted, since the cells that are done stay."""
    from mixhub import workflow
    from mixhub.cli.common.console import say
    from mixhub.cli.measure.cells import show_scores

    try:
        yield
    except KeyboardInterrupt:
        evaluated = workflow.evaluated_so_far(workspace, **runs)
        show_scores(evaluated.family, evaluated.runs, evaluated.cells)
        for revision, cells in evaluated.cells.items():
            say(f"{revision}: stopped; {len(cells)} cells are there, and the same command measures the others")
        raise


def _family(workspace: Workspace | None, name: str | None, fewshot_seed: int | None) -> Family:
    """The family whose suite is used, with another seed of the shots if one is given."""
    from mixhub import workflow

    family = workflow.find_suite(workspace, name)
    return family if fewshot_seed is None else workflow.with_fewshot_seed(family, fewshot_seed)


def _require_fitting(
    model: str | None, is_run_named: bool, prefetch: bool, check: int | None, output: Path | None, hub: str | None
) -> None:
    """Raises UsageError for options that do not go together: those of a run, and those of a MODEL."""
    from mixhub.errors import UsageError

    if prefetch and check:
        raise UsageError(
            "--prefetch measures nothing that --check could check",
            code="option-conflict",
            hint="give one of them",
            options=("--prefetch", "--check"),
        )
    if model is None and (output is not None or hub is not None):
        option = "--output" if output is not None else "--hub"
        raise UsageError(
            f"{option} goes with a MODEL",
            code="option-missing",
            hint="name a folder, or repo_id@revision",
            option="MODEL",
        )
    if model is not None and is_run_named:
        raise UsageError(
            f"MODEL = {model}: goes without --seed, --index and --all",
            code="option-conflict",
            hint="leave one out",
            options=("MODEL", "--seed"),
        )
    if model is not None and output is None and not prefetch:
        raise UsageError(
            f"MODEL = {model}: its cells need a folder", code="option-missing", hint="--output DIR", option="--output"
        )


def _shard(text: str) -> tuple[int, int]:
    """`2/8` as numbers; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    match = re.fullmatch(r"\s*([0-9]{1,5})\s*/\s*([0-9]{1,5})\s*", text)
    if match is None:
        raise UsageError(
            f"--shard = {text!r}: must be i/n, as 1/8",
            code="option-value",
            hint="the first of eight is 1/8, the last 8/8",
            option="--shard",
            value=text,
        )
    return int(match[1]), int(match[2])
