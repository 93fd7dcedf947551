"""`mixhub check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import (
    AllOption,
    FamilyOption,
    IndexOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    chosen_runs,
    open_workspace,
)

if TYPE_CHECKING:
    from mixhub.findings import Finding
    from mixhub.hub.check.run import RunCheck


def check(
    seed: SeedOption = None,
    index: IndexOption = None,
    everything: AllOption = False,
    step: StepOption = None,
    load: Annotated[bool, typer.Option("--load", help="Load it, too, and let it write some words.")] = False,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Check whether a run may be published; exit with 1 if not. Nothing is asked of any network.

    Reads every byte of the export: files, index, shapes, NaN, tokenizer, lineage, recipe. Then compares it with the
    other runs (repeated weights, initial weights), with its results, and checks its card. What passed is noted by its
    hash, so that neither this command nor push reads it again.
    """
    from mixhub.cli.common.console import hide_client_bars, progress
    from mixhub.findings import errors
    from mixhub.hub.check.run import check_run

    hide_client_bars()
    place = open_workspace(workspace)
    chosen = place.family(family)
    runs = chosen_runs(place, chosen, seed, index, everything=everything, step=step)
    found: list[Finding] = []
    for run in runs:
        checked = check_run(place, chosen, run, step=step, load=load, progress=progress())
        show_check(checked)
        found += checked.findings
    show_hints(found)
    if errors(found):
        raise typer.Exit(1)


def show_check(checked: RunCheck) -> None:
    """Prints what was found in a run, or that nothing was."""
    from mixhub.cli.common.console import bytes_shown, counted, say

    for finding in checked.findings:
        say(str(finding))
    size = sum(path.stat().st_size for path in checked.export.rglob("*") if path.is_file())
    weights = checked.content.weights_sha256
    facts = [f"weights {weights[:12]}" if weights else "no weights that can be read"]
    facts += [counted(len(checked.content.hashes), "file"), bytes_shown(size)]
    facts += ["loads and writes"] if checked.loaded else []
    facts += ["unchanged since it was read"] if checked.was_known else []
    end = counted(len(checked.findings), "finding") if checked.findings else "nothing found"
    say(f"{checked.branch}: {end} ({', '.join(facts)})")


def show_hints(findings: Sequence[Finding]) -> None:
    """Prints the next steps, each once."""
    from mixhub.cli.common.console import say
    from mixhub.findings import hints

    for hint in hints(findings):
        say(f"hint: {hint}")
