"""`mixhub evaluate`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    WorkspaceOption,
    counts,
    names,
    open_workspace,
    workspace_if_any,
)

if TYPE_CHECKING:
    from mixhub.analysis.scores import Score
    from mixhub.endpoint import HubChoice
    from mixhub.evaluation.datasets import Datasets
    from mixhub.evaluation.options import Options
    from mixhub.spec import Evaluation, Family, Run
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace


class BackendName(StrEnum):
    """What scores."""

    MIXHUB = "mixhub"
    STOCK = "stock"


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model that is no run of the workspace: a folder, or repo_id@revision.",
            metavar="MODEL",
            show_default=False,
        ),
    ] = None,
    seed: SeedOption = None,
    index: IndexOption = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that are trained.")] = False,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="Only these, with commas; for a MODEL any of lm-eval's; else all of the family's.", metavar="NAMES"
        ),
    ] = None,
    num_fewshot: Annotated[
        str | None, typer.Option(help="Shot counts, as 0,5 or 0-5; else all of the family's.", metavar="COUNTS")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Only the first N documents of a task; never counted as whole.", metavar="N", min=1),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="`cpu`, `cuda` or `cuda:N`; else the best there is.", metavar="NAME")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Else float32 on cpu and bfloat16 on cuda.", metavar="DTYPE")
    ] = None,
    fewshot_seed: Annotated[
        int | None,
        typer.Option(help="Another seed of the shots; its cells lie apart and make no score.", metavar="N", min=0),
    ] = None,
    shard: Annotated[
        str, typer.Option(help="The i-th of n parts of the cells, for a job array or several GPUs.", metavar="I/N")
    ] = "1/1",
    prefetch: Annotated[
        bool, typer.Option("--prefetch", help="Only fetch documents and build requests, where the network is.")
    ] = False,
    check: Annotated[
        int | None,
        typer.Option(help="Then score N random requests with lm-eval's own backend, and compare.", metavar="N", min=1),
    ] = None,
    backend: Annotated[
        BackendName, typer.Option(help="`stock`: all by lm-eval's own backend, request by request.")
    ] = BackendName.MIXHUB,
    datasets_hub: Annotated[
        str | None,
        typer.Option(
            help="Source of documents: `local` or an address; else HF_ENDPOINT, huggingface.co.", metavar="HUB"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the cells of a MODEL go.", metavar="DIR", show_default=False)
    ] = None,
    hub: HubOption = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Evaluate models with lm-eval's tasks and numbers, all in one process, a file a cell (task × shots).

    Cells that are done are left alone. Several processes may share the work: each takes cells that no other has.
    """
    from mixhub.cli.common.console import log_lines
    from mixhub.errors import UsageError
    from mixhub.evaluation.options import Options

    options = Options(
        tasks=names("--tasks", tasks) if tasks is not None else None,
        num_fewshot=counts(num_fewshot) if num_fewshot else None,
        limit=limit,
        device=device,
        dtype=dtype,
        backend=backend.value,
        shard=_shard(shard),
    )
    if prefetch and check:
        raise UsageError("--prefetch measures nothing that --check could check", hint="give one of them")
    if model is None:
        if output is not None or hub is not None:
            option = "--output" if output is not None else "--hub"
            raise UsageError(f"{option} goes with a MODEL", hint="name a folder, or repo_id@revision")
        if every and (seed is not None or index is not None):
            raise UsageError("--all goes without --seed and --index", hint="leave one out")
    elif every or seed is not None or index is not None:
        raise UsageError(f"MODEL = {model}: goes without --seed, --index and --all", hint="leave one out")
    elif output is None and not prefetch:
        raise UsageError(f"MODEL = {model}: its cells need a folder", hint="--output DIR")
    log_lines()
    if model is not None:
        _evaluate_model(model, options, prefetch, check, fewshot_seed, datasets_hub, output, hub, family, workspace)
        return
    place = open_workspace(workspace)
    chosen = _with_seed(place.family(family), fewshot_seed)
    datasets = _datasets(place.datasets, datasets_hub, place, refresh=prefetch)
    if prefetch:
        _prefetch_family(place, chosen, options, datasets)
        return
    runs = _trained(place, chosen) if every else [chosen.run(seed=seed, index=index)]
    _evaluate_runs(place, chosen, runs, options, datasets, check)


def _evaluate_runs(
    place: Workspace, family: Family, runs: Sequence[Run], options: Options, datasets: Datasets, check: int | None
) -> None:
    from mixhub.cli.common.console import counted, progress, say
    from mixhub.workflow.steps import evaluate_run, results_folder

    cells: dict[str, list[Cell]] = {}
    for run in runs:
        with _table_of_what_is_there(place, family, run):
            cells[run.revision] = evaluate_run(place, family, run, progress(), options=options, datasets=datasets)
    own_shots = family.evaluation.fewshot_seed == place.family(family.name).evaluation.fewshot_seed
    if own_shots:
        show_scores(family, runs, cells)
    for run in runs:
        if not own_shots:
            show_cells(family.evaluation, cells[run.revision], f"{run.revision}, shots by another seed: in no score")
        say(f"{run.revision}: {counted(len(cells[run.revision]), 'cell')} in {results_folder(place, family, run)}")
        say_missing(family.evaluation, cells[run.revision], options)
        if check is not None:
            _check(place.export(run, family.training.steps), cells[run.revision], check, options)
    if own_shots and all(cells.values()) and options.limit is None:
        first = runs[0]
        say("next: mixhub card render" if len(runs) > 1 else f"next: mixhub push --{first.kind} {first.number}")


def _evaluate_model(
    model: str,
    options: Options,
    prefetch: bool,
    check: int | None,
    fewshot_seed: int | None,
    datasets_hub: str | None,
    output: Path | None,
    hub: str | None,
    family: str | None,
    workspace: Path | None,
) -> None:
    from mixhub.cli.common.console import counted, progress, say
    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.options import Storage
    from mixhub.evaluation.sweep import evaluate_folder
    from mixhub.evaluation.sweep import prefetch as fetch_and_build
    from mixhub.workflow.steps import task_configs

    place = workspace_if_any(workspace)
    suite = _suite_family(place, family)
    evaluation = _with_seed(suite, fewshot_seed).evaluation
    evaluation = _widened(evaluation, options)
    folder, name, revision = _model_folder(model, hub, place)
    cache = place.cache if place else _own_cache()
    configs = task_configs(place, suite) if place else {}
    configs = {task.name: configs[task.name] for task in evaluation.tasks if task.name in configs}
    datasets = _datasets(cache / "datasets", datasets_hub, place, refresh=prefetch)
    storage = Storage(datasets, cache / "requests", configs)
    if prefetch:
        requests = fetch_and_build(
            Encoder.load(folder), evaluation, storage=storage, options=options, progress=progress()
        )
        _say_prefetched(requests, storage.datasets.root)
        return
    assert output is not None
    cells = evaluate_folder(
        folder,
        name=name,
        revision=revision,
        evaluation=evaluation,
        results=output,
        storage=storage,
        options=options,
        progress=progress(),
    )
    if not options.tasks:
        say(f"suite: that of {suite.name}")
    show_cells(evaluation, cells, f"{name}@{revision}")
    say(f"{name}@{revision}: {counted(len(cells), 'cell')} in {output}")
    say_missing(evaluation, cells, options)
    if check is not None:
        _check(folder, cells, check, options)


def _prefetch_family(place: Workspace, family: Family, options: Options, datasets: Datasets) -> None:
    from mixhub.cli.common.console import progress, say
    from mixhub.workflow.steps import prefetch

    tokenizer, requests = prefetch(place, family, progress(), options=options, datasets=datasets)
    say(f"tokenizer: {tokenizer}")
    _say_prefetched(requests, datasets.root)


def _say_prefetched(requests: int, where: Path) -> None:
    from mixhub.cli.common.console import counted, say

    say(f"{counted(requests, 'request')} built, and the documents in {where}: evaluation needs no network now")


@contextmanager
def _table_of_what_is_there(place: Workspace, family: Family, run: Run) -> Iterator[None]:
    """Shows the table so far when the block is interrupted, since the cells that are done stay."""
    from mixhub.cli.common.console import say
    from mixhub.workflow.steps import results_folder
    from mixhub.workspace.cells import cells_in

    try:
        yield
    except KeyboardInterrupt:
        cells = cells_in(results_folder(place, family, run))
        show_scores(family, [run], {run.revision: cells})
        say(f"{run.revision}: stopped; {len(cells)} cells are there, and the same command measures the others")
        raise


def _check(folder: Path, cells: Sequence[Cell], requests: int, options: Options) -> None:
    from mixhub.cli.common.console import counted, say
    from mixhub.evaluation.crosscheck import crosscheck

    found = crosscheck(folder, cells, requests, device=options.device, dtype=options.dtype)
    say(
        f"check: {counted(found.requests, 'request')} of {counted(found.cells, 'cell')} by lm-eval's own backend: "
        f"largest difference {found.largest:.1e} nats ({found.where}), is_greedy differs in {found.flips}"
    )


def _trained(place: Workspace, family: Family) -> list[Run]:
    """The runs that have their last export; says which have not."""
    from mixhub.cli.common.console import say
    from mixhub.errors import RunError

    steps = family.training.steps
    trained = [run for run in family.runs() if steps in place.run_folder(run).export_steps()]
    if not trained:
        raise RunError(
            f"{place.root}: no run of {family.name} is trained to step {steps}", hint="mixhub train --seed N"
        )
    if left := [run.revision for run in family.runs() if run not in trained]:
        say(f"not trained yet, so left out: {', '.join(left)}")
    return trained


def _datasets(root: Path, option: str | None, place: Workspace | None, *, refresh: bool) -> Datasets:
    """Documents that are there, and the hub that gives the others when they are needed."""
    from mixhub.endpoint import choose_hub
    from mixhub.evaluation.datasets import Datasets
    from mixhub.hub.remote.fetch import DatasetFetch

    environ = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}
    choice: HubChoice = choose_hub(option, environ, None, asked_by="--datasets-hub")
    return Datasets(root, DatasetFetch(choice, place), only_from=choice.value if option else None, refresh=refresh)


def _suite_family(place: Workspace | None, name: str | None) -> Family:
    """The family whose suite a MODEL is measured on: the named one, the workspace's, or human-1b."""
    from mixhub.spec import catalog

    return place.family(name) if place is not None else catalog.get(name or "human-1b")


def _with_seed(family: Family, fewshot_seed: int | None) -> Family:
    if fewshot_seed is None:
        return family
    evaluation = family.evaluation.model_copy(update={"fewshot_seed": fewshot_seed})
    return family.model_copy(update={"evaluation": evaluation})


def _widened(evaluation: Evaluation, options: Options) -> Evaluation:
    """The suite of a MODEL: what is asked for, whether or not the family has it."""
    from mixhub.spec import Task

    known = {task.name: task for task in evaluation.tasks}
    names = options.tasks or list(known)
    return evaluation.model_copy(
        update={
            "tasks": tuple(known.get(name) or Task(name=name, title=name) for name in dict.fromkeys(names)),
            "num_fewshot": tuple(options.num_fewshot or evaluation.num_fewshot),
        }
    )


def _model_folder(model: str, hub: str | None, place: Workspace | None) -> tuple[Path, str, str]:
    """Folder, name and revision of a MODEL; a repo is downloaded, or taken from the cache."""
    from mixhub.cli.common.console import say
    from mixhub.endpoint import choose_hub
    from mixhub.errors import UsageError
    from mixhub.hub.remote.connect import open_hub
    from mixhub.hub.remote.download import download
    from mixhub.spec.identifiers import repo_id_problem

    folder = Path(model)
    if folder.is_dir():
        return folder, folder.resolve().name, "local"
    repo_id, at, revision = model.partition("@")
    if repo_id_problem(repo_id) or (at and not revision):
        raise UsageError(
            f"MODEL = {model!r}: no such folder, and no repo_id@revision",
            hint="for example: ./export/step-025000, or sail/data-mixture-human-1b@seed-1",
        )
    choice = choose_hub(hub, os.environ, place.config.hub if place else None)
    with open_hub(choice, place) as endpoint:
        say(f"hub: {endpoint} (from {choice.source})")
        commit, path = download(endpoint, repo_id, revision or "main")
    say(f"{repo_id}@{revision or 'main'}: commit {commit}")
    return path, repo_id, revision or "main"


def _own_cache() -> Path:
    """Where documents and requests are kept without a workspace."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixhub"


def show_scores(family: Family, runs: Sequence[Run], cells: Mapping[str, Sequence[Cell]]) -> None:
    """Prints the scores of runs; an average over missing cells is never shown as whole."""
    from mixhub.analysis.scores import score_table
    from mixhub.cli.common.console import show_figures

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


def show_cells(evaluation: Evaluation, cells: Sequence[Cell], title: str) -> None:
    """Prints cells as a table of tasks by shots: `acc_norm`, else `acc`, in percent, else the first metric as it is."""
    from mixhub.cli.common.console import show_table

    shots = list(evaluation.num_fewshot)
    by_place = {(cell.task, cell.num_fewshot): cell for cell in cells}
    rows = []
    for task in evaluation.tasks:
        own = [by_place.get((task.name, count)) for count in shots]
        metric = next((_shown_metric(cell) for cell in own if cell is not None), "-")
        rows.append([task.title, metric, *("-" if cell is None else _shown(cell, metric) for cell in own)])
    show_table(["task", "metric", *(f"{count}-shot" for count in shots)], rows, title=title)


def _shown_metric(cell: Cell) -> str:
    return next((name for name in ("acc_norm", "acc") if name in cell.metrics), sorted(cell.metrics)[0])


def _shown(cell: Cell, metric: str) -> str:
    value = cell.metrics[metric]
    return f"{100 * value:.2f}" if metric in ("acc_norm", "acc") else f"{value:.4g}"


def say_missing(evaluation: Evaluation, cells: Sequence[Cell], options: Options) -> None:
    """Says which cells of the suite are not there, or were cut short by a limit."""
    from mixhub.cli.common.console import say

    there = {(cell.task, cell.num_fewshot): cell for cell in cells}
    asked = [name for name in (task.name for task in evaluation.tasks) if name in (options.tasks or (name,))]
    shots = sorted(options.num_fewshot or evaluation.num_fewshot)
    missing = {name: [count for count in shots if (name, count) not in there] for name in asked}
    if any(missing.values()):
        said = "; ".join(f"{name} {','.join(map(str, counts))}-shot" for name, counts in missing.items() if counts)
        say(f"missing ({sum(map(len, missing.values()))} of {len(asked) * len(shots)} cells): {said}")
    if limited := sum(cell.limit is not None for cell in cells):
        say(f"cut short by a limit, so in no score: {limited} of {len(cells)} cells")


def _score(score: Score) -> str:
    return f"{score.value:.2f}" if score.value is not None else f"- ({score.reason})"


def _shard(text: str) -> tuple[int, int]:
    """`2/8` as numbers; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    match = re.fullmatch(r"\s*([0-9]{1,5})\s*/\s*([0-9]{1,5})\s*", text)
    if match is None:
        raise UsageError(f"--shard = {text!r}: must be i/n, as 1/8", hint="the first of eight is 1/8, the last 8/8")
    return int(match[1]), int(match[2])
