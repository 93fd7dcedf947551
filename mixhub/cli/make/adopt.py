"""`mixhub adopt`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.console import hide_client_bars, progress, say, say_next
from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndicesOption,
    SeedsOption,
    WorkspaceOption,
    choose_hub,
    find_workspace,
    indices,
    seeds,
)
from mixhub.errors import UsageError

if TYPE_CHECKING:
    from mixhub.workflow import Adopted

_MODEL_HELP = (
    "Folder of a causal language model in Transformers format (config, safetensors, tokenizer), or a repo on the hub; "
    "or several, such as 'lab/model-seed{seed}'."
)
_REVISION_HELP = (
    "With REPO: branch, tag or commit. [default: the branch of the run, or of --step, as the family names it]"
)
_ALL_HELP = "With REPO: all runs of the family that are published."
_STEP_HELP = (
    "Number of optimizer updates made. [default: from the folder if recorded there, otherwise unknown; with REPO, the "
    "last]"
)
_MIXTURE_HELP = "Training mixture, if the folder does not record it: RegMix's YAML, or lines `domain: weight`."
_TOKENIZER_HELP = "Tokenizer folder. [default: the model folder]"


def adopt(
    model: Annotated[str, typer.Argument(help=_MODEL_HELP, metavar="DIR|REPO")],
    seed: SeedsOption = None,
    index: IndicesOption = None,
    every: Annotated[bool, typer.Option("--all", help=_ALL_HELP)] = False,
    revision: Annotated[str | None, typer.Option(help=_REVISION_HELP, metavar="NAME")] = None,
    step: Annotated[int | None, typer.Option(help=_STEP_HELP, metavar="N", min=0)] = None,
    mixture: Annotated[Path | None, typer.Option(help=_MIXTURE_HELP, metavar="FILE")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help=_TOKENIZER_HELP, metavar="DIR")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing export.")] = False,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Take models trained elsewhere into the workspace, from a folder or a hub, as the exports of runs.

    The copy is checked. What is not known about its training is recorded as unknown in lineage.json and on the card.
    """
    from mixhub import workflow
    from mixhub.spec.values import repo_id_problem

    hide_client_bars()
    workspace = find_workspace(workspace_dir)
    options: dict[str, Any] = {"step": step, "mixture": mixture, "tokenizer": tokenizer, "replace": replace}
    options |= {"seed": seeds(seed), "index": indices(index), "family": family_name}
    is_folder = Path(model).exists() or repo_id_problem(re.sub(r"\{.*?\}", "1", model)) is not None
    if not is_folder:
        at = choose_hub(hub, workspace)
        adopted = workflow.adopt_from_hub(
            workspace, model, revision=revision, hub=at, all=every, progress=progress(), **options
        )
    else:
        of_repo = {"--revision": revision is not None, "--all": every, "--hub": hub is not None}
        if given := [option for option, is_given in of_repo.items() if is_given]:
            what = "a folder" if Path(model).exists() else "neither a folder nor a repo_id"
            message = f"{given[0]} needs a repo: {model} is {what}"
            raise UsageError(message, code="option-conflict", options=tuple(given))
        for option, value in (("--seed", options["seed"]), ("--index", options["index"])):
            if isinstance(value, list):
                raise UsageError(f"{option}: must be one, for a folder", code="option-value", option=option)
        adopted = [workflow.adopt(workspace, model, progress=progress(), **options)]
    for one in adopted:
        _explain(one, model if is_folder else "")
    if adopted:
        is_published = model in (adopted[0].family.repo_id, adopted[0].run.repo_id)
        _say_next(adopted, every, is_published=is_published)


def _explain(adopted: Adopted, model: str) -> None:
    """Print what became of a model, and what is not known of it."""
    from mixhub.workspace.lineage import UNKNOWN

    unknown = [key for key, value in adopted.lineage.to_data().items() if value == UNKNOWN]
    source = f"{model} " if model else ""
    say(f"adopted {source}as {adopted.run.revision} of {adopted.family.name}: {adopted.export}")
    say(f"weights {adopted.lineage.weights_sha256[:12]}" + (f"; unknown: {', '.join(unknown)}" if unknown else ""))
    for name, revision in adopted.repeated:
        say(f"warning: {name} {revision} has the same weights; one of the two is wrong")
    if adopted.left_out:
        say(f"not copied: {', '.join(adopted.left_out)}")
    steps = adopted.family.training.steps
    if adopted.step == steps:
        return
    say(f"this is an earlier step of a run of {steps} steps, and will have no scores")
    if steps not in adopted.family.revisions.all_stages[-1].steps:
        say(f"if it is the last step, add this to the family in mixhub.yaml: training: {{steps: {adopted.step}}}")


def _say_next(adopted: list[Adopted], every: bool, *, is_published: bool) -> None:
    """Print what to do with the models: those from the family's own repo are published already."""
    one = adopted[0]
    option = f"--{one.run.kind} {','.join(str(each.run.label) for each in adopted)}"
    option = "--all" if every else option
    is_last = one.step == one.family.training.steps
    if is_published:
        evaluate = f" && mixhub evaluate {option} && mixhub card render"
        say_next(
            f"mixhub check {option} --load{evaluate}" if is_last else f"mixhub check {option} --step {one.step} --load"
        )
        return
    option = option if is_last else f"{option} --step {one.step}"
    say_next(f"mixhub check {option} --load && mixhub card render && mixhub push {option} --dry-run")
