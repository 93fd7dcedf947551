"""The one library call that each command makes; `mixhub demo` makes the same ones, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.workspace import Workspace

if TYPE_CHECKING:
    from mixhub.data.pack import Manifest
    from mixhub.endpoint import Endpoint
    from mixhub.evaluate.results import Cell
    from mixhub.family import Family, Run
    from mixhub.hub.plan import Plan
    from mixhub.hub.push import Pushed
    from mixhub.progress import Progress


def pack_corpus(workspace: Workspace, family: Family, tokenizer: Path | None, progress: Progress) -> Manifest:
    """Packs the family's corpus; fetches its tokenizer first, where it has a repo and no folder is given."""
    from mixhub.data.corpus import Corpus, required_domains
    from mixhub.data.pack import pack

    destination = workspace.tokens(family)
    Corpus.open(workspace.corpus(family)).require(required_domains(family))  # before anything is asked of a hub
    if tokenizer is None and family.tokenizer.repo_id is not None:
        packed = destination / "tokenizer"
        tokenizer = packed if packed.is_dir() else _fetched_tokenizer(family.tokenizer.repo_id)
    return pack(family, workspace.corpus(family), destination, tokenizer_folder=tokenizer, progress=progress)


def train_run(workspace: Workspace, family: Family, run: Run, device: str | None, progress: Progress) -> Path:
    """Trains a run to its end; the path of its export. A run that is trained already does not even import torch."""
    from mixhub.train.recipe import finished_export

    folder = workspace.run_folder(run)
    if (export := finished_export(family, run, folder)) is not None:
        return export
    from mixhub.train.loop import train

    return train(
        family,
        run,
        tokens=workspace.tokens(family),
        folder=folder,
        device=device,
        progress=progress,
    )


def evaluate_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    progress: Progress,
    *,
    tasks: Sequence[str] | None = None,
    num_fewshot: Sequence[int] | None = None,
    limit: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> list[Cell]:
    """Evaluates the export of a run's last step; the cells that were asked for."""
    from mixhub.evaluate.sweep import evaluate

    configs = {task.name: workspace.task_config(task.config) for task in family.evaluation.tasks if task.config}
    return evaluate(
        family,
        run,
        export=workspace.export(run, family.training.steps),
        results=workspace.results(run),
        task_configs=configs,
        tasks=tasks,
        num_fewshot=num_fewshot,
        limit=limit,
        device=device,
        dtype=dtype,
        cache=workspace.cache / "datasets",
        progress=progress,
    )


def render_cards(workspace: Workspace, family: Family) -> list[Path]:
    """Writes all cards of a family; the card of `main` names what was pushed to the workspace's hub."""
    from mixhub.card.write import write_cards
    from mixhub.hub.receipts import pushed_commits, workspace_hub_key

    return write_cards(workspace, family, commits=pushed_commits(workspace, workspace_hub_key(workspace), family))


def push_run(
    workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, show: Callable[[Plan], None]
) -> Pushed:
    """Plans, shows the plan, and publishes the branch of a run; refuses first what would stop the card after it."""
    from mixhub.hub.push import execute, plan_card, plan_run

    plan = plan_run(workspace, family, run, endpoint)
    plan_card(workspace, family, endpoint)
    show(plan)
    return execute(plan, workspace, endpoint)


def push_card(workspace: Workspace, family: Family, endpoint: Endpoint) -> Pushed:
    """Renders the family's card and publishes it on `main`; when another push came between, it is rendered anew."""
    from mixhub.errors import PushConflictError
    from mixhub.files import locked
    from mixhub.hub.push import execute, plan_card

    for last_try in (False, False, True):
        try:
            with locked(workspace.lock("card"), f"the card of {family.name} is being pushed", timeout=120):
                pushed = execute(plan_card(workspace, family, endpoint), workspace, endpoint)
            break
        except PushConflictError:
            if last_try:
                raise
    render_cards(workspace, family)
    return pushed


def _fetched_tokenizer(repo_id: str) -> Path:
    """A published tokenizer lies where the family's authors put it, not on the workspace's own hub."""
    from mixhub.cli.console import say
    from mixhub.endpoint import choose_hub
    from mixhub.errors import HubError
    from mixhub.hub.fetch import fetch_tokenizer
    from mixhub.hub.opening import opened

    choice = choose_hub(None, {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}, None)
    say(f"tokenizer: {repo_id} from {choice}")
    try:
        with opened(choice, None) as endpoint:
            return fetch_tokenizer(endpoint, repo_id)
    except HubError as error:
        raise HubError(
            f"tokenizer {repo_id}: {error.message}",
            hint="give its folder: mixhub data pack --tokenizer DIR; or have one trained: tokenizer.repo_id: null",
        ) from None
