"""`mixhub push`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import (
    AllOption,
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    chosen_runs,
    open_hub,
    open_workspace,
)

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.publish.plan import Plan, PushOptions
    from mixhub.hub.publish.push import Pushed
    from mixhub.spec.family import Family, Run
    from mixhub.workspace.paths import Workspace

_MOST_SHOWN = 40
"""Changed files of a branch that are listed."""


def push(
    seed: SeedOption = None,
    index: IndexOption = None,
    everything: AllOption = False,
    step: StepOption = None,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also earlier steps that have an export or a checkpoint.")
    ] = False,
    with_optimizer: Annotated[
        bool, typer.Option("--with-optimizer", help="Also the newest checkpoint, to <branch>-optimizer.")
    ] = False,
    samples: Annotated[bool, typer.Option("--samples", help="Also the samples of the results, as parquet.")] = False,
    tag: Annotated[
        str | None,
        typer.Option(help="Tag what is pushed: <branch>-NAME; with --all, also NAME on main.", metavar="NAME"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Promote from another hub, as it lies there: an address, or local.", metavar="HUB"),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repo private, where it is new.")] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace a card or a model on main that others put there; delete results that only the branch has.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the plan and stop; nothing is sent. Exports that --checkpoints lacks are made."
        ),
    ] = False,
    hub: HubOption = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Publish runs, each as one commit on its branch, and then the family's card on main.

    Checks every run and shows the whole plan before anything is sent; sends only what changed, large files first; and
    then sees that the hub holds every file by its hash. Broken off at any time, it is run again; run again without
    need, it sends nothing.
    """
    from mixhub.cli.common.console import hide_client_bars, progress, say
    from mixhub.findings import errors
    from mixhub.hub.check.run import require_sound
    from mixhub.hub.publish.plan import PushOptions
    from mixhub.hub.publish.push import push_plan
    from mixhub.workflow.steps import note_withdrawals, push_card, require_publishable

    hide_client_bars()
    place = open_workspace(workspace)
    chosen = place.family(family)
    _require_tag(tag)
    if source is not None:
        _promote(
            place,
            chosen,
            source,
            hub,
            seed=seed,
            index=index,
            everything=everything,
            checkpoints=checkpoints,
            tag=tag,
            private=private,
            force=force,
            dry_run=dry_run,
            refused={"--step": step is not None, "--with-optimizer": with_optimizer, "--samples": samples},
        )
        return
    if step is not None:
        _export_step(place, chosen, seed, index, step)
    runs = chosen_runs(place, chosen, seed, index, everything=everything, step=step)  # before a hub is opened
    options = PushOptions(samples=samples, tag=tag, private=private, force=force)
    main_options = options if everything else replace(options, tag=None)
    with open_hub(hub, place) as endpoint:
        note_withdrawals(place, chosen, endpoint)
        plans = _plans(
            place,
            chosen,
            runs,
            endpoint,
            options,
            step=step,
            checkpoints=checkpoints,
            with_optimizer=with_optimizer,
        )
        for plan in plans:
            show_plan(plan)
        wrong = [finding for plan in plans for finding in errors(plan.findings)]
        require_sound(wrong, ", ".join(plan.branch for plan in plans if errors(plan.findings)))
        card = require_publishable(place, chosen, endpoint, main_options, before=plans)
        if card.changed or not any(plan.changed for plan in plans):
            show_plan(card)
        if any(plan.changed for plan in plans):
            say("main: its card follows, with the commits of the branches")
        if dry_run:
            return
        for plan in plans:
            show_pushed(push_plan(plan, place, endpoint, progress()), endpoint)
        show_pushed(push_card(place, chosen, endpoint, main_options), endpoint)
        if named := [name for name in (*(plan.tag for plan in plans), main_options.tag) if name]:
            say(f"tagged: {', '.join(named)}")


def _promote(
    place: Workspace,
    family: Family,
    source: str,
    hub: str | None,
    *,
    seed: int | None,
    index: int | None,
    everything: bool,
    checkpoints: bool,
    tag: str | None,
    private: bool,
    force: bool,
    dry_run: bool,
    refused: Mapping[str, bool],
) -> None:
    """Branches from one hub to the other; what they hold was decided when they were pushed to the first."""
    import os

    from mixhub.cli.common.console import progress, say
    from mixhub.endpoint import choose_hub
    from mixhub.errors import UsageError
    from mixhub.hub.publish.plan import PushOptions
    from mixhub.hub.publish.promote import plan_promotions, promote, require_promotable
    from mixhub.hub.remote import connect

    for option, given in refused.items():
        if given:
            raise UsageError(f"{option} does not go with --from: branches are promoted as they are")
    if everything and (seed is not None or index is not None):
        raise UsageError("give either --all, or one run")
    runs = None if everything else [family.run(seed=seed, index=index)]
    options = PushOptions(tag=tag, private=private, force=force)
    choice = choose_hub(source, os.environ, None, asked_by="--from")
    with connect.open_hub(choice, place) as origin, open_hub(hub, place) as endpoint:
        say(f"from: {origin}")
        plan = plan_promotions(
            place, family, origin, endpoint, options, runs=runs, checkpoints=checkpoints, progress=progress()
        )
        for one in plan.branches:
            show_plan(one)
        require_promotable(plan)
        if dry_run:
            later = "main: stays as it is"
            say(later if plan.waiting else "main: its card follows, with the commits of the branches here")
            return
        promote(plan, place, show=lambda pushed: show_pushed(pushed, endpoint), progress=progress())
        if plan.waiting:
            say(f"the card on main stays as it is, until these are as on {origin}: {', '.join(plan.waiting)}")


def show_plan(plan: Plan) -> None:
    """Prints what a push would do, and what is wrong."""
    from mixhub.cli.common.console import bytes_shown, say
    from mixhub.findings import errors

    for finding in plan.findings:
        if finding.level == "warning":  # errors are said when they stop the push
            say(str(finding))
    state = "" if plan.branch_exists else " (new)"
    if errors(plan.findings):
        say(f"{plan.repo_id}, branch {plan.branch}{state}: not fit to be published")
        return
    say(f"{plan.repo_id}, branch {plan.branch}{state}: {len(plan.changed)} of {len(plan.files)} files change")
    for change in plan.changed[:_MOST_SHOWN]:
        origin = plan.copied.get(change.path, "")
        copied = f", copied from {origin[:12] if re.fullmatch('[0-9a-f]{40}', origin) else origin}" if origin else ""
        say(f"  {change.action:8}{change.path}  {bytes_shown(change.size)}{copied}")
    if len(plan.changed) > _MOST_SHOWN:
        say(f"  and {len(plan.changed) - _MOST_SHOWN} more")
    say(f"  {bytes_shown(plan.bytes_to_send)} to send at most")


def show_pushed(pushed: Pushed, endpoint: Endpoint) -> None:
    """Prints what a push came to."""
    from mixhub.cli.common.console import counted, say

    plan = pushed.plan
    what = f"{plan.repo_id}@{plan.branch} = {pushed.commit}"
    if pushed.sent:
        say(f"pushed and verified: {what} ({counted(len(plan.changed), 'file')})")
    else:
        say(f"nothing to send: {what} holds it all")


def _plans(
    place: Workspace,
    family: Family,
    runs: Sequence[Run],
    endpoint: Endpoint,
    options: PushOptions,
    *,
    step: int | None,
    checkpoints: bool,
    with_optimizer: bool,
) -> list[Plan]:
    """The plans of all branches but `main`."""
    from mixhub.cli.common.console import progress, say
    from mixhub.hub.publish.compare import compare_with_hub
    from mixhub.hub.publish.plan_run import plan_run, plan_state
    from mixhub.workflow.steps import earlier_steps, export_step

    plans: list[Plan] = []
    for run in runs:
        steps: list[int | None] = [step]
        if checkpoints:
            earlier = earlier_steps(place, family, run)
            if not earlier:
                say(f"{run.revision}: no earlier step has an export or a checkpoint")
            for one in earlier:
                if export_step(place, family, run, one):
                    say(f"{run.revision}: made the export of step {one} from its checkpoint")
            steps = [*earlier, step] if step not in earlier else [*earlier]
        for one_step in steps:
            plans.append(plan_run(place, family, run, endpoint, options, step=one_step, progress=progress()))
        if with_optimizer:
            plans.append(plan_state(place, family, run, endpoint, private=options.private))
    return compare_with_hub(plans, place, family, endpoint)


def _export_step(place: Workspace, family: Family, seed: int | None, index: int | None, step: int) -> None:
    """Makes the export that `--step` asks for, where there is a checkpoint of it only."""
    from mixhub.cli.common.console import say
    from mixhub.workflow.steps import export_step

    if seed is None and index is None:
        return
    run = family.run(seed=seed, index=index)
    if export_step(place, family, run, step):
        say(f"{run.revision}: made the export of step {step} from its checkpoint")


def _require_tag(tag: str | None) -> None:
    from mixhub.errors import UsageError

    if tag is not None and (
        not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", tag) or ".." in tag or tag.endswith(".lock")
    ):
        raise UsageError(f"--tag {tag!r}: must be a name that git takes for a tag, without /", hint="as v1, or 2026-11")
