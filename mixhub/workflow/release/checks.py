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
    """Check whether runs may be published; makes no request.

    Exports without findings are noted by their hash, so that neither this function nor a push reads them again.

    Args:
        workspace: holds the runs.
        step: an earlier step; None: the last.
        load: also load each, and generate some words.
        progress: shows the files, and reports omitted runs.
        **run_names: seed or index, or all; and family.

    Returns:
        One check per run, with its findings.

    Raises:
        UsageError, UnknownNameError: no such run.
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
    """As `check`, lazily: each run is checked when the iterator reaches it."""
    from mixhub.hub.check.run import check_run
    from mixhub.hub.remote.custom_code import allowed_code

    workspace = open_workspace(workspace)
    family, runs = find_exports(workspace, progress, step=step, **run_names)
    with allowed_code(workspace, family):
        for run in runs:
            yield check_run(workspace, family, run, step=step, load=load, progress=progress)
