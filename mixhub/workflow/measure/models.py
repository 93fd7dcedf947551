"""Evaluates any model in Transformers format, in a folder or on a hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import ExportError
from mixhub.evaluation.options import DEFAULT_OPTIONS, Options
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import HubLike, WorkspaceLike, find_family, open_hub, workspace_if_given
from mixhub.workflow.measure.documents import evaluation_storage
from mixhub.workflow.measure.evaluation import Prefetched
from mixhub.workflow.measure.outputs import LOCAL, results_folder

if TYPE_CHECKING:
    from mixhub.evaluation.provenance import ModelUnderTest
    from mixhub.spec import Evaluation, Family
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.paths import Workspace

_SUITE = "human-1b"
"""The family whose suite is used without a workspace."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model that was evaluated."""

    model: ModelUnderTest
    commit: str | None
    """The commit that was downloaded; None for a folder."""
    suite: str
    """The family whose suite was used."""
    evaluation: Evaluation
    """The requested tasks and shot counts."""
    cells: list[Cell]
    folder: Path
    """The folder of the cells, below the requested one."""


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
    """Evaluate any causal language model in Transformers format on a family's suite, or on any of lm-eval's tasks.

    Args:
        model: a folder in Transformers format, or repo_id@revision.
        output: folder for the cells of any number of models; each has its own folder in it.
        workspace: the workspace whose hub, cache and suite are used.
        family: the family whose suite is used; None: the workspace's, or human-1b.
        hub: the hub of a repo: `local`, an address or an endpoint; None: the workspace's, HF_ENDPOINT or
            huggingface.co.
        options: the cells, and how to measure them; tasks and shot counts need not be in the suite.
        datasets_hub: as for `evaluate`.
        progress: shows the cells, and reports the commit of a repo.

    Raises:
        UsageError: the model is neither a folder nor a repo, or an option is out of range.
        UnknownNameError: a task or family does not exist.
        ExportError: it is not a causal language model with safetensors weights.
        HubError: the hub does not have it, or does not answer.
        ResultsError: as for `evaluate`.
    """
    from mixhub.evaluation.harness import choose_device, choose_dtype
    from mixhub.evaluation.provenance import ModelUnderTest
    from mixhub.evaluation.sweep import evaluate

    workspace = workspace_if_given(workspace)
    suite = find_suite(workspace, family)
    evaluation = _with_options(suite.evaluation, options)
    folder, name, revision, commit = _find_model(model, workspace, hub, progress)
    subject = ModelUnderTest.of_folder(folder, name, revision)
    storage = evaluation_storage(workspace, evaluation, datasets_hub)
    dtype = choose_dtype(options.dtype, choose_device(options.device))
    results, subject = results_folder(Path(output), subject, dtype, evaluation.fewshot_seed)
    with _reasons_given(folder, str(subject)):
        cells = evaluate(subject, evaluation, results=results, storage=storage, options=options, progress=progress)
    return EvaluatedModel(subject, commit, suite.name, evaluation, cells, results)


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
    """Download the documents of `evaluate_model` with the same arguments, and build its requests."""
    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.sweep import prefetch

    workspace = workspace_if_given(workspace)
    evaluation = _with_options(find_suite(workspace, family).evaluation, options)
    folder = _find_model(model, workspace, hub, progress)[0]
    storage = evaluation_storage(workspace, evaluation, datasets_hub, refresh=True)
    with _reasons_given(folder, os.fspath(model)):
        encoder = Encoder.load(folder)
    requests = prefetch(encoder, evaluation, storage=storage, options=options, progress=progress)
    return Prefetched(folder, requests, storage.datasets.root)


@contextmanager
def _reasons_given(folder: Path, where: str) -> Iterator[None]:
    """Report a model that may be sound, but cannot be opened here, as `mixhub.load` does."""
    from mixhub.hub.remote.load import unloadable
    from mixhub.hub.rules.config import UnsupportedModelError

    try:
        yield
    except ExportError as error:
        if error.__cause__ is not None:
            reason = unloadable(error.__cause__, folder, where, {})
            if isinstance(reason, UnsupportedModelError):
                raise reason from error
        raise


def _find_model(
    model: str | os.PathLike[str], workspace: Workspace | None, hub: HubLike | None, progress: Progress
) -> tuple[Path, str, str, str | None]:
    """Return folder, name, revision and commit of a model; a repo is downloaded, or taken from the cache."""
    from mixhub.evaluation.options import bad_option
    from mixhub.hub.remote.download import download
    from mixhub.spec.values import repo_id_problem

    model = os.fspath(model)
    folder = Path(model)
    if folder.is_dir():
        return folder, folder.resolve().name, LOCAL, None
    repo_id, at, revision = model.partition("@")
    if repo_id_problem(repo_id) or (at and not revision):
        hint = "for example: ./export/step-025000, or sail/data-mixture-human-1b@seed-1"
        raise bad_option("MODEL", model, "must be a folder, or repo_id@revision", hint)
    revision = revision or "main"
    with open_hub(workspace, hub, progress=progress) as endpoint:
        commit, path = download(endpoint, repo_id, revision)
    progress.notice(f"{repo_id}@{revision}: commit {commit}")
    return path, repo_id, revision, commit


def find_suite(workspace: Workspace | None, family: str | Family | None) -> Family:
    """Find the family whose suite is used: the named one, the workspace's, or human-1b."""
    return find_family(workspace, family if workspace is not None else family or _SUITE)


def _with_options(evaluation: Evaluation, options: Options) -> Evaluation:
    """Return a suite of the requested tasks and shot counts, whether or not the family has them."""
    from mixhub.spec import Task

    by_name = {task.name: task for task in evaluation.tasks}
    names = options.tasks or list(by_name)
    return evaluation.model_copy(
        update={
            "tasks": tuple(by_name.get(name) or Task(name=name, title=name) for name in dict.fromkeys(names)),
            "num_fewshot": tuple(options.num_fewshot or evaluation.num_fewshot),
        }
    )
