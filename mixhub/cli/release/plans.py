"""How the plan of a branch, and what came of it, is printed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixhub.hub.publish.plan import Plan
    from mixhub.hub.publish.push import Pushed

_MOST_SHOWN = 40
"""Changed files of a branch that are listed."""


def show_plan(plan: Plan) -> None:
    """Prints what a push would do, and what is wrong."""
    from mixhub.cli.common.console import say, show_findings
    from mixhub.findings import errors
    from mixhub.phrases import size

    show_findings([finding for finding in plan.findings if finding.level == "warning"])  # errors stop the push
    state = "" if plan.branch_exists else " (new)"
    if errors(plan.findings):
        say(f"{plan.repo_id}, branch {plan.branch}{state}: not fit to be published")
        return
    say(f"{plan.repo_id}, branch {plan.branch}{state}: {len(plan.changed)} of {len(plan.files)} files change")
    for change in plan.changed[:_MOST_SHOWN]:
        origin = plan.copied.get(change.path, "")
        copied = f", copied from {origin[:12] if re.fullmatch('[0-9a-f]{40}', origin) else origin}" if origin else ""
        say(f"  {change.action:8}{change.path}  {size(change.size)}{copied}")
    if len(plan.changed) > _MOST_SHOWN:
        say(f"  and {len(plan.changed) - _MOST_SHOWN} more")
    say(f"  {size(plan.bytes_to_send)} to send at most")


def show_pushed(pushed: Pushed) -> None:
    """Prints what a push came to."""
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    plan = pushed.plan
    what = f"{plan.repo_id}@{plan.branch} = {pushed.commit}"
    if pushed.sent:
        say(f"pushed and verified: {what} ({plural(len(plan.changed), 'file')})")
    else:
        say(f"nothing to send: {what} holds it all")
