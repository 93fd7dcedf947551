"""Evaluates the runs of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from mixhub.data.tokenizer import TOKENIZER_FILE
from mixhub.errors import WorkspaceError
from mixhub.evaluation.options import DEFAULT_OPTIONS, Failures, Options
from mixhub.progress import SILENT, Progress
from mixhub.workflow.data.packing import find_tokenizer
from mixhub.workflow.inputs import RunNames, WorkspaceLike, find_exports, find_family, open_workspace
from mixhub.workflow.measure.documents import evaluation_storage

if TYPE_CHECKING:
    from mixhub.spec import Family, Run
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace

_DEFAULT_CONTEXT = 2048
"""Tokens; that of lm-eval for models that state none."""


@dataclass(frozen=True)
class Evaluated:
    """Runs that were evaluated."""

    family: Family
    runs: tuple[Run, ...]
    cells: Mapping[str, list[Cell]]
    """The requested cells, by revision."""
    folders: Mapping[str, Path]
    """The folder of the cells, by revision."""
    exports: Mapping[str, Path]
    """The measured export, by revision."""
    counts: bool
    """Whether they count in scores: cells with another seed of the shots than the workspace's family do not."""


@dataclass(frozen=True)
class Prefetched:
    """The files that an evaluation needs, on disk."""

    tokenizer: Path
    requests: int
    """Requests that were built."""
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
    """Evaluate the last step of runs, without measuring finished cells again.

    Args:
        workspace: the workspace of the runs and cells.
        options: the cells, and how to measure them.
        datasets_hub: the hub to download documents from: `local` or an address; None: HF_ENDPOINT, or huggingface.co.
        progress: shows the cells, and reports which runs of all are skipped.
        **run_names: seed or index, or all; and family, for example one with another seed of the shots.

    Raises:
        UsageError, UnknownNameError: the names match no run, or an option is out of range.
        RunError: a run has no export of its last step, or was trained with another recipe than the family has now.
        ExportError: an export is incomplete, or another run's.
        CellsFailedError: cells could not be measured; the others of all runs were, and are in its `evaluated`.
    """
    from mixhub.evaluation.provenance import ModelUnderTest
    from mixhub.evaluation.sweep import evaluate
    from mixhub.hub.remote.custom_code import allowed_code

    workspace = open_workspace(workspace)
    family, runs = find_exports(workspace, progress, **run_names)
    storage = evaluation_storage(workspace, family.evaluation, datasets_hub)
    cells, failures = {}, Failures()
    with allowed_code(workspace, family):
        for run in runs:
            model = ModelUnderTest.of_run(family, run, workspace.export(run, family.training.steps))
            results = _results_folder(workspace, family, run)
            cells[run.revision] = evaluate(
                model,
                family.evaluation,
                results=results,
                storage=storage,
                options=options,
                progress=progress,
                failures=failures,
            )
    evaluated = _evaluated(workspace, family, runs, cells)
    failures.report(evaluated)
    return evaluated


def evaluated_so_far(workspace: WorkspaceLike, **run_names: Unpack[RunNames]) -> Evaluated:
    """Return the finished cells of an evaluation that was interrupted."""
    from mixhub.workspace.cells import cells_in

    workspace = open_workspace(workspace)
    family, runs = find_exports(workspace, SILENT, **run_names)
    return _evaluated(
        workspace, family, runs, {run.revision: cells_in(_results_folder(workspace, family, run)) for run in runs}
    )


def prefetch(
    workspace: WorkspaceLike,
    *,
    family: str | Family | None = None,
    options: Options = DEFAULT_OPTIONS,
    datasets_hub: str | None = None,
    progress: Progress = SILENT,
) -> Prefetched:
    """Download the documents of the family's evaluation and build its requests; evaluation then works offline.

    The tokenizer is that of an export, or of the token shards, or of the repo that the family names.

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
    tokenizer = _tokenizer_of_runs(workspace, family, progress)
    context = family.architecture.context or _DEFAULT_CONTEXT
    config = None if (tokenizer / "config.json").is_file() else LlamaConfig(max_position_embeddings=context)
    encoder = Encoder.load(tokenizer, config)
    requests = prefetch(encoder, family.evaluation, storage=storage, options=options, progress=progress)
    return Prefetched(tokenizer, requests, storage.datasets.root)


def _results_folder(workspace: Workspace, family: Family, run: Run) -> Path:
    """Return the folder of a run's cells; those with another seed of the shots than the workspace's have their own."""
    folder = workspace.results(run)
    return folder if _counts(workspace, family) else folder / f"fewshot-seed-{family.evaluation.fewshot_seed}"


def _counts(workspace: Workspace, family: Family) -> bool:
    return family.evaluation.fewshot_seed == workspace.family(family.name).evaluation.fewshot_seed


def _evaluated(workspace: Workspace, family: Family, runs: list[Run], cells: Mapping[str, list[Cell]]) -> Evaluated:
    folders = {run.revision: _results_folder(workspace, family, run) for run in runs}
    exports = {run.revision: workspace.run_folder(run).export(family.training.steps) for run in runs}
    return Evaluated(family, tuple(runs), cells, folders, exports, _counts(workspace, family))


def _tokenizer_of_runs(workspace: Workspace, family: Family, progress: Progress) -> Path:
    exports = (workspace.run_folder(run).export(family.training.steps) for run in family.runs())
    for export in exports:
        if (export / TOKENIZER_FILE).is_file():
            return export
    tokens = workspace.tokens(family)
    if (folder := find_tokenizer(family, tokens, progress)) is None:
        message = f"{tokens}: {family.name} has no tokenizer yet; it is trained on the corpus"
        raise WorkspaceError(message, code="tokenizer-untrained", hint="run mixhub data pack", family=family.name)
    return folder
