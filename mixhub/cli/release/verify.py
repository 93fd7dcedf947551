"""`mixhub verify`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mixhub.cli.common import options

FamilyArgument = Annotated[
    str | None, typer.Argument(help="A family, or any repo_id. [default: the workspace's family]", metavar="FAMILY")
]
DeepOption = Annotated[
    bool, typer.Option("--deep", help="Download the weights, hash them, look for NaN, load the models and generate.")
]


def verify(
    name: FamilyArgument = None,
    deep: DeepOption = False,
    as_json: options.JsonOption = False,
    hub: options.HubOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Verify that a repo on a hub matches its family; exit with 1 if not, with 3 if that could not be checked.

    Every branch must exist and be complete, no two branches may have the same weights, configs and tokenizers must be
    equal and fit the weights, lineage and recipe must match the family, and cards must match the results. Works on
    anybody's repo, and compares the repos of a family that has one for each run. Weights are downloaded only with
    --deep.
    """
    from mixhub import workflow
    from mixhub.cli.common import console
    from mixhub.findings import errors, exit_status, unchecked
    from mixhub.phrases import plural, size

    console.hide_client_bars()
    workspace = options.workspace_if_any(workspace_dir)
    chosen = options.choose_hub(hub, workspace)
    if workspace is not None and name in workspace.family_names():
        options.note_family(name)
    progress = console.progress(as_json=as_json)
    verification = workflow.verify(workspace, family=name, hub=chosen, deep=deep, progress=progress)
    findings, branches = verification.findings, verification.branches
    states = {finding.where: "withdrawn" for finding in findings if finding.code == "weights-withdrawn"}
    states |= {finding.where: "not checked" for finding in unchecked(findings)}
    states |= {finding.where: "wrong" for finding in errors(findings)}
    if as_json:
        console.say_json({**asdict(verification), "findings": [finding.to_data() for finding in findings]})
    else:
        for repo_id in dict.fromkeys(branch.repo_id for branch in branches):
            rows = [
                (
                    branch.name,
                    branch.commit[:12] if branch.commit else "missing",
                    branch.weights[:12] if branch.weights else "-",
                    branch.files,
                    size(branch.size),
                    "yes" if branch.tells_lineage else "-",
                    states.get(verification.where(branch), "ok" if branch.commit else "planned"),
                )
                for branch in branches
                if branch.repo_id == repo_id
            ]
            title = None if repo_id == verification.repo_id else repo_id
            console.show_table(["branch", "commit", "weights", "files", "size", "lineage", "state"], rows, title=title)
        console.show_findings(findings)
        end = plural(len(findings), "finding") if findings else "no findings"
        repos = {branch.repo_id for branch in branches}
        where = f"{plural(len(repos), 'repo')}, " if len(repos) > 1 else ""
        console.say(f"{verification.repo_id}: {where}{plural(len(branches), 'branch', 'branches')}, {end}")
    if status := exit_status(findings):
        raise typer.Exit(status)
