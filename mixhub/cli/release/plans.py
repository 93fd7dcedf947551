"""Options and output that `push` and `promote` share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixhub.hub.publish.plan import FileChange, Plan
    from mixhub.hub.publish.push import Pushed
    from mixhub.workflow import PlannedPromotion, PushPlan

TagOption = Annotated[
    str | None, typer.Option(help="Tag each branch as <branch>-NAME, and with --all also main as NAME.", metavar="NAME")
]
PrivateOption = Annotated[bool, typer.Option("--private", help="If the repo does not exist yet, create it as private.")]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", help="Replace a card or model on main that others put there; delete results from the branch."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan without sending anything.")]
_SHOWN = 40
"""Lines about the changed files of a branch."""
_GROUPED = 5
"""This many files of a folder that change in the same way are printed as one line."""


def show_plans(plan: PushPlan | PlannedPromotion, *, as_json: bool) -> None:
    """Print the plans of all branches but main; raises ExportError if they have errors."""
    from mixhub.cli.common.console import say_json

    for branch in () if as_json else plan.branches:
        show_plan(branch)
    plan.require_sound()
    if as_json:
        say_json(plan.to_data())


def show_plan(plan: Plan) -> None:
    """Print what a push would change, and its findings."""
    from mixhub.cli.common.console import say, show_findings
    from mixhub.findings import errors
    from mixhub.phrases import size

    show_findings([finding for finding in plan.findings if finding.level != "error"])  # errors stop the push
    name = f"{plan.repo_id}, branch {plan.branch}{'' if plan.branch_exists else ' (new)'}"
    if errors(plan.findings):
        say(f"{name}: cannot be published")
        return
    say(f"{name}: {len(plan.changed)} of {len(plan.files)} files change")
    lines = list(change_lines(plan))
    for line in lines[:_SHOWN]:
        say(f"  {line}")
    if len(lines) > _SHOWN:
        say(f"  and {len(lines) - _SHOWN} more")
    say(f"  {size(plan.bytes_to_send)} to send at most")


def change_lines(plan: Plan) -> Iterator[str]:
    """Return a line for each changed file, or for all of a folder that change in the same way."""
    from mixhub.phrases import plural, size

    groups: dict[tuple[str, str, str], list[FileChange]] = {}
    for change in plan.changed:
        folder = change.path.rpartition("/")[0]
        groups.setdefault((change.action, folder, plan.copied.get(change.path, "")), []).append(change)
    for (action, folder, origin), own in groups.items():
        short = origin[:12] if re.fullmatch("[0-9a-f]{40}", origin) else origin
        copied = f", copied from {short}" if origin else ""
        if folder and len(own) >= _GROUPED:
            count = plural(len(own), "file")
            yield f"{action:8}{folder}/: {count}, {size(sum(change.size for change in own))}{copied}"
            continue
        for change in own:
            yield f"{change.action:8}{change.path}  {size(change.size)}{copied}"


def show_pushed(pushed: Pushed) -> None:
    """Print the result of a push."""
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    plan = pushed.plan
    what = f"{plan.repo_id}@{plan.branch} = {pushed.commit}"
    files = plural(len(plan.changed), "file")
    say(f"pushed and verified: {what} ({files})" if pushed.sent else f"nothing to send: {what} is up to date")
