"""`mixhub generate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mixhub.cli.common.options import HubOption, IndexOption, SeedOption, StepOption, WorkspaceOption, workspace_if_any

PromptArgument = Annotated[str, typer.Argument(help="What the model goes on from; `-` reads it from standard input.")]
FamilyOption = Annotated[
    str | None,
    typer.Option("--family", help="A family, or a repo_id of anybody; else the workspace's.", metavar="NAME"),
]
RevisionOption = Annotated[str | None, typer.Option(help="A branch, tag or commit by its name.", metavar="NAME")]
TokensOption = Annotated[int, typer.Option(help="New tokens at most.", min=1, metavar="N")]
TemperatureOption = Annotated[
    float, typer.Option(help="0 takes the likeliest token each time; above, one is drawn.", min=0.0, metavar="T")
]
DrawSeedOption = Annotated[int, typer.Option(help="Seed of the draws.", min=0, max=2**63 - 1, metavar="N")]


def generate(
    prompt: PromptArgument,
    seed: SeedOption = None,
    index: IndexOption = None,
    step: StepOption = None,
    family_name: FamilyOption = None,
    revision: RevisionOption = None,
    tokens: TokensOption = 64,
    temperature: TemperatureOption = 0.0,
    draw_seed: DrawSeedOption = 0,
    hub: HubOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Print text that a revision writes: from the export in the workspace where there is one, else from the hub."""
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars

    hide_client_bars()
    workspace = workspace_if_any(workspace_dir)
    text = prompt if prompt != "-" else sys.stdin.buffer.read().decode("utf-8", errors="replace")
    written = workflow.generate(
        workspace,
        text,
        step=step,
        revision=revision,
        hub=hub,
        sampling=workflow.Sampling(tokens, temperature, draw_seed),
        seed=seed,
        index=index,
        family=family_name,
    )
    for sentence in written.withdrawn:
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"{written.source}:", file=sys.stderr)
    print(written.text)
