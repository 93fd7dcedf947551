"""What the functions of the workflow take: a workspace, names of runs, a hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mixhub.endpoint import Endpoint, HubChoice, checked_token, choose_hub
from mixhub.errors import UsageError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from mixhub.spec import Family, Run

WorkspaceLike = Workspace | str | os.PathLike[str]
"""A workspace, or the folder that holds its mixhub.yaml."""
HubLike = str | HubChoice | Endpoint
"""`local` or an address; what the environment chose; or an endpoint that is open."""


class RunName(TypedDict, total=False):
    """How one run is named."""

    seed: int | None
    """Its seed."""
    index: int | None
    """Its index, in families with one mixture per index."""
    family: str | Family | None
    """The family; None: the workspace's."""


class RunNames(RunName, total=False):
    """How one run, or every run, is named."""

    all: bool
    """Every run that has an export; not together with a seed or an index."""


def open_workspace(workspace: WorkspaceLike) -> Workspace:
    """The workspace itself, or the one in a folder.

    Raises:
        WorkspaceError: the folder has no mixhub.yaml.
        SpecError: its mixhub.yaml breaks rules.
    """
    return workspace if isinstance(workspace, Workspace) else Workspace.open(Path(workspace))


def workspace_if_given(workspace: WorkspaceLike | None) -> Workspace | None:
    """As `open_workspace`; None for None, where the catalog is enough."""
    return None if workspace is None else open_workspace(workspace)


def find_family(workspace: Workspace | None, family: str | Family | None) -> Family:
    """The family itself, or the one of that name in the workspace or the catalog; None: the workspace's."""
    if workspace is not None and (family is None or isinstance(family, str)):
        return workspace.family(family)
    assert family is not None
    return catalog.get(family) if isinstance(family, str) else family


def find_run(
    workspace: Workspace, *, seed: int | None = None, index: int | None = None, family: str | Family | None = None
) -> tuple[Family, Run]:
    """The family and the run that the names mean.

    Raises:
        UsageError: neither a seed nor an index is given, or the family has the other kind.
        UnknownNameError: there is no such family, seed or index.
    """
    family = find_family(workspace, family)
    return family, family.run(seed=seed, index=index)


def find_exports(
    workspace: Workspace,
    progress: Progress,
    *,
    seed: int | None = None,
    index: int | None = None,
    all: bool = False,
    step: int | None = None,
    family: str | Family | None = None,
) -> tuple[Family, list[Run]]:
    """The family and the runs that the names mean, each with an export of the step.

    Args:
        workspace: where they lie.
        progress: reports which runs of all are omitted.
        seed, index, all, family: as `RunNames` has them.
        step: an earlier step; None: the last.

    Raises:
        UsageError: both one run and all are named, or neither.
        UnknownNameError: there is no such family, seed or index.
        RunError: there is no such export.
    """
    family = find_family(workspace, family)
    step = family.training.steps if step is None else step
    if not all:
        run = family.run(seed=seed, index=index)
        workspace.export(run, step)
        return family, [run]
    require_one_way(seed, index, all)
    runs, missing = with_export(workspace, family, step)
    if not runs:
        workspace.export(family.runs()[0], step)
    if missing:
        progress.notice(f"left out, since they have no export of step {step}: {listed(missing, most=5)}")
    return family, runs


def require_one_way(seed: int | None, index: int | None, all: bool) -> None:
    """Raises UsageError when one run and all are named."""
    if all and (seed is not None or index is not None):
        raise UsageError("give either --all, or one run", code="option-conflict", options=("--all", "--seed"))


def with_export(workspace: Workspace, family: Family, step: int) -> tuple[list[Run], list[str]]:
    """The runs of a family that have an export of a step, and the revisions of the others."""
    runs = family.runs()
    exported = [run for run in runs if step in workspace.run_folder(run).export_steps()]
    return exported, [run.revision for run in runs if run not in exported]


@contextmanager
def open_hub(
    workspace: WorkspaceLike | None = None,
    hub: HubLike | None = None,
    *,
    token: str | None = None,
    progress: Progress = SILENT,
) -> Iterator[Endpoint]:
    """The endpoint of a hub, for a block; several calls may then share it, by `hub=endpoint`.

    Args:
        workspace: its embedded hub is what `local` means, and its mixhub.yaml names the hub if none is given.
        hub: `local`, an address, or an endpoint, which is taken as it is; None: the workspace's; without a workspace
            HF_ENDPOINT, else huggingface.co.
        token: sent to this hub only; None: for huggingface.co the one that huggingface_hub has, else none.
        progress: reports which hub it is.

    Raises:
        UsageError: the hub is neither `local` nor an address, or `local` without a workspace.
        HubUnreachableError: nothing answers there.
    """
    if isinstance(hub, Endpoint):
        yield hub
        return
    from mixhub.hub.remote import connect

    workspace = workspace_if_given(workspace)
    if not isinstance(hub, HubChoice):
        environ = {"HF_ENDPOINT": os.environ.get("HF_ENDPOINT", "")}
        hub = choose_hub(hub, environ, workspace.config.hub if workspace else None, asked_by="hub=")
    with connect.open_hub(hub, workspace) as endpoint:
        progress.notice(f"hub: {endpoint} (from {hub.source})")
        yield endpoint if token is None else replace(endpoint, token=checked_token(token, "token="))
