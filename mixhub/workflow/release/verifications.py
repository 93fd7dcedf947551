"""Whether a hub holds what a family says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mixhub.errors import UsageError
from mixhub.findings import Finding
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family
from mixhub.workflow.inputs import HubLike, WorkspaceLike, open_hub, workspace_if_given

if TYPE_CHECKING:
    from mixhub.hub.verify.repo import Verification
    from mixhub.workspace.paths import Workspace


def verify(
    workspace: WorkspaceLike | None = None,
    *,
    family: str | Family | None = None,
    hub: HubLike | None = None,
    deep: bool = False,
    progress: Progress = SILENT,
) -> Verification:
    """Read all branches of a repo that hold models, and `main`, and report what is wrong.

    Of a family with a repo for each run, all repos are read, and their branches are compared with each other.

        mixhub.verify(family="human-1b")                            # the published family
        mixhub.verify("my-work")                                    # the workspace's hub
        mixhub.verify(family="EleutherAI/pythia-160m")              # any repo

    Args:
        workspace: compare with its family, hub and exports, and note there what was verified; None: use the catalog.
        family: a family or a repo_id; None: the workspace's family.
        hub: `local`, an address or an endpoint; None: the workspace's, without a workspace HF_ENDPOINT, otherwise
            huggingface.co.
        deep: download the weights, too: hash them, check every number, load and generate.
        progress: shows the branches.

    Raises:
        UsageError: neither a workspace nor a family is given, or the hub is not an address.
        UnknownNameError: there is no such family.
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or none of several, or does not answer.
    """
    from mixhub.hub.load.names import family_of, repo_hint
    from mixhub.hub.publish.receipts import hub_key, local_weights
    from mixhub.hub.verify.receipts import note_verification
    from mixhub.hub.verify.repo import verify, verify_repos

    workspace = workspace_if_given(workspace)
    family = family or (workspace.config.family if workspace else None)
    if family is None:
        hint = "pass a family or a repo: mixhub verify human-1b"
        raise UsageError("no family given", code="option-missing", hint=hint, option="FAMILY")
    spec, repo_id = (family, family.repo_id) if isinstance(family, Family) else family_of(family, workspace)
    local = local_weights(workspace, spec) if workspace is not None and spec is not None else {}
    with open_hub(workspace, hub, progress=progress) as endpoint, repo_hint(workspace, spec):
        planned = _planned(workspace, spec, hub_key(endpoint)) if workspace is not None and spec is not None else ()
        known: Mapping[str, Any] = {"local": local, "planned": planned, "deep": deep, "progress": progress}
        if spec is not None and spec.has_repo_per_run:
            verification = verify_repos(endpoint, spec, **known)
        else:
            verification = verify(endpoint, repo_id, spec, **known)
        if workspace is not None:
            try:
                note_verification(workspace, hub_key(endpoint), verification, deep=deep)
            except OSError as error:  # a full or read-only disk does not change what was found
                message = f"the receipt of this verification cannot be written ({error.filename})"
                unnoted = Finding("receipt-unwritable", repo_id, message, level="warning")
                verification = replace(verification, findings=(*verification.findings, unnoted))
    return verification


def _planned(workspace: Workspace, family: Family, hub: str) -> list[str]:
    """Return the revisions of a family of this workspace without a run in it, or a push from it."""
    from mixhub.hub.publish.receipts import read_receipts

    if family.name not in workspace.config.families:
        return []
    runs = [run for run in family.runs() if run.branch not in read_receipts(workspace, hub, run.repo_id)]
    return [run.revision for run in runs if not workspace.run_folder(run).path.exists()]
