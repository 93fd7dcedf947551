"""`mixhub train`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, find_workspace


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
    from mixhub import workflow
    from mixhub.cli.common.console import log_lines, progress, say

    log_lines()
    place = find_workspace(workspace)
    done = workflow.train(place, seed=seed, index=index, family=family, device=device, progress=progress())
    if os.environ.get("RANK", "0") != "0":  # of several processes, one speaks
        return
    say(f"{done.run.revision}: export in {done.export}")
    say(f"next: mixhub evaluate --{done.run.kind} {done.run.number}")
