"""Where an evaluation finds its tasks, documents and built requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mixhub.endpoint import choose_hub_of_call
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.options import Storage
from mixhub.evaluation.suite import TaskSource
from mixhub.evaluation.task_index import user_cache
from mixhub.hub.remote.fetch import DatasetFetch

if TYPE_CHECKING:
    from mixhub.spec import Evaluation, Family
    from mixhub.workspace.paths import Workspace


def evaluation_storage(
    workspace: Workspace | None,
    evaluation: Evaluation,
    datasets_hub: str | None,
    *,
    sources: Mapping[str, TaskSource] | None = None,
    refresh: bool = False,
) -> Storage:
    """Return where tasks, documents and built requests are: in the workspace, or in the user's cache.

    Args:
        workspace: the workspace, if there is one.
        evaluation: the suite, whose tasks may have YAMLs in the workspace.
        datasets_hub: the hub to download documents from: `local` or an address; None: HF_ENDPOINT, or huggingface.co.
        sources: by task, its YAML and shots; None: as the suite has them.
        refresh: download documents again if the hub has another commit by now.

    Raises:
        UsageError: `datasets_hub` is neither `local` nor an address.
    """
    cache = workspace.cache if workspace else user_cache()
    choice = choose_hub_of_call(datasets_hub, None, asked_by="--datasets-hub")
    datasets = Datasets(cache / "datasets", DatasetFetch(choice, workspace), refresh=refresh)
    if sources is None:
        sources = task_sources(workspace, evaluation)
    return Storage(datasets, cache / "requests", sources)


def task_sources(workspace: Workspace | None, evaluation: Evaluation) -> dict[str, TaskSource]:
    """Return the YAMLs that a suite has in the workspace, by task."""
    if workspace is None:
        return {}
    return {task.name: TaskSource(workspace.path(task.config)) for task in evaluation.tasks if task.config}


def with_fewshot_seed(family: Family, seed: int | None) -> Family:
    """Return the family with another seed of the shots; its cells have their own folder, and no scores."""
    if seed is None:
        return family
    evaluation = family.evaluation.model_copy(update={"fewshot_seed": seed})
    return family.model_copy(update={"evaluation": evaluation})
