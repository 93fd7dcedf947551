"""`mixhub check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import (
    AllOption,
    FamilyOption,
    IndexOption,
    JsonOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    find_workspace,
)

if TYPE_CHECKING:
    from mixhub.hub.check.run import RunCheck

LoadOption = Annotated[bool, typer.Option("--load", help="Load it, too, and let it write some words.")]


def check(
    seed: SeedOption = None,
    index: IndexOption = None,
    everything: AllOption = False,
    step: StepOption = None,
    load: LoadOption = False,
    as_json: JsonOption = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Check whether a run may be published; exit with 1 if not. Nothing is asked of any network.

    Reads every byte of the export: files, index, shapes, NaN, tokenizer, lineage, recipe. Then compares it with the
    other runs (repeated weights, initial weights), with its results, and checks its card. What passed is noted by its
    hash, so that neither this command nor push reads it again.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars, progress, say_json, show_hints
    from mixhub.findings import errors

    hide_client_bars()
    checks = []
    workspace = find_workspace(workspace_dir)
    for checked in workflow.check_each(
        workspace,
        step=step,
        load=load,
        progress=progress(as_json=as_json),
        seed=seed,
        index=index,
        all=everything,
        family=family_name,
    ):
        checks.append(checked)
        if not as_json:
            _show(checked)
    findings = [finding for checked in checks for finding in checked.findings]
    if as_json:
        say_json({"runs": [_data(checked) for checked in checks]})
    else:
        show_hints(findings)
    if errors(findings):
        raise typer.Exit(1)


def _show(checked: RunCheck) -> None:
    """Prints what was found in a run, or that nothing was."""
    from mixhub.cli.common.console import say, show_findings
    from mixhub.phrases import plural, size

    show_findings(checked.findings)
    total = sum(path.stat().st_size for path in checked.export.rglob("*") if path.is_file())
    weights = checked.content.weights_sha256
    facts = [f"weights {weights[:12]}" if weights else "no weights that can be read"]
    facts += [plural(len(checked.content.hashes), "file"), size(total)]
    facts += ["loads and writes"] if checked.loaded else []
    facts += ["unchanged since it was read"] if checked.was_known else []
    end = plural(len(checked.findings), "finding") if checked.findings else "nothing found"
    say(f"{checked.branch}: {end} ({', '.join(facts)})")


def _data(checked: RunCheck) -> dict[str, Any]:
    return {
        "branch": checked.branch,
        "step": checked.step,
        "export": str(checked.export),
        "weights_sha256": checked.content.weights_sha256,
        "loaded": checked.loaded,
        "findings": [finding.to_data() for finding in checked.findings],
    }
