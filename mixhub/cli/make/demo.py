"""`mixhub demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mixhub.demo.run import Demo
    from mixhub.spec import Family, Run

FolderArgument = Annotated[Path, typer.Argument(help="The workspace to make, or to go on with.", metavar="DIR")]


def demo(folder: FolderArgument = Path("mixhub-demo")) -> None:
    """Make, train, evaluate, publish, verify and load a small family, in minutes and with no network.

    What is done already is skipped, so it can be stopped and started at any time.
    """
    from mixhub.cli.common.console import hide_client_bars, progress, say
    from mixhub.demo.run import run_demo

    hide_client_bars()
    demo_run = run_demo(folder, progress=progress())
    first = demo_run.family.runs()[0]
    say("")
    say(f"a sample of {first.revision}: {demo_run.sample!r}")
    _show_result(demo_run)
    _show_next(folder, demo_run.family, first)
    say(f"done in {demo_run.seconds:.0f} s")


def _show_result(demo_run: Demo) -> None:
    from mixhub import workflow
    from mixhub.cli.common.console import show_table
    from mixhub.cli.measure.cells import show_scores
    from mixhub.cli.release.status import show_status

    workspace, family = demo_run.workspace, demo_run.family
    show_scores(family, family.runs(), demo_run.evaluated.cells)
    show_status(workflow.status(workspace))
    show_table(
        ["what", "where"],
        [
            ("text", workspace.corpus(family)),
            ("token shards", workspace.tokens(family)),
            ("runs: metrics, checkpoints, exports", workspace.path("runs", family.name)),
            ("results, in lm-eval's format", workspace.path("results", family.name)),
            ("cards", workspace.card(family).parent),
            ("hub", workspace.hub),
        ],
    )


def _show_next(folder: Path, family: Family, run: Run) -> None:
    from mixhub.cli.common.console import say

    say("next:")
    say(f"  cd {folder}")
    say("  mixhub status")
    say("  mixhub results                  # scores, their spread over seeds, their sampling error")
    say("  mixhub card check               # whether the cards say what the results say")
    say("  mixhub check --all              # whether the seeds may be published")
    say("  mixhub push --seed 2            # again: sends nothing")
    say("  mixhub verify                   # whether the hub holds what the family says")
    say("  mixhub hub serve                # the hub, for any client")
    say(f"  python -c \"import mixhub; print(mixhub.load('{family.name}', seed={run.number}, workspace='.').model)\"")
    say("  mixhub families human-1b        # the first published family")
