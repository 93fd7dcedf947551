"""Options that several commands share, and how they are read."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mixhub.errors import UsageError, WorkspaceError

if TYPE_CHECKING:
    from mixhub.endpoint import HubChoice
    from mixhub.workspace.paths import Workspace

SeedOption = Annotated[
    Any,
    typer.Option("--seed", "--seeds", help="Seed of the run.", metavar="N|WORD", parser=lambda text: seed(text)),
]
IndexOption = Annotated[
    Any,
    typer.Option(
        "--index",
        "--indices",
        help="Index of the run, for families with a mixture per run.",
        metavar="N",
        parser=lambda text: index(text),
    ),
]
_RANGES = "such as 3, 1,2 or 1-5"
SeedsOption = Annotated[
    str | None, typer.Option("--seed", "--seeds", help=f"Seed of the run, or of several, {_RANGES}.", metavar="N|RANGE")
]
IndicesOption = Annotated[
    str | None,
    typer.Option(
        "--index",
        "--indices",
        help=f"Index of the run, or of several, for families with a mixture per run, {_RANGES}.",
        metavar="N|RANGE",
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All runs that have an export.")]
StepOption = Annotated[
    int | None, typer.Option("--step", help="Step of the export. [default: the last]", metavar="N", min=0)
]
_Label = TypeVar("_Label", int, int | str)
_ASKED: ContextVar[Mapping[str, str]] = ContextVar("asked", default=MappingProxyType({}))
"""The family and the workspace that the user named, by option."""
_WORKSPACE: ContextVar[Workspace | None] = ContextVar("workspace", default=None)
"""The workspace that was opened."""
_ROOT: ContextVar[Any] = ContextVar("root", default=None)
"""The group of all commands."""


def _note(option: str, value: object) -> None:
    if value is not None:
        _ASKED.set({**_ASKED.get(), option: str(value)})


def _note_family(context: typer.Context, value: str | None) -> str | None:
    _ROOT.set(context.find_root().command)
    _note("--family", value)
    return value


def _note_workspace(context: typer.Context, value: Path | None) -> Path | None:
    _ROOT.set(context.find_root().command)
    _note("--workspace", value)
    return value


def note_family(name: str) -> None:
    """Note a family that was named by an argument instead of `--family`."""
    _note("--family", name)


FamilyOption = Annotated[
    str | None,
    typer.Option(
        "--family",
        help="Name of the family. [default: the workspace's]",
        metavar="NAME",
        callback=_note_family,
    ),
]
_WORKSPACE_HELP = (
    "Workspace folder. [default: MIXHUB_WORKSPACE, otherwise the nearest one at or above the current folder]"
)
WorkspaceOption = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help=_WORKSPACE_HELP, metavar="DIR", callback=_note_workspace),
]
_HUB_HELP = (
    "Hub: `local` or an address. [default: MIXHUB_HUB, mixhub.yaml, HF_ENDPOINT or huggingface.co, in this order]"
)
HubOption = Annotated[str | None, typer.Option("--hub", help=_HUB_HELP, metavar="HUB")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PublishedOption = Annotated[bool, typer.Option("--published", help="Use published scores even if measured ones exist.")]
TasksOption = Annotated[
    str | None, typer.Option("--tasks", help="Comma-separated task names. [default: all]", metavar="NAMES")
]


def find_workspace(folder: Path | None) -> Workspace:
    """Open the workspace that `--workspace` names, or the nearest one."""
    from mixhub.workspace.paths import Workspace

    workspace = Workspace.open(folder) if folder is not None else Workspace.find()
    _WORKSPACE.set(workspace)
    return workspace


def workspace_if_any(folder: Path | None) -> Workspace | None:
    """Open the workspace as `find_workspace` does, or return None if none is named or near."""
    from mixhub.workspace.paths import ENVIRONMENT

    try:
        return find_workspace(folder)
    except WorkspaceError as error:
        if error.code != "workspace-missing" or folder is not None or os.environ.get(ENVIRONMENT):
            raise
        return None


def choose_hub(option: str | None, workspace: Workspace | None, *, asked_by: str = "--hub") -> HubChoice:
    """Choose a hub from an option, the environment and the workspace."""
    from mixhub import endpoint

    return endpoint.choose_hub(option, os.environ, workspace.config.hub if workspace else None, asked_by=asked_by)


def _commands_with(option: str) -> Iterator[str]:
    """Yield the commands with an option; `init` and `audit` mean another family by it."""
    for name, command in _ROOT.get().commands.items():
        for sub, each in (getattr(command, "commands", None) or {"": command}).items():
            if name not in ("audit", "init") and any(option in parameter.opts for parameter in each.params):
                yield f"{name} {sub}".strip()


def as_asked(text: str, about: object = None) -> str:
    """Return a text in which the commands that it proposes have the family and the workspace that the user named.

    Args:
        text: the text.
        about: what it is about; if this is the name of a family of the workspace, the commands are for that one.
    """
    asked, workspace = dict(_ASKED.get()), _WORKSPACE.get()
    if workspace is not None and isinstance(about, str) and about in workspace.config.families:
        asked["--family"] = about
        if about == workspace.config.family:
            del asked["--family"]
    for option in ("--workspace", "--family"):
        if (value := asked.get(option)) is not None:
            proposed = rf"\bmixhub (?:{'|'.join(_commands_with(option))})\b(?![^;,`&]*{option})(?! MODEL)"
            added = f" {option} {shlex.quote(value)}"
            text = re.sub(proposed, lambda match, added=added: match[0] + added, text)  # type: ignore[misc]
    return text


def names(option: str, text: str) -> list[str]:
    """Split comma-separated names; raises UsageError if there are none."""
    split = [name.strip() for name in text.split(",") if name.strip()]
    if not split:
        raise UsageError(f"{option} = {text!r}: must be comma-separated names", code="option-value")
    return split


def counts(text: str) -> list[int]:
    """Parse `--num-fewshot`: `0,5`, `0-5`, or both; raises UsageError for anything else."""
    return _numbers("--num-fewshot", text, "shot counts, such as 0,5 or 0-5", most=1000)


def named(seed: str | None, index: str | None, everything: bool) -> str:
    """Return the option that names the same runs, to propose another command for them."""
    if everything:
        return "--all"
    return f"--index {shlex.quote(index)}" if index is not None else f"--seed {shlex.quote(seed or '')}"


def seed(text: str) -> int | str:
    """Parse `--seed` of a command for one run: a number, or a word such as `default`; raises UsageError otherwise."""
    return _one("--seed", text, seeds(text))


def index(text: str) -> int:
    """Parse `--index` of a command for one run; raises UsageError for anything but a number."""
    return _one("--index", text, indices(text))


def _one(option: str, text: str, found: _Label | list[_Label] | None) -> _Label:
    if found is None or isinstance(found, list):
        message = f"{option} = {text!r}: this command takes one run"
        raise UsageError(message, code="option-value", hint="run it once for each", option=option, value=text)
    return found


def seeds(text: str | None) -> int | str | list[int | str] | None:
    """Parse `--seed`: a number or a word, or several as `1,2`, `1-5` or `default,1-3`; raises UsageError otherwise."""
    if text is None:
        return None
    found: list[int | str] = []
    for part in text.split(","):
        is_word = re.fullmatch(r"\s*[A-Za-z][A-Za-z0-9._-]*\s*", part)
        found += [part.strip()] if is_word else _numbers("--seed", part, f"seeds, {_RANGES}", most=10_000, whole=text)
    return found[0] if len(found) == 1 else found


def indices(text: str | None) -> int | list[int] | None:
    """Parse `--index`: a number, or several as `1,2`, `1-64`, or both; raises UsageError otherwise."""
    if text is None:
        return None
    found = _numbers("--index", text, f"numbers, {_RANGES}", most=10_000)
    return found[0] if len(found) == 1 else found


def each_run(seed: str | None, index: str | None) -> list[tuple[int | str | None, int | None]]:
    """Return the seed and the index of each run that `--seed` and `--index` name, each run once."""
    named_seeds, named_indices = seeds(seed), indices(index)
    all_seeds = named_seeds if isinstance(named_seeds, list) else [named_seeds]
    all_indices = named_indices if isinstance(named_indices, list) else [named_indices]
    return list(dict.fromkeys(product(all_seeds, all_indices)))


def _numbers(option: str, text: str, what: str, *, most: int, whole: str | None = None) -> list[int]:
    """The numbers in a list of numbers and ranges, of at most so many; errors show the whole value."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})(?:-([0-9]{1,18}))?\s*", part)
        last = int(match[2] or match[1]) if match else 0
        if match is None or not int(match[1]) <= last < int(match[1]) + most:
            value = whole or text
            raise UsageError(f"{option} = {value!r}: must be {what}", code="option-value", option=option, value=value)
        found += range(int(match[1]), last + 1)
    return found


def require_dry_run(as_json: bool, dry_run: bool) -> None:
    """Raise UsageError for --json without --dry-run: it prints a plan."""
    if as_json and not dry_run:
        raise UsageError("--json prints a plan and needs --dry-run", code="option-missing", hint="add --dry-run")
