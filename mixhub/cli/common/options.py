"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixhub.endpoint import HubChoice
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
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON.")]
PublishedOption = Annotated[
    bool, typer.Option("--published", help="Published scores, also where there are measured ones.")
]
TasksOption = Annotated[str | None, typer.Option("--tasks", help="Only these, with commas.", metavar="NAMES")]


def find_workspace(folder: Path | None) -> Workspace:
    """The workspace that `--workspace` means."""
    from mixhub.workspace.paths import Workspace

    return Workspace.open(folder) if folder is not None else Workspace.find()


def workspace_if_any(folder: Path | None) -> Workspace | None:
    """The workspace that is named or near; none is fine, since the catalog needs none."""
    from mixhub.errors import WorkspaceError
    from mixhub.workspace.paths import ENVIRONMENT

    if folder is not None or os.environ.get(ENVIRONMENT):
        return find_workspace(folder)
    try:
        return find_workspace(None)
    except WorkspaceError:
        return None


def choose_hub(option: str | None, workspace: Workspace | None, *, asked_by: str = "--hub") -> HubChoice:
    """The hub that an option means, with a workspace or without, by the environment too."""
    from mixhub import endpoint

    return endpoint.choose_hub(option, os.environ, workspace.config.hub if workspace else None, asked_by=asked_by)


def names(option: str, text: str) -> list[str]:
    """`a,b`, as an option takes it, as names; raises UsageError where there is none."""
    from mixhub.errors import UsageError

    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError(
            f"{option} = {text!r}: names nothing",
            code="option-value",
            hint="names with commas, or leave the option out",
            option=option,
            value=text,
        )
    return found


def counts(text: str) -> list[int]:
    """`0,5` or `0-5`, or both, as numbers; raises UsageError for anything else."""
    from mixhub.errors import UsageError

    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,3})(?:-([0-9]{1,3}))?\s*", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(
                f"--num-fewshot = {text!r}: must be counts as 0,5 or 0-5",
                code="option-value",
                option="--num-fewshot",
                value=text,
            )
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return found


def require_dry_run(as_json: bool, dry_run: bool) -> None:
    """Raises UsageError for --json where something would be sent: it prints a plan."""
    from mixhub.errors import UsageError

    if as_json and not dry_run:
        raise UsageError(
            "--json goes with --dry-run: it prints the plan",
            code="option-missing",
            hint="--dry-run --json",
            option="--dry-run",
        )
