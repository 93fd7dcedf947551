"""Evaluates any model in Transformers format, in a folder or on a hub."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import ExportError
from mixhub.evaluation.options import DEFAULT_OPTIONS, Failures, Options
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import HubLike, WorkspaceLike, find_family, open_hub, workspace_if_given
from mixhub.workflow.measure.documents import evaluation_storage, task_sources
from mixhub.workflow.measure.evaluation import Prefetched
from mixhub.workflow.measure.outputs import LOCAL, results_folder

if TYPE_CHECKING:
    from mixhub.evaluation.calls.group_scores import GroupScore
    from mixhub.evaluation.calls.selection import TaskGroup
    from mixhub.evaluation.provenance import ModelUnderTest
    from mixhub.evaluation.suite import TaskSource
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
    requested: tuple[tuple[str, int], ...]
    """Task and shots of each requested cell."""
    cells: list[Cell]
    folder: Path
    """The folder of the cells, below the requested one."""
    groups: list[GroupScore]
    """lm-eval's score of each requested group whose cells are all there."""


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
        CellsFailedError: as for `evaluate`.
    """
    from mixhub.evaluation.calls.group_scores import write_group_scores
    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.harness import choose_device, choose_dtype
    from mixhub.evaluation.provenance import ModelUnderTest
    from mixhub.evaluation.sweep import evaluate

    workspace = workspace_if_given(workspace)
    suite = find_suite(workspace, family)
    asked = _asked(workspace, suite.evaluation, options)
    if options.tasks is not None and not options.num_fewshot:
        progress.notice(f"shots: {_shots_in_words(asked)}")
    folder, name, revision, commit = _find_model(model, workspace, hub, progress)
    _require_outside(Path(output), folder)
    storage = evaluation_storage(workspace, asked.evaluation, datasets_hub, sources=asked.sources)
    subject = ModelUnderTest.of_folder(folder, name, revision)
    dtype = choose_dtype(options.dtype, choose_device(options.device, options.device_map))
    prompting, failures = options.prompting, Failures()
    of_prompts = {} if prompting.is_plain else Encoder.load(folder, prompting=prompting).of_prompts
    results, subject = results_folder(Path(output), subject, dtype, asked.evaluation.fewshot_seed, of_prompts)
    with _reasons_given(folder, str(subject)):
        measure = partial(evaluate, options=asked.options, progress=progress, failures=failures)
        cells = measure(subject, asked.evaluation, results=results, storage=storage)
    groups = write_group_scores(asked.groups, cells, results)
    evaluated = EvaluatedModel(subject, commit, suite.name, asked.evaluation, asked.cells, cells, results, groups)
    failures.report(evaluated)
    return evaluated


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
    asked = _asked(workspace, find_suite(workspace, family).evaluation, options)
    folder = _find_model(model, workspace, hub, progress)[0]
    storage = evaluation_storage(workspace, asked.evaluation, datasets_hub, sources=asked.sources, refresh=True)
    with _reasons_given(folder, os.fspath(model)):
        encoder = Encoder.load(folder, prompting=options.prompting)
    requests = prefetch(encoder, asked.evaluation, storage=storage, options=asked.options, progress=progress)
    return Prefetched(folder, requests, storage.datasets.root)


@contextmanager
def _reasons_given(folder: Path, where: str) -> Iterator[None]:
    """Report a model that may be sound, but cannot be opened here, as `mixhub.load` does."""
    from mixhub.hub.load.opening import unloadable
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


def _require_outside(output: Path, export: Path) -> None:
    """Refuse to write cells into an export of mixhub: with other files in it, it cannot be published."""
    from mixhub.evaluation.options import bad_option

    if output.resolve().is_relative_to(export.resolve()) and (export / "lineage.json").is_file():
        rule = "is in the export itself, which could not be published with other files in it"
        raise bad_option("--output", output, rule, "pass another folder")


def find_suite(workspace: Workspace | None, family: str | Family | None) -> Family:
    """Find the family whose suite is used: the named one, the workspace's, or human-1b."""
    return find_family(workspace, family if workspace is not None else family or _SUITE)


@dataclass(frozen=True)
class _Asked:
    """What `--tasks` and `--num-fewshot` ask for."""

    evaluation: Evaluation
    """A suite of the tasks and shot counts."""
    options: Options
    """For all tasks of that suite."""
    sources: Mapping[str, TaskSource]
    groups: tuple[TaskGroup, ...] = ()

    @property
    def cells(self) -> tuple[tuple[str, int], ...]:
        """Task and shots of each cell."""
        names = [task.name for task in self.evaluation.tasks]
        own = {name: source.num_fewshot for name, source in self.sources.items() if source.num_fewshot}
        return tuple((name, count) for name in names for count in own.get(name) or self.evaluation.num_fewshot)


def _asked(workspace: Workspace | None, evaluation: Evaluation, options: Options) -> _Asked:
    """Find what options ask for, whether or not the suite has it."""
    from mixhub.evaluation.calls.selection import select
    from mixhub.evaluation.options import bad_option
    from mixhub.spec import Task

    own = task_sources(workspace, evaluation)
    shots = tuple(sorted(set(options.num_fewshot))) if options.num_fewshot else None
    if options.tasks is None:
        if options.include_path:
            raise bad_option(
                "--include-path", str(options.include_path[0]), "needs --tasks", "name tasks in the folder"
            )
        suite = evaluation.model_copy(update={"num_fewshot": shots or evaluation.num_fewshot})
        return _Asked(suite, options, own)
    by_name = {task.name: task for task in evaluation.tasks}
    known = {name: own.get(name) for name in by_name}
    found = select(options.tasks, known, evaluation.num_fewshot, folders=options.include_path, num_fewshot=shots)
    tasks = [
        by_name.get(name) or Task.from_data({"name": name, "title": name}, str(source.path))
        for name, source in found.sources.items()
    ]
    counts = sorted({count for source in found.sources.values() for count in source.num_fewshot or ()})
    suite = evaluation.model_copy(update={"tasks": tuple(tasks), "num_fewshot": tuple(counts)})
    return _Asked(suite, replace(options, tasks=None, num_fewshot=None), found.sources, found.groups)


def _shots_in_words(asked: _Asked) -> str:
    """Return which shots are used, with the tasks of each count."""
    by_counts: dict[tuple[int, ...], list[str]] = {}
    for name, source in asked.sources.items():
        by_counts.setdefault(source.num_fewshot or (), []).append(name)
    return "; ".join(
        f"{','.join(map(str, counts))} for {listed(names, most=5)}" for counts, names in sorted(by_counts.items())
    )
