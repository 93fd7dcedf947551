"""The one library call that each command makes; `mixhub demo` makes the same ones, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.errors import WorkspaceError
from mixhub.progress import SILENT
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from mixhub.card.page.write import Rendered
    from mixhub.endpoint import Endpoint
    from mixhub.evaluation.datasets import Datasets
    from mixhub.evaluation.options import Options, Storage
    from mixhub.hub.publish.plan import Plan, PushOptions
    from mixhub.hub.publish.push import Pushed
    from mixhub.progress import Progress
    from mixhub.spec.family import Family, Run
    from mixhub.workspace.cells import Cell
    from mixhub.workspace.manifest import Manifest


def pack_corpus(workspace: Workspace, family: Family, tokenizer: Path | None, progress: Progress) -> Manifest:
    """Packs the family's corpus; fetches its tokenizer first, where it has a repo and no folder is given."""
    from mixhub.data.corpus import Corpus
    from mixhub.data.pack import pack
    from mixhub.workspace.manifest import required_domains

    destination = workspace.tokens(family)
    Corpus.open(workspace.corpus(family)).require(required_domains(family))  # before anything is asked of a hub
    if tokenizer is None and family.tokenizer.repo_id is not None:
        packed = destination / "tokenizer"
        tokenizer = packed if packed.is_dir() else _fetched_tokenizer(family.tokenizer.repo_id)
    return pack(family, workspace.corpus(family), destination, tokenizer_folder=tokenizer, progress=progress)


def train_run(workspace: Workspace, family: Family, run: Run, device: str | None, progress: Progress) -> Path:
    """Trains a run to its end; the path of its export. A run that is trained already does not even import torch."""
    from mixhub.training.resume import finished_export

    folder = workspace.run_folder(run)
    if (export := finished_export(family, run, folder)) is not None:
        return export
    from mixhub.training.loop import train

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
    options: Options | None = None,
    datasets: Datasets | None = None,
) -> list[Cell]:
    """Evaluates the export of a run's last step; the cells that were asked for.

    Cells with another seed of the shots than the workspace's family has lie in a folder of their own.
    """
    from mixhub.evaluation.options import Options
    from mixhub.evaluation.sweep import evaluate

    return evaluate(
        family,
        run,
        export=workspace.export(run, family.training.steps),
        results=results_folder(workspace, family, run),
        storage=evaluation_storage(workspace, family, datasets),
        options=options or Options(),
        progress=progress,
    )


def prefetch(
    workspace: Workspace, family: Family, progress: Progress, *, options: Options, datasets: Datasets
) -> tuple[Path, int]:
    """Fetches what the family's evaluation needs from a hub; where its tokenizer lies, and how many requests are built.

    The tokenizer is that of an export, of the token shards, or, before there are any, of the repo that the family has.
    """
    from transformers import LlamaConfig

    from mixhub.evaluation.encoding import Encoder
    from mixhub.evaluation.sweep import prefetch

    config = LlamaConfig(max_position_embeddings=family.architecture.max_position_embeddings)
    tokenizer = _tokenizer(workspace, family)
    requests = prefetch(
        Encoder.load(tokenizer, config),
        family.evaluation,
        storage=evaluation_storage(workspace, family, datasets),
        options=options,
        progress=progress,
    )
    return tokenizer, requests


def results_folder(workspace: Workspace, family: Family, run: Run) -> Path:
    """Where the cells of a run go: apart, when the shots are drawn by another seed than the workspace's family says."""
    own = workspace.family(family.name).evaluation.fewshot_seed
    seed = family.evaluation.fewshot_seed
    return workspace.results(run) if seed == own else workspace.results(run) / f"fewshot-seed-{seed}"


def evaluation_storage(workspace: Workspace, family: Family, datasets: Datasets | None = None) -> Storage:
    """Where a workspace keeps the tasks of a family, documents and built requests."""
    from mixhub.evaluation.datasets import Datasets
    from mixhub.evaluation.options import Storage

    datasets = datasets or Datasets(workspace.datasets)
    return Storage(datasets, workspace.requests, task_configs(workspace, family))


def task_configs(workspace: Workspace, family: Family) -> dict[str, Path]:
    """The YAMLs of the tasks that have one of their own."""
    return {task.name: workspace.task_config(task.config) for task in family.evaluation.tasks if task.config}


def _tokenizer(workspace: Workspace, family: Family) -> Path:
    exports = (workspace.run_folder(run).export(family.training.steps) for run in family.runs())
    for folder in (*exports, workspace.tokens(family) / "tokenizer"):
        if (folder / "tokenizer.json").is_file():
            return folder
    if family.tokenizer.repo_id is None:
        raise WorkspaceError(
            f"{workspace.tokens(family)}: {family.name} has no tokenizer yet, since it is made from the corpus",
            hint="mixhub data pack",
        )
    return _fetched_tokenizer(family.tokenizer.repo_id)


def render_cards(workspace: Workspace, family: Family, progress: Progress, *, force: bool = False) -> list[Path]:
    """Writes all cards of a family; the card of `main` names what was pushed to the workspace's hub."""
    from mixhub.card.page.write import write_cards

    return write_cards(workspace, family, commits=_commits(workspace, family), force=force, progress=progress)


def rendered_cards(workspace: Workspace, family: Family, progress: Progress) -> Rendered:
    """The cards as they would be written now."""
    from mixhub.card.page.write import render_cards

    return render_cards(workspace, family, commits=_commits(workspace, family), progress=progress)


def _commits(workspace: Workspace, family: Family) -> dict[str, str]:
    from mixhub.hub.publish.receipts import pushed_commits, workspace_hub_key

    return pushed_commits(workspace, workspace_hub_key(workspace), family)


def push_run(
    workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, show: Callable[[Plan], None]
) -> Pushed:
    """Plans, shows the plan, and publishes the branch of a run."""
    from mixhub.hub.check.run import require_sound
    from mixhub.hub.publish.compare import compare_with_hub
    from mixhub.hub.publish.plan_run import plan_run
    from mixhub.hub.publish.push import push_plan

    note_withdrawals(workspace, family, endpoint)
    [plan] = compare_with_hub([plan_run(workspace, family, run, endpoint)], workspace, family, endpoint)
    show(plan)
    require_sound(plan.findings, plan.branch)
    require_publishable(workspace, family, endpoint)
    return push_plan(plan, workspace, endpoint)


def note_withdrawals(workspace: Workspace, family: Family, endpoint: Endpoint) -> None:
    """Takes over what others withdrew on the hub: a push keeps it."""
    from mixhub.cli.common.console import say
    from mixhub.hub.publish.withdraw import learn_withdrawals

    for one in learn_withdrawals(workspace, family, endpoint):
        say(f"on {endpoint}: {one.sentence()}")


def require_publishable(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions | None = None,
    *,
    before: Sequence[Plan] = (),
) -> Plan:
    """Refuses what would stop the card after the branches were pushed, and cards that were edited by hand, whose edits
    would not be published; the plan of the card as it is before that, with the options of `plan_card`."""
    from mixhub.card.page.write import require_unedited
    from mixhub.hub.check.run import require_sound
    from mixhub.hub.publish.plan import DEFAULTS
    from mixhub.hub.publish.plan_card import plan_card

    require_unedited(workspace, family)
    plan = plan_card(workspace, family, endpoint, options or DEFAULTS, before=before)
    require_sound(plan.findings, plan.branch)
    return plan


def earlier_steps(workspace: Workspace, family: Family, run: Run) -> list[int]:
    """The steps before the last of which a run has an export or a checkpoint, ascending."""
    folder = workspace.run_folder(run)
    return sorted({*folder.export_steps(), *folder.checkpoint_steps()} - {family.training.steps, 0})


def export_step(workspace: Workspace, family: Family, run: Run, step: int) -> bool:
    """Makes the export of an earlier step from its checkpoint, where there is none; whether it was made."""
    folder = workspace.run_folder(run)
    if step in folder.export_steps() or step not in folder.checkpoint_steps():
        return False
    from mixhub.training.export import export_checkpoint

    export_checkpoint(family, run, step, tokens=workspace.tokens(family), folder=folder)
    return True


def push_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions | None = None,
) -> Pushed:
    """Renders the family's card and publishes it on `main`; when another push came between, it is rendered anew."""
    from mixhub.errors import PushConflictError
    from mixhub.files import locked
    from mixhub.hub.publish.plan import DEFAULTS
    from mixhub.hub.publish.plan_card import plan_card
    from mixhub.hub.publish.push import push_plan

    for last_try in (False, False, True):
        try:
            with locked(workspace.lock("card"), f"the card of {family.name} is being pushed", timeout=120):
                plan = plan_card(workspace, family, endpoint, options or DEFAULTS)
                pushed = push_plan(plan, workspace, endpoint)
            break
        except PushConflictError:
            if last_try:
                raise
    render_cards(workspace, family, SILENT)
    return pushed


def _fetched_tokenizer(repo_id: str) -> Path:
    """A published tokenizer lies where the family's authors put it, not on the workspace's own hub."""
    from mixhub.cli.common.console import say
    from mixhub.endpoint import choose_hub
    from mixhub.errors import HubError
    from mixhub.hub.remote.connect import open_hub
    from mixhub.hub.remote.fetch import fetch_tokenizer

    choice = choose_hub(None, {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}, None)
    say(f"tokenizer: {repo_id} from {choice}")
    try:
        with open_hub(choice, None) as endpoint:
            return fetch_tokenizer(endpoint, repo_id)
    except HubError as error:
        raise HubError(
            f"tokenizer {repo_id}: {error.message}",
            hint="give its folder: mixhub data pack --tokenizer DIR; or have one trained: tokenizer.repo_id: null",
        ) from None
