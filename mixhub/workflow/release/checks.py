"""Whether runs may be published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Unpack

from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import RunNames, WorkspaceLike, find_exports, open_workspace

if TYPE_CHECKING:
    from mixhub.hub.check.run import RunCheck


def check(
    workspace: WorkspaceLike,
    *,
    step: int | None = None,
    load: bool = False,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> list[RunCheck]:
    """Checks whether runs may be published; makes no request.

    What passed is noted by its hash, so that neither this function nor a push reads it again.

    Args:
        workspace: where the runs lie.
        step: an earlier step; None: the last.
        load: load each, too, and let it write some words.
        progress: shows the files, and reports which runs of all are omitted.
        **run_names: seed or index, or all; and family.

    Returns:
        The checks, one a run; each has its findings.

    Raises:
        UsageError, UnknownNameError: the names mean no run.
        RunError: there is no export of that step.
    """
    return list(check_each(workspace, step=step, load=load, progress=progress, **run_names))


def check_each(
    workspace: WorkspaceLike,
    *,
    step: int | None = None,
    load: bool = False,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> Iterator[RunCheck]:
    """As `check`, one run after the other: each is checked when it is asked for."""
    from mixhub.hub.check.run import check_run

    workspace = open_workspace(workspace)
    family, chosen = find_exports(workspace, progress, step=step, **run_names)
    for run in chosen:
        yield check_run(workspace, family, run, step=step, load=load, progress=progress)
