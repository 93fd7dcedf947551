"""`mixhub evaluate`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndicesOption,
    SeedsOption,
    WorkspaceOption,
    choose_hub,
    counts,
    find_workspace,
    indices,
    names,
    seeds,
    workspace_if_any,
)

if TYPE_CHECKING:
    from mixhub.evaluation.options import Prompting
    from mixhub.spec import Family
    from mixhub.workflow import Evaluated, EvaluatedModel, Options, Prefetched
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace


class BackendName(StrEnum):
    """Scoring backends."""

    MIXHUB = "mixhub"
    STOCK = "stock"


_MODEL_HELP = "Model to evaluate instead of a run: a folder, or repo_id@revision."
_TASKS_HELP = (
    "Comma-separated task names or patterns. With MODEL: any tasks, groups, tags or patterns of lm-eval, such as "
    "mmlu or 'arc_*', and paths of YAMLs. [default: the family's suite]"
)
_INCLUDE_HELP = "With MODEL and --tasks: another folder of task YAMLs; repeat it for several."
_SHOTS_HELP = (
    "Shot counts, such as 0,5 or 0-5. [default: the suite's; for tasks outside the suite and in groups, the task's own "
    "count, otherwise 0]"
)
_LIMIT_HELP = "Use only the first N documents of each task. Such cells do not count towards any score."
_DEVICE_HELP = "`cpu`, `cuda` or `cuda:N`. [default: cuda if available, otherwise cpu]"
_DTYPE_HELP = "Dtype of the weights. [default: float32 on CPU, bfloat16 on CUDA]"
_MAP_HELP = "Spread a MODEL over all devices, as Transformers' device_map does: `auto`, `balanced` or `sequential`."
_CHAT_HELP = "With MODEL: apply the tokenizer's chat template to the prompts. Such cells have a folder of their own."
_TEMPLATE_HELP = "Name of the chat template, if the tokenizer has several. [default: default]"
_SYSTEM_HELP = "With MODEL: a system instruction at the start of every prompt."
_TURNS_HELP = "With a chat template: each shot as a turn of its own, or all shots in one turn."
_FEWSHOT_SEED_HELP = (
    "Seed for drawing the shots. Cells with another seed than the family's get their own folder and count towards no "
    "score. [default: the family's]"
)
_SHARD_HELP = "Measure only part I of N of the cells, for a job array or several GPUs."
_PREFETCH_HELP = "Only download documents and build requests, so that you can evaluate offline later."
_CHECK_HELP = "Afterwards, score N random requests again with lm-eval's own backend and compare."
_BACKEND_HELP = "Scorer: `mixhub`, or `stock` for lm-eval's own backend, request by request."
_OUTPUT_HELP = (
    "Folder for the cells of any number of MODELs, each in its own folder; required with MODEL, except with --prefetch."
)
_DATASETS_HELP = "Hub to download documents from: `local` or an address. [default: HF_ENDPOINT or huggingface.co]"

_TurnsOption = Annotated[bool, typer.Option("--fewshot-as-multiturn/--no-fewshot-as-multiturn", help=_TURNS_HELP)]


def evaluate(
    model: Annotated[str | None, typer.Argument(help=_MODEL_HELP, metavar="MODEL", show_default=False)] = None,
    seed: SeedsOption = None,
    index: IndicesOption = None,
    every: Annotated[bool, typer.Option("--all", help="All trained runs.")] = False,
    tasks: Annotated[str | None, typer.Option(help=_TASKS_HELP, metavar="NAMES")] = None,
    include_path: Annotated[list[Path] | None, typer.Option(help=_INCLUDE_HELP, metavar="DIR")] = None,
    num_fewshot: Annotated[str | None, typer.Option(help=_SHOTS_HELP, metavar="COUNTS")] = None,
    limit: Annotated[int | None, typer.Option(help=_LIMIT_HELP, metavar="N", min=1)] = None,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP, metavar="NAME")] = None,
    dtype: Annotated[str | None, typer.Option(help=_DTYPE_HELP, metavar="DTYPE")] = None,
    device_map: Annotated[str | None, typer.Option(help=_MAP_HELP, metavar="MAP")] = None,
    apply_chat_template: Annotated[bool, typer.Option("--apply-chat-template", help=_CHAT_HELP)] = False,
    chat_template: Annotated[str | None, typer.Option(help=_TEMPLATE_HELP, metavar="NAME")] = None,
    system_instruction: Annotated[str | None, typer.Option(help=_SYSTEM_HELP, metavar="TEXT")] = None,
    fewshot_as_multiturn: _TurnsOption = True,
    fewshot_seed: Annotated[int | None, typer.Option(help=_FEWSHOT_SEED_HELP, metavar="N", min=0)] = None,
    shard: Annotated[str, typer.Option(help=_SHARD_HELP, metavar="I/N")] = "1/1",
    prefetch: Annotated[bool, typer.Option("--prefetch", help=_PREFETCH_HELP)] = False,
    check: Annotated[int | None, typer.Option(help=_CHECK_HELP, metavar="N", min=1)] = None,
    backend: Annotated[BackendName, typer.Option(help=_BACKEND_HELP)] = BackendName.MIXHUB,
    datasets_hub: Annotated[str | None, typer.Option(help=_DATASETS_HELP, metavar="HUB")] = None,
    output: Annotated[Path | None, typer.Option(help=_OUTPUT_HELP, metavar="DIR")] = None,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Evaluate models on lm-eval's tasks with lm-eval's numbers, all in one process.

    Writes one file per cell, which is a task at a shot count. Finished cells are not measured again. Several processes
    can share the work: each takes cells that no other has taken.
    """
    from mixhub.cli.common.console import log_lines
    from mixhub.workflow import Options

    options = Options(
        tasks=names("--tasks", tasks) if tasks is not None else None,
        include_path=tuple(include_path or ()),
        num_fewshot=counts(num_fewshot) if num_fewshot else None,
        limit=limit,
        device=device,
        dtype=dtype,
        device_map=device_map,
        prompting=_prompting(apply_chat_template, chat_template, system_instruction, fewshot_as_multiturn),
        backend=backend.value,
        shard=_shard(shard),
    )
    is_run_named = every or seed is not None or index is not None
    _check_options(model, is_run_named, prefetch, check, options, {"--output": output, "--hub": hub})
    log_lines()
    settings: dict[str, Any] = {"options": options, "datasets_hub": datasets_hub}
    if model is None:
        workspace = find_workspace(workspace_dir)
        numbered = {"seed": seeds(seed), "index": indices(index)}
        runs = {**numbered, "all": every, "family": _family(workspace, family_name, fewshot_seed)}
        _evaluate_runs(workspace, runs, settings, prefetch, check)
    else:
        nearest = workspace_if_any(workspace_dir)
        settings |= {"workspace": nearest, "family": _family(nearest, family_name, fewshot_seed)}
        _evaluate_model(model, settings | {"hub": choose_hub(hub, nearest)}, output, prefetch, check)


def _evaluate_runs(
    workspace: Workspace, runs: Mapping[str, Any], settings: Mapping[str, Any], prefetch: bool, check: int | None
) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say, say_next
    from mixhub.cli.measure.cells import requested_part, say_suite, show_cells, show_scores
    from mixhub.errors import CellsFailedError
    from mixhub.evaluation.options import requested_names

    if prefetch:
        ready = workflow.prefetch(workspace, family=runs["family"], **settings, progress=progress())
        say(f"tokenizer: {ready.tokenizer}")
        _say_prefetched(ready)
        return
    failed = None
    try:
        evaluated = workflow.evaluate(workspace, **settings, **runs, progress=progress())
    except CellsFailedError as error:
        failed, evaluated = error, cast("Evaluated", error.evaluated)
    except KeyboardInterrupt:
        evaluated = workflow.evaluated_so_far(workspace, **runs)
        show_scores(evaluated.family, evaluated.runs, evaluated.cells)
        for revision, cells in evaluated.cells.items():
            say(f"{revision}: stopped with {len(cells)} cells; run the same command again to measure the rest")
        raise
    family, options = evaluated.family, settings["options"]
    is_part = bool(options.tasks or options.num_fewshot or options.limit)
    if evaluated.counts and not is_part and any(evaluated.cells.values()):
        show_scores(family, evaluated.runs, evaluated.cells)
    for revision, cells in evaluated.cells.items():
        if cells and (is_part or not evaluated.counts):
            why = "" if evaluated.counts else ", shots drawn with another seed: in none of the scores"
            show_cells(requested_part(family.evaluation, options), cells, f"{revision}{why}")
        _say_cells(revision, evaluated.folders[revision], requested_names(family.evaluation, options), cells)
        _check(check, evaluated.exports[revision], cells, options)
    if is_part:
        say_suite(family)
    if failed is not None:
        raise failed
    if evaluated.counts and all(evaluated.cells.values()) and options.limit is None:
        first = evaluated.runs[0]
        step = "card render" if len(evaluated.runs) > 1 else f"push --{first.kind} {first.label}"
        say_next(f"mixhub {step}")


def _evaluate_model(
    model: str, settings: Mapping[str, Any], output: Path | None, prefetch: bool, check: int | None
) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say
    from mixhub.cli.measure.cells import show_cells, show_groups
    from mixhub.errors import CellsFailedError

    if prefetch:
        _say_prefetched(workflow.prefetch_model(model, **settings, progress=progress()))
        return
    assert output is not None
    failed = None
    try:
        evaluated = workflow.evaluate_model(model, output, **settings, progress=progress())
    except CellsFailedError as error:
        failed, evaluated = error, cast("EvaluatedModel", error.evaluated)
        if not evaluated.cells:
            raise
    if not settings["options"].tasks:
        say(f"suite: that of {evaluated.suite}")
    show_cells(evaluated.evaluation, evaluated.cells, str(evaluated.model))
    show_groups(evaluated.groups)
    _say_cells(str(evaluated.model), evaluated.folder, evaluated.requested, evaluated.cells)
    _check(check, evaluated.model.folder, evaluated.cells, settings["options"])
    if failed is not None:
        raise failed


def _say_prefetched(ready: Prefetched) -> None:
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    say(f"{plural(ready.requests, 'request')} built; documents in {ready.datasets}; evaluation now works offline")


def _say_cells(name: str, folder: Path, requested: Sequence[tuple[str, int]], cells: Sequence[Cell]) -> None:
    from mixhub.cli.common.console import say
    from mixhub.cli.measure.cells import say_missing
    from mixhub.phrases import plural

    say(f"{name}: {plural(len(cells), 'cell')} in {folder}")
    for cell in cells:
        for note in cell.notes:
            say(f"note: {cell.task} {cell.num_fewshot}-shot: {note}")
    say_missing(requested, cells)


def _check(requests: int | None, folder: Path, cells: Sequence[Cell], options: Options) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    if requests is not None and cells:
        again = workflow.crosscheck(folder, cells, requests, options)
        say(
            f"check: {plural(again.requests, 'request')} of {plural(again.cells, 'cell')} by lm-eval's own backend: "
            f"largest difference {again.largest:.1e} nats ({again.where}), is_greedy differs in {again.flips}"
        )


def _family(workspace: Workspace | None, name: str | None, fewshot_seed: int | None) -> Family:
    """Find the family whose suite is used, with another seed of the shots if one is given."""
    from mixhub import workflow

    return workflow.with_fewshot_seed(workflow.find_suite(workspace, name), fewshot_seed)


def _check_options(
    model: str | None,
    is_run_named: bool,
    prefetch: bool,
    check: int | None,
    options: Options,
    of_model: Mapping[str, object],
) -> None:
    """Refuse options that cannot be combined: those of a run with those of a MODEL."""
    from mixhub.errors import UsageError

    prompting = options.prompting
    of_model = {
        **of_model,
        "--include-path": options.include_path,
        "--apply-chat-template": prompting.chat_template,
        "--system-instruction": prompting.system_instruction,
        "--device-map": options.device_map,
    }
    for is_broken, message, code in (
        (prefetch and check, "--check needs measured cells, and --prefetch measures none", "option-conflict"),
        *(
            (not model and value, f"{name} needs a MODEL: a folder, or repo_id@revision", "option-missing")
            for name, value in of_model.items()
        ),
        (model and is_run_named, f"MODEL = {model}: conflicts with --seed, --index and --all", "option-conflict"),
        (
            model and not of_model["--output"] and not prefetch,
            f"MODEL = {model}: needs a folder: --output DIR",
            "option-missing",
        ),
    ):
        if is_broken:
            raise UsageError(message, code=code)


def _prompting(is_chat: bool, template: str | None, system: str | None, multiturn: bool) -> Prompting:
    from mixhub.evaluation.options import Prompting

    return Prompting(template or ("default" if is_chat else None), system, multiturn)


def _shard(text: str) -> tuple[int, int]:
    """Parse `2/8`; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    match = re.fullmatch(r"\s*([0-9]{1,5})\s*/\s*([0-9]{1,5})\s*", text)
    if match is None:
        raise UsageError(f"--shard = {text!r}: must be i/n, for example 1/8", code="option-value")
    return int(match[1]), int(match[2])
