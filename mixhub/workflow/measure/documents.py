"""Where an evaluation finds its tasks, documents and built requests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.endpoint import choose_hub_of_call
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.options import Storage
from mixhub.hub.remote.fetch import DatasetFetch

if TYPE_CHECKING:
    from mixhub.spec import Evaluation, Family
    from mixhub.workspace.paths import Workspace


def evaluation_storage(
    workspace: Workspace | None, evaluation: Evaluation, datasets_hub: str | None, *, refresh: bool = False
) -> Storage:
    """Return where tasks, documents and built requests are: in the workspace, or in the user's cache.

    Args:
        workspace: the workspace, if there is one.
        evaluation: the suite, whose tasks may have YAMLs in the workspace.
        datasets_hub: the hub to download documents from: `local` or an address; None: HF_ENDPOINT, or huggingface.co.
        refresh: download documents again if the hub has another commit by now.

    Raises:
        UsageError: `datasets_hub` is neither `local` nor an address.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixhub"
    cache = workspace.cache if workspace else user_cache
    choice = choose_hub_of_call(datasets_hub, None, asked_by="--datasets-hub")
    datasets = Datasets(cache / "datasets", DatasetFetch(choice, workspace), refresh=refresh)
    configs = {}
    if workspace is not None:
        configs = {task.name: workspace.path(task.config) for task in evaluation.tasks if task.config}
    return Storage(datasets, cache / "requests", configs)


def with_fewshot_seed(family: Family, seed: int | None) -> Family:
    """Return the family with another seed of the shots; its cells have their own folder, and no scores."""
    if seed is None:
        return family
    evaluation = family.evaluation.model_copy(update={"fewshot_seed": seed})
    return family.model_copy(update={"evaluation": evaluation})
