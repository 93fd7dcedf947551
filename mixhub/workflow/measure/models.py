"""A model that is not a run of the workspace is evaluated: in a folder, or on a hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import UsageError
from mixhub.evaluation.options import DEFAULT_OPTIONS, Options
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import HubLike, WorkspaceLike, find_family, open_hub, workspace_if_given
from mixhub.workflow.measure.documents import evaluation_storage
from mixhub.workflow.measure.evaluation import Prefetched

if TYPE_CHECKING:
    from mixhub.spec import Evaluation, Family
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace

_SUITE = "human-1b"
"""The family whose suite is used without a workspace."""


@dataclass(frozen=True)
class Model:
    """A model in Transformers format, by whomever."""

    folder: Path
    name: str
    """Its repo_id, or the name of its folder."""
    revision: str
    """What was asked for; `local` for a folder."""
    commit: str | None = None
    """Where the revision was when it was downloaded; None for a folder."""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated."""

    model: Model
    suite: str
    """The family whose suite was used."""
    evaluation: Evaluation
    """Tasks and shot counts that were asked for."""
    cells: list[Cell]


def evaluate_model(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    workspace: WorkspaceLike | None = None,
    family: str | Family | None = None,
    hub: HubLike | None = None,
    options: Options = DEFAULT_OPTIONS,
    datasets_hub: str | None = None,
    progress: Progress = SILENT,
) -> EvaluatedModel:
    """Evaluates any causal language model in Transformers format on a family's suite, or on any of lm-eval's tasks.

    Args:
        model: a folder in Transformers format, or repo_id@revision.
        output: folder of the cells.
        workspace: its hub, its cache and its family's suite are used.
        family: the family whose suite is used; None: the workspace's, else human-1b.
        hub: where a repo lies: `local`, an address or an endpoint; None: the workspace's, else HF_ENDPOINT, else
            huggingface.co.
        options: which cells, and how; tasks and shot counts need not be those of the suite.
        datasets_hub: as for `evaluate`.
        progress: shows the cells, and reports which commit it is.

    Raises:
        UsageError: the model is neither a folder nor a repo, or an option is out of range.
        UnknownNameError: there is no such task or family.
        ExportError: it is no causal language model whose weights are safetensors.
        HubError: the hub does not have it, or does not answer.
        ResultsError: as for `evaluate`.
    """
    from mixhub.evaluation.sweep import evaluate_folder

    workspace = workspace_if_given(workspace)
    suite = find_suite(workspace, family)
    evaluation = _widened(suite.evaluation, options)
    subject = _find_model(model, workspace, hub, progress)
    cells = evaluate_folder(
        subject.folder,
        name=subject.name,
        revision=subject.revision,
        evaluation=evaluation,
        results=Path(output),
        storage=evaluation_storage(workspace, evaluation, datasets_hub),
        options=options,
        progress=progress,
    )
    return EvaluatedModel(subject, suite.name, evaluation, cells)


def prefetch_model(
    model: str | os.PathLike[str],
    *,
    workspace: WorkspaceLike | None = None,
    family: str | Family | None = None,
    hub: HubLike | None = None,
    options: Options = DEFAULT_OPTIONS,
    datasets_hub: str | None = None,
    progress: Progress = SILENT,
) -> Prefetched:
    """Downloads the documents of `evaluate_model` with the same arguments and builds its requests."""
    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.sweep import prefetch

    workspace = workspace_if_given(workspace)
    evaluation = _widened(find_suite(workspace, family).evaluation, options)
    subject = _find_model(model, workspace, hub, progress)
    storage = evaluation_storage(workspace, evaluation, datasets_hub, refresh=True)
    requests = prefetch(
        Encoder.load(subject.folder),
        evaluation,
        storage=storage,
        options=options,
        progress=progress,
    )
    return Prefetched(subject.folder, requests, storage.datasets.root)


def _find_model(
    model: str | os.PathLike[str], workspace: Workspace | None, hub: HubLike | None, progress: Progress
) -> Model:
    """Where a model lies; a repo is downloaded, or taken from the cache."""
    from mixhub.hub.remote.download import download
    from mixhub.spec.values import repo_id_problem

    model = os.fspath(model)
    folder = Path(model)
    if folder.is_dir():
        return Model(folder, folder.resolve().name, "local")
    repo_id, at, revision = model.partition("@")
    if repo_id_problem(repo_id) or (at and not revision):
        raise UsageError(
            f"MODEL = {model!r}: no such folder, and no repo_id@revision",
            code="option-value",
            hint="for example: ./export/step-025000, or sail/data-mixture-human-1b@seed-1",
            option="MODEL",
            value=model,
        )
    with open_hub(workspace, hub, progress=progress) as endpoint:
        commit, path = download(endpoint, repo_id, revision or "main")
    progress.notice(f"{repo_id}@{revision or 'main'}: commit {commit}")
    return Model(path, repo_id, revision or "main", commit)


def find_suite(workspace: Workspace | None, family: str | Family | None) -> Family:
    """The family whose suite a model is evaluated on: the one that is named, the workspace's, or human-1b."""
    return find_family(workspace, family if workspace is not None else family or _SUITE)


def _widened(evaluation: Evaluation, options: Options) -> Evaluation:
    """The suite of a model: what is asked for, whether or not the family has it."""
    from mixhub.spec import Task

    known = {task.name: task for task in evaluation.tasks}
    names = options.tasks or list(known)
    return evaluation.model_copy(
        update={
            "tasks": tuple(known.get(name) or Task(name=name, title=name) for name in dict.fromkeys(names)),
            "num_fewshot": tuple(options.num_fewshot or evaluation.num_fewshot),
        }
    )
