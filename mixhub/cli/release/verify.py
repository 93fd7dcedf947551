"""`mixhub verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import HubOption, JsonOption, WorkspaceOption, choose_hub, workspace_if_any

if TYPE_CHECKING:
    from mixhub.hub.verify.repo import Verification

FamilyArgument = Annotated[
    str | None,
    typer.Argument(help="A family, or a repo_id of anybody; else the workspace's family.", metavar="FAMILY"),
]
DeepOption = Annotated[bool, typer.Option("--deep", help="Download the weights: hash, NaN, load and generate.")]


def verify(
    name: FamilyArgument = None,
    deep: DeepOption = False,
    as_json: JsonOption = False,
    hub: HubOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Look whether a repo is what its family says; exit with 1 if something is wrong.

    Every branch there and whole, no two with the same weights, configs and tokenizers alike, weights that fit them,
    lineage and recipe as the family says, cards that say what the results say. It works on repos that mixhub did not
    make, too; weights are downloaded with --deep only.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars, progress, say, say_json, show_hints
    from mixhub.findings import errors
    from mixhub.phrases import plural

    hide_client_bars()
    workspace = workspace_if_any(workspace_dir)
    hub_choice = choose_hub(hub, workspace)
    verification = workflow.verify(
        workspace, family=name, hub=hub_choice, deep=deep, progress=progress(as_json=as_json)
    )
    if as_json:
        findings = [finding.to_data() for finding in verification.findings]
        say_json({**asdict(verification), "findings": findings})
    else:
        _show(verification)
        show_hints(verification.findings)
        end = plural(len(verification.findings), "finding") if verification.findings else "nothing found"
        say(f"{verification.repo_id}: {plural(len(verification.branches), 'branch', 'branches')}, {end}")
    if errors(verification.findings):
        raise typer.Exit(1)


def _show(verification: Verification) -> None:
    """Prints a table of the branches, then a line for each finding."""
    from mixhub.cli.common.console import show_findings, show_table
    from mixhub.findings import errors
    from mixhub.phrases import size

    wrong = {finding.where for finding in errors(verification.findings)}
    rows = [
        (
            branch.name,
            branch.commit[:12] if branch.commit else "missing",
            branch.weights[:12] if branch.weights else "-",
            branch.files,
            size(branch.size),
            "told" if branch.tells_lineage else "-",
            "wrong" if branch.name in wrong else "ok",
        )
        for branch in verification.branches
    ]
    show_table(["branch", "commit", "weights", "files", "size", "lineage", "state"], rows)
    show_findings(verification.findings)
