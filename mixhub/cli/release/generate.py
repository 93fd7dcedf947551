"""`mixhub generate`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mixhub.cli.common import options

PromptArgument = Annotated[str, typer.Argument(help="Text to continue; `-` reads standard input.", metavar="PROMPT")]
FamilyOption = Annotated[
    str | None, typer.Option("--family", help="A family, or any repo_id. [default: the workspace's]", metavar="NAME")
]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit, instead of a run.", metavar="NAME")]
TokensOption = Annotated[int, typer.Option(help="Maximum number of new tokens.", min=1, metavar="N")]
TemperatureOption = Annotated[
    float, typer.Option(help="Sampling temperature; 0 always takes the most likely token.", min=0.0, metavar="T")
]
DrawSeedOption = Annotated[int, typer.Option(help="Seed for sampling.", min=0, max=2**63 - 1, metavar="N")]


def generate(
    prompt: PromptArgument,
    seed: options.SeedsOption = None,
    index: options.IndicesOption = None,
    step: options.StepOption = None,
    family_name: FamilyOption = None,
    revision: RevisionOption = None,
    tokens: TokensOption = 64,
    temperature: TemperatureOption = 0.0,
    draw_seed: DrawSeedOption = 0,
    hub: options.HubOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Generate text with a run's export in the workspace, or with its revision on the hub if there is no export.

    With several runs, each continues the same prompt.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars

    hide_client_bars()
    workspace = options.workspace_if_any(workspace_dir)
    text = prompt if prompt != "-" else sys.stdin.buffer.read().decode("utf-8", errors="replace")
    sampling = workflow.Sampling(tokens, temperature, draw_seed)
    runs = options.each_run(seed, index)
    for one, other in runs:
        run_name = workflow.RunName(seed=one, index=other, family=family_name)
        generated = workflow.generate(
            workspace, text, step=step, revision=revision, hub=hub, sampling=sampling, **run_name
        )
        for sentence in generated.withdrawn:
            print(f"warning: {sentence}", file=sys.stderr)
        if len(runs) > 1:
            print(f"seed {one}:" if other is None else f"index {other}:")
        print(f"{generated.source}:", file=sys.stderr)
        print(generated.text, flush=True)
