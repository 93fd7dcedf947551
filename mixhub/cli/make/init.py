"""`mixhub init`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next, say_wrapped
from mixhub.cli.common.options import choose_hub, counts, names
from mixhub.errors import UsageError
from mixhub.phrases import listed, plural, ranges, strides

if TYPE_CHECKING:
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace

_NAMESPACE_HELP = (
    "Owner of the repos to push to. Without --mixture, the workspace is for your own runs of the family's recipe. "
    "[default: the owner in the family's repo_id]"
)
_NAME_HELP = (
    "Name of the new family. [default: with --from-model, that of DIR; for a replication, <family>-replication]"
)
_MODEL_HELP = (
    "Describe the family of an existing model: a folder in Transformers format, a folder of several that are named "
    "after their runs, a repo with branches for runs or steps, or several repos, such as 'lab/model-seed{seed}'."
)
_TASKS_HELP = "With --from-model: comma-separated names of the tasks of its suite. [default: those of --family]"
_SHOTS_HELP = "With --from-model: shot counts of its suite, such as 0,5 or 0-5. [default: those of --family]"
_HUB_HELP = "`local` for the embedded hub, or an address. [default: local; for a repo with --from-model, the repo's]"


def init(
    folder: Annotated[Path, typer.Argument(help="Workspace folder; created if missing.", metavar="DIR")] = Path(),
    family: Annotated[
        str, typer.Option(help="Family to work on, to replicate or to extend.", metavar="NAME")
    ] = "human-1b",
    mixture: Annotated[
        Path | None, typer.Option(help="YAML file with the mixture of the new family.", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option(help=_NAME_HELP, metavar="NAME")] = None,
    namespace: Annotated[str | None, typer.Option(help=_NAMESPACE_HELP, metavar="NAME")] = None,
    hub: Annotated[str | None, typer.Option(help=_HUB_HELP, metavar="HUB")] = None,
    from_model: Annotated[str | None, typer.Option(help=_MODEL_HELP, metavar="DIR|REPO")] = None,
    tasks: Annotated[str | None, typer.Option(help=_TASKS_HELP, metavar="NAMES")] = None,
    num_fewshot: Annotated[str | None, typer.Option(help=_SHOTS_HELP, metavar="COUNTS")] = None,
) -> None:
    """Create a workspace: a folder with a mixhub.yaml, where mixhub keeps everything it makes.

    With --family alone, work on the published models: evaluate, verify, adopt. With --namespace as well, train your own
    runs of its recipe, a replication; seeds that are not published are chosen, and written to mixhub.yaml.

    With --mixture and --name, also define a new family that extends --family. The mixture file is in RegMix's YAML
    format, or has one line `domain: weight` per domain.

    With --from-model, define the family of a model that was trained elsewhere: its architecture, tokenizer, context and
    revisions. Nothing of its training is assumed; a mixture that is known is given by --mixture.
    """
    from mixhub import workflow

    suite = {"tasks": tasks, "num_fewshot": num_fewshot}
    if from_model is not None:
        options: workflow.FamilyOptions = {
            "name": name,
            "mixture": mixture,
            "base": family,
            "tasks": names("--tasks", tasks) if tasks is not None else None,
            "num_fewshot": counts(num_fewshot) if num_fewshot is not None else None,
            "namespace": namespace,
        }
        is_folder = Path(from_model).is_dir()
        at = hub if is_folder else choose_hub(hub, None)
        made = workflow.init_from_model(folder, from_model, hub=at, progress=progress(), **options)
        _explain_described(made, from_model, folder)
        return
    if given := [f"--{key.replace('_', '-')}" for key, value in suite.items() if value is not None]:
        message = f"{given[0]} needs --from-model: other families take their suite from --family"
        raise UsageError(message, code="option-missing", options=(*given, "--from-model"))
    workspace = workflow.init(
        folder, family=family, mixture=mixture, name=name, namespace=namespace, hub=hub or "local"
    )
    _explain_family(workspace, folder, is_new=mixture is not None)


def _explain_family(workspace: Workspace, folder: Path, *, is_new: bool) -> None:
    """Print which family the workspace is for, and the next steps."""
    made = workspace.family()
    run = made.runs()[0]
    say(f"created {workspace.root} for {made.name} ({made.repo_id} on hub {workspace.config.hub})")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    adopt = f"{where}mixhub adopt DIR --{run.kind} {run.label}"
    if run.seed is None:
        say(f"it is for the published models; next: {adopt}")
        say(f"to train your own runs of the recipe: mixhub init DIR --family {made.name} --namespace NAME")
        return
    if made.replicates is not None:
        _explain_replication(made)
        download = f"mixhub data download --for {made.name} --subset"
        say("next: see how much text it needs, download it, then pack and train")
        say(f"  {where}{download} --dry-run")
        say(f"  {download}")
        say(f"  mixhub data pack && mixhub train --{run.kind} {run.label}")
        return
    corpus = workspace.corpus(made).relative_to(workspace.root)
    say(f"next: add text as {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.label}")
    say(f"or, if it was trained elsewhere: {adopt}")
    if is_new:
        say("before you publish, review license, language, datasets and seeds in mixhub.yaml")


def _explain_described(workspace: Workspace, model: str, folder: Path) -> None:
    """Print what was found, what is unknown, and how to adopt the models."""
    made = workspace.family()
    run, architecture = made.runs()[0], made.architecture
    say(f"created {workspace.root} for {made.name} ({made.repo_id} on hub {workspace.config.hub})")
    context = f", context {architecture.context:,} tokens" if architecture.context else ""
    say(f"architecture {architecture.model_type}{context}; tokenizer of {made.tokenizer.vocab_size:,} ids")
    for line in _revisions(made):
        say_wrapped(line)
    if made.card.mixture_note is not None:
        say("its mixture is not known; if you know it, correct mixture and card.mixture_note in mixhub.yaml")
    say("before you publish, review repo_id, revisions, evaluation and card.license in mixhub.yaml")
    option = f"--{run.kind} {run.label}"
    elsewhere = "" if folder.resolve() == Path.cwd() else f" --workspace {quote(str(folder))}"
    if Path(model).is_dir():
        one = Path(model) / run.branch
        say_next(f"mixhub adopt {quote(str(one if one.is_dir() else Path(model)))} {option}{elsewhere}")
        return
    stated = workspace.config.families[made.name]["revisions"]  # without a name for branches, they name no runs
    which = "--all" if {"pattern", "branch"} & {*stated} else f"--revision main {option}"
    say_next(f"mixhub adopt {quote(model)} {which}{elsewhere}")


def _revisions(family: Family) -> Iterator[str]:
    """Yield what the family says of its runs, and of their steps."""
    revisions, run = family.revisions, family.runs()[0]
    kind = revisions.kind
    named = f"{revisions.plural(kind)} {ranges(revisions.labels)}"
    if family.has_repo_per_run:
        yield f"{named}, each in a repo of its own, {family.repo_id}, on {run.branch}"
    elif len(revisions.labels) == 1:
        label = f"; its {kind} is not known, and {run.label} stands for it" if revisions.seeds_are_labels else ""
        yield f"one run, {kind} {run.label}, as {run.branch}{label}"
    else:
        yield f"{named}, as {revisions.branch or revisions.pattern}"
    for stage in revisions.all_stages:
        if stage.steps:
            whose = (
                "shared by all runs, "
                if stage.is_shared and len(revisions.labels) > 1 and not family.has_repo_per_run
                else ""
            )
            steps = listed(strides(stage.steps), most=6)
            yield f"{plural(len(stage.steps), 'step')}, {whose}as {stage.step_pattern}: {steps}"
    if revisions.main is not None:
        yield f"main has the weights of {kind} {revisions.main}"


def _explain_replication(family: Family) -> None:
    seeds = [run.seed for run in family.runs()]
    say(f"it replicates {family.replicates}: the same recipe and mixture, with your own runs")
    if family.seeds_origin == "published":
        say(f"seed of its runs, as published: {seeds[0]}")
    else:
        say(
            f"seeds, chosen because those of the original runs are not published: {seeds[0]}, {seeds[1]}, … {seeds[-1]}"
        )
        say("to choose others, change revisions.chosen_seeds in mixhub.yaml before you train")
