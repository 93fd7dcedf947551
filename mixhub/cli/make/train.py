"""`mixhub train`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, open_workspace


def train(
    seed: SeedOption = None,
    index: IndexOption = None,
    device: Annotated[str | None, typer.Option(help="`cpu` or `cuda`; else the best there is.", metavar="NAME")] = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Train one run, from its last checkpoint if there is one, and export its weights.

    Makes no request: `mixhub data pack` comes before. Several processes: `torchrun --nproc-per-node 8 -m mixhub train
    --seed 1`.
    """
    from mixhub.cli.common.console import log_lines, progress, say
    from mixhub.workflow.steps import train_run

    place = open_workspace(workspace)
    chosen = place.family(family)
    run = chosen.run(seed=seed, index=index)
    log_lines()
    export = train_run(place, chosen, run, device, progress())
    if os.environ.get("RANK", "0") != "0":  # of several processes, one speaks
        return
    say(f"{run.revision}: export in {export}")
    say(f"next: mixhub evaluate --{run.kind} {run.number}")
