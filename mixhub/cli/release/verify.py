"""`mixhub verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import HubOption, WorkspaceOption, open_any_hub, workspace_if_any

if TYPE_CHECKING:
    from mixhub.hub.verify.repo import Verification


def verify(
    name: Annotated[
        str | None,
        typer.Argument(help="A family, or a repo_id of anybody; else the workspace's family.", metavar="FAMILY"),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Download the weights: hash, NaN, load and generate.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    hub: HubOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Look whether a repo is what its family says; exit with 1 if something is wrong.

    Every branch there and whole, no two with the same weights, configs and tokenizers alike, weights that fit them,
    lineage and recipe as the family says, cards that say what the results say. It works on repos that mixhub did not
    make, too; weights are downloaded with --deep only.
    """
    from mixhub.cli.common.console import counted, hide_client_bars, progress, say
    from mixhub.cli.release.check import show_hints
    from mixhub.errors import UsageError
    from mixhub.findings import errors
    from mixhub.hub.publish.receipts import hub_key, local_weights
    from mixhub.hub.remote.load import family_of
    from mixhub.hub.verify.receipts import note_verification
    from mixhub.hub.verify.repo import verify

    hide_client_bars()
    place = workspace_if_any(workspace)
    if name is None and place is None:
        raise UsageError("which family?", hint="name one, or a repo: mixhub verify human-1b")
    family, repo_id = family_of(name or place.config.family, place)  # type: ignore[union-attr]
    with open_any_hub(hub, place, quiet=as_json) as endpoint:
        local = local_weights(place, family) if place is not None and family is not None else {}
        found = verify(endpoint, repo_id, family, local=local, deep=deep, progress=progress())
        if place is not None:
            note_verification(place, hub_key(endpoint), found, deep=deep)
    wrong = errors(found.findings)
    if as_json:
        show_json(found)
    else:
        show_verification(found)
        show_hints(found.findings)
        end = counted(len(found.findings), "finding") if found.findings else "nothing found"
        say(f"{repo_id}: {counted(len(found.branches), 'branch', 'branches')}, {end}")
    if wrong:
        raise typer.Exit(1)


def show_verification(found: Verification) -> None:
    """Prints a table of the branches, then a line for each finding."""
    from mixhub.cli.common.console import bytes_shown, say, show_table
    from mixhub.findings import errors

    wrong = {finding.where for finding in errors(found.findings)}
    rows = [
        (
            branch.name,
            branch.commit[:12] if branch.commit else "missing",
            branch.weights[:12] if branch.weights else "-",
            branch.files,
            bytes_shown(branch.size),
            "told" if branch.tells_lineage else "-",
            "wrong" if branch.name in wrong else "ok",
        )
        for branch in found.branches
    ]
    show_table(["branch", "commit", "weights", "files", "size", "lineage", "state"], rows)
    for finding in found.findings:
        say(str(finding))


def show_json(found: Verification) -> None:
    """Prints it all as one JSON object."""
    import json
    from dataclasses import asdict

    from mixhub.cli.common.console import say

    say(json.dumps(asdict(found), indent=2))
