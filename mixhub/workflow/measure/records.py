"""Results in the formats of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixhub.analysis.every_eval_ever.writing import Written, write_records
from mixhub.analysis.evidence import find_by_model
from mixhub.analysis.selection import Selection
from mixhub.errors import UsageError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, workspace_if_given
from mixhub.workflow.measure.tables import default_source

_ALL = Selection()


def export_results(
    sources: Sequence[str],
    output: str | Path,
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    organization: str | None = None,
    progress: Progress = SILENT,
) -> Written:
    """Write the cells of each source as records of Every Eval Ever, with their samples as instances.

    Args:
        sources: families by name, and files or folders of lm-eval's results; default: the workspace's family.
        output: a folder; the records are below its `data/`.
        workspace: the workspace with further families and with cells.
        selection: suite, tasks, shots, and whether to read samples.
        organization: who measured; default: for the cells of a family in the workspace, the owner of its repo.
        progress: shows the files that are read and the cells that are written.

    Raises:
        UsageError: there is neither a source nor a workspace, or the organization cannot name a folder.
        UnknownNameError: there is no such source or task.
        ResultsError: there are no cells, results cannot be read, or a file with another content is in the way.
    """
    if organization is not None and not (organization.strip(" .") and organization.isprintable()):
        message = f"--organization = {organization!r}: must be a name, in one line"
        raise UsageError(message, code="option-value", option="--organization", value=organization)
    workspace = workspace_if_given(workspace)
    names = sources or [default_source(workspace, "mixhub results RESULTS --format every-eval-ever --output DIR")]
    evidence = [part for name in names for one in find_by_model(name, workspace, progress) for part in one.by_standing]
    return write_records(evidence, Path(output), selection, organization=organization, progress=progress)
