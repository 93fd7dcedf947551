"""The runs of a workspace are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from mixhub.errors import RunError, UsageError, WorkspaceError
from mixhub.evaluation.options import DEFAULT_OPTIONS, Options
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import RunNames, WorkspaceLike, find_family, open_workspace, with_export
from mixhub.workflow.make.packing import download_tokenizer
from mixhub.workflow.measure.documents import evaluation_storage

if TYPE_CHECKING:
    from mixhub.evaluation.crosscheck import Crosscheck
    from mixhub.spec import Family, Run
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Evaluated:
    """Runs that were evaluated."""

    family: Family
    runs: tuple[Run, ...]
    cells: Mapping[str, list[Cell]]
    """The cells that were asked for, by revision."""
    folders: Mapping[str, Path]
    """Where they lie, by revision."""
    exports: Mapping[str, Path]
    """What was measured, by revision."""
    counts: bool
    """Whether they count in scores: cells with another seed of the shots than the workspace's family has do not."""


@dataclass(frozen=True)
class Prefetched:
    """What an evaluation needs, once it is on disk."""

    tokenizer: Path
    requests: int
    """Requests that are built."""
    datasets: Path
    """Folder of the documents."""


def evaluate(
    workspace: WorkspaceLike,
    *,
    options: Options = DEFAULT_OPTIONS,
    datasets_hub: str | None = None,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> Evaluated:
    """Evaluates the last step of runs; cells that are done are left alone.

    Args:
        workspace: where the runs lie, and where the cells go.
        options: which cells, and how.
        datasets_hub: where documents come from that are not there: `local` or an address; None: HF_ENDPOINT, else
            huggingface.co.
        progress: shows the cells, and reports which runs of all are omitted.
        **run_names: seed or index, or all; and family, for example one with another seed of the shots.

    Raises:
        UsageError, UnknownNameError: the names mean no run, or an option is out of range.
        RunError: a run has no export of its last step, or was trained with another recipe than the family has now.
        ExportError: an export is incomplete, or another run's.
        ResultsError: a dataset cannot be loaded, a figure is not finite, or a file in the way is none of ours.
    """
    from mixhub.evaluation.sweep import evaluate

    workspace = open_workspace(workspace)
    family, chosen = _chosen(workspace, progress, **run_names)
    storage = evaluation_storage(workspace, family.evaluation, datasets_hub)
    cells = {
        run.revision: evaluate(
            family,
            run,
            export=workspace.export(run, family.training.steps),
            results=results_folder(workspace, family, run),
            storage=storage,
            options=options,
            progress=progress,
        )
        for run in chosen
    }
    return _evaluated(workspace, family, chosen, cells)


def evaluated_so_far(workspace: WorkspaceLike, **run_names: Unpack[RunNames]) -> Evaluated:
    """What is on disk of an evaluation that was interrupted; the cells that are done stay."""
    from mixhub.workspace.cells import cells_in

    workspace = open_workspace(workspace)
    family, chosen = _chosen(workspace, SILENT, **run_names)
    cells = {run.revision: cells_in(results_folder(workspace, family, run)) for run in chosen}
    return _evaluated(workspace, family, chosen, cells)


def prefetch(
    workspace: WorkspaceLike,
    *,
    family: str | Family | None = None,
    options: Options = DEFAULT_OPTIONS,
    datasets_hub: str | None = None,
    progress: Progress = SILENT,
) -> Prefetched:
    """Downloads the documents of the family's evaluation and builds its requests; evaluation then makes no request.

    The tokenizer is that of an export, of the token shards, or, before there are any, of the repo that the family
    names.

    Raises:
        WorkspaceError: the family has no tokenizer yet.
        HubError: something cannot be downloaded.
        UnknownNameError, ResultsError, UsageError: as for `evaluate`.
    """
    from transformers import LlamaConfig

    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.sweep import prefetch

    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    storage = evaluation_storage(workspace, family.evaluation, datasets_hub, refresh=True)
    config = LlamaConfig(max_position_embeddings=family.architecture.max_position_embeddings)
    tokenizer = _tokenizer(workspace, family, progress)
    requests = prefetch(
        Encoder.load(tokenizer, config),
        family.evaluation,
        storage=storage,
        options=options,
        progress=progress,
    )
    return Prefetched(tokenizer, requests, storage.datasets.root)


def crosscheck(folder: Path, cells: Sequence[Cell], requests: int, options: Options = DEFAULT_OPTIONS) -> Crosscheck:
    """Scores random requests of cells again, by lm-eval's own backend, and compares.

    Args:
        folder: the model that the cells were measured on.
        cells: what `evaluate` gave of it.
        requests: how many.
        options: those of `evaluate`.

    Raises:
        ResultsError: in float32, a log-likelihood differs by more than rounding; or no cell has log-likelihoods.
    """
    from mixhub.evaluation.crosscheck import crosscheck

    return crosscheck(folder, cells, requests, device=options.device, dtype=options.dtype)


def results_folder(workspace: Workspace, family: Family, run: Run) -> Path:
    """Where the cells of a run go: apart, when the shots are drawn by another seed than the workspace's family says."""
    seed = family.evaluation.fewshot_seed
    folder = workspace.results(run)
    return folder if _counts(workspace, family) else folder / f"fewshot-seed-{seed}"


def _counts(workspace: Workspace, family: Family) -> bool:
    return family.evaluation.fewshot_seed == workspace.family(family.name).evaluation.fewshot_seed


def _evaluated(workspace: Workspace, family: Family, runs: list[Run], cells: Mapping[str, list[Cell]]) -> Evaluated:
    folders = {run.revision: results_folder(workspace, family, run) for run in runs}
    exports = {run.revision: workspace.run_folder(run).export(family.training.steps) for run in runs}
    return Evaluated(family, tuple(runs), cells, folders, exports, _counts(workspace, family))


def _chosen(
    workspace: Workspace,
    progress: Progress,
    *,
    seed: int | None = None,
    index: int | None = None,
    all: bool = False,
    family: str | Family | None = None,
) -> tuple[Family, list[Run]]:
    """The family and the runs that are meant; of all, those that are trained."""
    family = find_family(workspace, family)
    if not all:
        return family, [family.run(seed=seed, index=index)]
    if seed is not None or index is not None:
        raise UsageError(
            "--all goes without --seed and --index",
            code="option-conflict",
            hint="leave one out",
            options=("--all", "--seed" if seed is not None else "--index"),
        )
    steps = family.training.steps
    trained, others = with_export(workspace, family, steps)
    if not trained:
        raise RunError(
            f"{workspace.root}: no run of {family.name} is trained to step {steps}",
            code="run-not-trained",
            hint="mixhub train --seed N",
            family=family.name,
        )
    if others:
        progress.notice(f"not trained yet, so left out: {', '.join(others)}")
    return family, trained


def _tokenizer(workspace: Workspace, family: Family, progress: Progress) -> Path:
    exports = (workspace.run_folder(run).export(family.training.steps) for run in family.runs())
    for folder in (*exports, workspace.tokens(family) / "tokenizer"):
        if (folder / "tokenizer.json").is_file():
            return folder
    if family.tokenizer.repo_id is None:
        raise WorkspaceError(
            f"{workspace.tokens(family)}: {family.name} has no tokenizer yet, since it is made from the corpus",
            code="tokenizer-untrained",
            hint="mixhub data pack",
            family=family.name,
        )
    return download_tokenizer(family.tokenizer.repo_id, progress)
