"""`mixhub status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixhub.cli.common import options

if TYPE_CHECKING:
    from mixhub.workflow import RunStatus


def status(
    as_json: options.JsonOption = False,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Show how far each run is: trained, checked, evaluated, card, pushed, verified. Makes no network requests.

    Whether a run has been pushed and verified is read from the receipts in this workspace; others may have pushed
    since.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import say, say_json

    workspace = options.find_workspace(workspace_dir)
    family = workspace.family(family_name)
    states = workflow.status(workspace, family=family)
    if as_json:
        say_json({"family": family.name, "repo_id": family.repo_id, "runs": [state.to_data() for state in states]})
        return
    say(f"{family.name} ({family.repo_id}) in {workspace.root}")
    show_status(states)


def show_status(states: Sequence[RunStatus]) -> None:
    """Print the table of `mixhub status`."""
    from mixhub.cli.common.console import say, show_table

    rows, pushed = [], []
    has_repos = len({state.repo_id for state in states}) > 1
    is_elsewhere = has_repos or any(state.branch not in ("", state.revision) for state in states)
    for state in states:
        trained = "-" if state.step is None else f"{state.step} of {state.steps}"
        cells = ("-", "-", "-")
        if state.weights_sha256 is not None:
            checked = "yes" if state.checked else "no"
            cells = (state.weights_sha256[:12], checked, f"{state.cells} of {state.cells_expected}")
        rows.append((state.revision, trained if state.is_step_known else "elsewhere", *cells, state.card or "-"))
        branch = [f"{state.repo_id}@{state.branch}" if has_repos else state.branch] if is_elsewhere else []
        for hub, commit in state.pushed.items():
            pushed.append((state.revision, *branch, hub, commit[:12], state.verified.get(hub, "no")))
    show_table(["revision", "trained (steps)", "export (weights)", "checked", "evaluated (cells)", "card"], rows)
    if pushed:
        show_table(["pushed", *(["as"] if is_elsewhere else []), "hub", "commit", "verified"], pushed)
    else:
        say("not pushed to any hub")
    for state in states:
        if state.withdrawn:
            say(f"{state.revision}: withdrawn: {state.withdrawn}")
        if state.problem:
            say(f"{state.revision}: {state.problem}")
