"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.spec.family import Family, Run
    from mixhub.workspace.paths import Workspace

SeedOption = Annotated[int | None, typer.Option("--seed", help="The run's seed.", metavar="N", min=0)]
IndexOption = Annotated[
    int | None,
    typer.Option("--index", help="The run's index, in families with one mixture per index.", metavar="N", min=0),
]
AllOption = Annotated[bool, typer.Option("--all", help="All runs that have an export.")]
StepOption = Annotated[
    int | None, typer.Option("--step", help="An earlier step than the last.", metavar="N", min=0, show_default=False)
]
FamilyOption = Annotated[
    str | None, typer.Option("--family", help="Another family than the workspace's.", metavar="NAME")
]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="The workspace; else MIXHUB_WORKSPACE, else the nearest at or above here.",
        metavar="DIR",
    ),
]
HubOption = Annotated[
    str | None,
    typer.Option(
        "--hub", help="`local` or an address; else MIXHUB_HUB, mixhub.yaml, HF_ENDPOINT, huggingface.co.", metavar="HUB"
    ),
]


def open_workspace(folder: Path | None) -> Workspace:
    """The workspace that `--workspace` means."""
    from mixhub.workspace.paths import Workspace

    return Workspace.open(folder) if folder is not None else Workspace.find()


def workspace_if_any(folder: Path | None) -> Workspace | None:
    """The workspace that is named or near; none is fine, since the catalog needs none."""
    from mixhub.errors import WorkspaceError
    from mixhub.workspace.paths import ENVIRONMENT

    if folder is not None or os.environ.get(ENVIRONMENT):
        return open_workspace(folder)
    try:
        return open_workspace(None)
    except WorkspaceError:
        return None


def chosen_runs(
    workspace: Workspace,
    family: Family,
    seed: int | None,
    index: int | None,
    *,
    everything: bool,
    step: int | None = None,
) -> list[Run]:
    """The run that `--seed` or `--index` means, or with `--all` those that have an export of the step; says which have
    none.

    Raises:
        UsageError: both are given, or neither.
        RunError: there is no such export.
    """
    from mixhub.cli.common.console import say
    from mixhub.errors import UsageError

    step = family.training.steps if step is None else step
    if not everything:
        run = family.run(seed=seed, index=index)
        workspace.export(run, step)
        return [run]
    if seed is not None or index is not None:
        raise UsageError("give either --all, or one run")
    runs = family.runs()
    there = [run for run in runs if step in workspace.run_folder(run).export_steps()]
    if not there:
        workspace.export(runs[0], step)
    if missing := [run.revision for run in runs if run not in there]:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        say(f"left out, since they have no export of step {step}: {shown}")
    return there


def open_hub(option: str | None, workspace: Workspace) -> AbstractContextManager[Endpoint]:
    """The endpoint that `--hub` means, for a block; says which it is."""
    return open_any_hub(option, workspace)


@contextmanager
def open_any_hub(option: str | None, workspace: Workspace | None, *, quiet: bool = False) -> Iterator[Endpoint]:
    """The endpoint that `--hub` means, for the block, with a workspace or without; says which it is, unless `quiet`."""
    from mixhub.cli.common.console import say
    from mixhub.endpoint import choose_hub
    from mixhub.hub.remote.connect import open_hub

    choice = choose_hub(option, os.environ, workspace.config.hub if workspace else None)
    with open_hub(choice, workspace) as endpoint:
        if not quiet:
            say(f"hub: {endpoint} (from {choice.source})")
        yield endpoint


def names(option: str, text: str) -> list[str]:
    """`a,b`, as an option takes it, as names; raises UsageError where there is none."""
    from mixhub.errors import UsageError

    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError(f"{option} = {text!r}: names nothing", hint="names with commas, or leave the option out")
    return found


def counts(text: str) -> list[int]:
    """`0,5` or `0-5`, or both, as numbers; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,3})(?:-([0-9]{1,3}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--num-fewshot = {text!r}: must be counts as 0,5 or 0-5")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return found
