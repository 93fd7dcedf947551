"""`mixhub status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixhub.cli.common.options import FamilyOption, JsonOption, WorkspaceOption, find_workspace

if TYPE_CHECKING:
    from mixhub.workflow import RunStatus


def status(
    as_json: JsonOption = False, family_name: FamilyOption = None, workspace_dir: WorkspaceOption = None
) -> None:
    """Show how far each run is: trained, checked, evaluated, card, pushed, verified. Nothing is asked of a hub.

    What is pushed and verified is what this workspace's receipts know: others may have pushed since.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import say, say_json

    workspace = find_workspace(workspace_dir)
    family = workspace.family(family_name)
    states = workflow.status(workspace, family=family)
    if as_json:
        runs = [state.to_data() for state in states]
        say_json({"family": family.name, "repo_id": family.repo_id, "runs": runs})
        return
    say(f"{family.name} ({family.repo_id}) in {workspace.root}")
    show_status(states)


def show_status(states: Sequence[RunStatus]) -> None:
    """Prints the table of `mixhub status`."""
    from mixhub.cli.common.console import say, show_table

    rows = []
    for state in states:
        known = state.weights_sha256 is not None
        rows.append(
            (
                state.revision,
                _trained(state),
                str(state.weights_sha256)[:12] if known else "-",
                ("yes" if state.checked else "no") if known else "-",
                f"{state.cells} of {state.cells_expected}" if known else "-",
                state.card or "-",
                ", ".join(f"{hub} {commit[:12]}" for hub, commit in state.pushed.items()) or "-",
                ", ".join(state.verified.values()) or "-",
            )
        )
    columns = ["revision", "trained (steps)", "export (weights)", "checked", "evaluated (cells)", "card"]
    show_table([*columns, "pushed (commit)", "verified"], rows)
    for state in states:
        if state.withdrawn:
            say(f"{state.revision}: withdrawn: {state.withdrawn}")
        if state.problem:
            say(f"{state.revision}: {state.problem}")


def _trained(state: RunStatus) -> str:
    if state.step is None:
        return "-"
    return f"{state.step} of {state.steps}" if state.is_step_known else "elsewhere"
