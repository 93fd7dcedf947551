"""Arguments of the workflow functions: a workspace, names of runs, a hub, a mixture."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mixhub.endpoint import Endpoint, HubChoice, checked_token, choose_hub_of_call
from mixhub.errors import MixhubError, UsageError
from mixhub.phrases import listed, ranges
from mixhub.progress import SILENT, Progress
from mixhub.spec import Mixture, catalog
from mixhub.spec.base import read_yaml, validated
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from mixhub.spec import Family, Run
    from mixhub.spec.values import Label

WorkspaceLike = Workspace | str | os.PathLike[str]
"""A workspace, or the folder of one."""
HubLike = str | HubChoice | Endpoint
"""`local` or an address; a chosen hub; or an open endpoint."""


class RunName(TypedDict, total=False):
    """The name of one run."""

    seed: Label | None
    """Its seed, a number or a word such as `default`."""
    index: int | None
    """Its index, in families with one mixture per index."""
    family: str | Family | None
    """The family; None: the workspace's."""


class RunNames(TypedDict, total=False):
    """The names of one run, of several, or of all."""

    seed: Label | Sequence[Label] | None
    """Its seed, or the seeds of several."""
    index: int | Sequence[int] | None
    """Its index, in families with one mixture per index, or those of several."""
    family: str | Family | None
    """The family; None: the workspace's."""
    all: bool
    """All runs, of those that have what is needed, such as an export; cannot be combined with seed or index."""


def open_workspace(workspace: WorkspaceLike) -> Workspace:
    """Return the workspace itself, or the one in a folder.

    Raises:
        WorkspaceError: the folder has no mixhub.yaml.
        SpecError: its mixhub.yaml breaks rules.
    """
    return workspace if isinstance(workspace, Workspace) else Workspace.open(Path(workspace))


def workspace_if_given(workspace: WorkspaceLike | None) -> Workspace | None:
    """Open the workspace as `open_workspace` does; None stays None, where the catalog is enough."""
    return None if workspace is None else open_workspace(workspace)


def find_family(workspace: Workspace | None, family: str | Family | None) -> Family:
    """Return the family itself, or the one with that name in the workspace or catalog; None: the workspace's."""
    if workspace is not None and (family is None or isinstance(family, str)):
        return workspace.family(family)
    assert family is not None
    return catalog.get(family) if isinstance(family, str) else family


def find_run(
    workspace: Workspace, *, seed: Label | None = None, index: int | None = None, family: str | Family | None = None
) -> tuple[Family, Run]:
    """Return a family and one of its runs.

    Raises:
        UsageError: neither a seed nor an index is given, or the family has the other kind.
        UnknownNameError: there is no such family, seed or index.
    """
    family = find_family(workspace, family)
    return family, family.run(seed=seed, index=index)


def named_runs(
    family: Family, seed: Label | Sequence[Label] | None = None, index: int | Sequence[int] | None = None
) -> list[Run]:
    """Return the runs of one or several seeds or indices, each once, in this order; raises as `find_run`."""
    seeds = [seed] if seed is None or isinstance(seed, int | str) else list(dict.fromkeys(seed))
    indices = [index] if index is None or isinstance(index, int) else list(dict.fromkeys(index))
    return [family.run(seed=one, index=other) for one in seeds for other in indices]


def find_runs(
    workspace: Workspace,
    *,
    all: bool = False,
    seed: Label | Sequence[Label] | None = None,
    index: int | Sequence[int] | None = None,
    family: str | Family | None = None,
) -> tuple[Family, list[Run]]:
    """Return a family and those of its runs that are named.

    Raises:
        UsageError: both single runs and all are named, or neither, or the family has the other kind.
        UnknownNameError: there is no such family, seed or index.
    """
    family = find_family(workspace, family)
    require_one_way(family, seed, index, all)
    return family, family.runs() if all else named_runs(family, seed, index)


def find_exports(
    workspace: Workspace,
    progress: Progress,
    *,
    all: bool = False,
    step: int | None = None,
    seed: Label | Sequence[Label] | None = None,
    index: int | Sequence[int] | None = None,
    family: str | Family | None = None,
) -> tuple[Family, list[Run]]:
    """Return a family and those of its runs that are named and have an export of the step.

    Args:
        workspace: the workspace.
        progress: reports which runs are skipped.
        all: all runs that have an export.
        step: an earlier step; None: the last.
        seed, index: of one run, or of several, each of which must have the export.
        family: the family; None: the workspace's.

    Raises:
        UsageError: both single runs and all are named, or neither.
        UnknownNameError: there is no such family, seed or index.
        RunError: there is no such export.
    """
    family, named = find_runs(workspace, all=all, seed=seed, index=index, family=family)
    step = family.training.steps if step is None else step
    if not all:
        for run in named:
            workspace.export(run, step)
        return family, named
    runs, missing = with_export(workspace, family, step)
    if not runs:
        workspace.export(family.runs()[0], step)
    if missing:
        progress.notice(f"skipped, because they have no export of step {step}: {listed(missing, most=5)}")
    return family, runs


def require_one_way(
    family: Family, seed: Label | Sequence[Label] | None, index: int | Sequence[int] | None, all: bool
) -> None:
    """Raise UsageError if both single runs and all are named, or neither although there are several."""
    kind = family.revisions.kind
    if not all and seed is None and index is None and len(family.revisions.labels) > 1:
        available = f"{family.revisions.plural(kind)} {ranges(family.revisions.labels)}"
        message = f"no {kind} given: {family.name} has {available}"
        hint = f"pass one of them, --{kind} N, or --all; in Python {kind}=N, or all=True"
        raise UsageError(message, code="option-missing", hint=hint, option=kind, kind=kind)
    if all and (seed is not None or index is not None):
        raise UsageError("pass either --all or single runs", code="option-conflict")


def with_export(workspace: Workspace, family: Family, step: int) -> tuple[list[Run], list[str]]:
    """Return the runs of a family that have an export of a step, and the revisions of the others."""
    runs = family.runs()
    exported = [run for run in runs if step in workspace.run_folder(run).export_steps()]
    return exported, [run.revision for run in runs if run not in exported]


def read_mixtures(path: Path) -> tuple[Mixture, Mixture | None]:
    """Read the training and validation mixtures from a file: RegMix's YAML, or `domain: weight` without validation.

    Raises:
        SpecError: a mixture breaks rules.
        MixhubError: the file cannot be read.
    """
    data = read_yaml(path, MixhubError)
    if not isinstance(data, dict) or "train" not in data:
        return validated(Mixture, data, str(path)), None
    valid = validated(Mixture, data["valid"], f"{path} (valid)") if "valid" in data else None
    return validated(Mixture, data["train"], str(path)), valid


@contextmanager
def open_hub(
    workspace: WorkspaceLike | None = None,
    hub: HubLike | None = None,
    *,
    token: str | None = None,
    progress: Progress = SILENT,
) -> Iterator[Endpoint]:
    """Open a hub for a block; several calls can share the endpoint with `hub=endpoint`.

    Args:
        workspace: has the embedded hub, `local`, and names the default hub.
        hub: `local`, an address, or an open endpoint; None: the workspace's; without a workspace HF_ENDPOINT or
            huggingface.co.
        token: sent to this hub only; None: huggingface_hub's token for huggingface.co, and none for others.
        progress: reports the hub.

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
        hub = choose_hub_of_call(hub, workspace.config.hub if workspace else None)
    with connect.open_hub(hub, workspace) as endpoint:
        progress.notice(f"hub: {endpoint} (from {hub.source})")
        yield endpoint if token is None else replace(endpoint, token=checked_token(token, "token="))
