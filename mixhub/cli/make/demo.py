"""`mixhub demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import hide_client_bars, progress, say, show_table

_NEXT = """\
next:
  cd {folder}
  mixhub status
  mixhub results                  # scores, with spread over seeds and sampling error
  mixhub card check               # whether the cards agree with the results
  mixhub check --all              # whether the seeds are ready to publish
  mixhub push --seed 2            # push again: sends nothing
  mixhub verify                   # whether the hub matches the family
  mixhub hub serve                # serve the hub to any client
  python -c "import mixhub; print(mixhub.load('{family}', seed={seed}, workspace='.').model)"
  mixhub families human-1b        # the first published family"""


FolderArgument = Annotated[Path, typer.Argument(help="Workspace to create or resume.", metavar="DIR")]


def demo(folder: FolderArgument = Path("mixhub-demo")) -> None:
    """Train, evaluate, publish, verify and load a small family of models, in minutes and without a network.

    You can stop it at any time; run it again to resume.
    """
    from mixhub import workflow
    from mixhub.cli.measure.cells import show_scores
    from mixhub.cli.release.status import show_status
    from mixhub.demo.run import run_demo

    hide_client_bars()
    demo_run = run_demo(folder, progress=progress())
    workspace, family = demo_run.workspace, demo_run.family
    first = family.runs()[0]
    say("")
    say(f"a sample of {first.revision}: {demo_run.sample!r}")
    show_scores(family, family.runs(), demo_run.evaluated.cells)
    show_status(workflow.status(workspace))
    folders = [
        ("text", workspace.corpus(family)),
        ("token shards", workspace.tokens(family)),
        ("runs: metrics, checkpoints, exports", workspace.path("runs", family.name)),
        ("results, in lm-eval's format", workspace.path("results", family.name)),
        ("cards", workspace.card(family).parent),
        ("hub", workspace.hub),
    ]
    show_table(["what", "where"], folders)
    say(_NEXT.format(folder=folder, family=family.name, seed=first.label))
    say(f"done in {demo_run.seconds:.0f} s")
