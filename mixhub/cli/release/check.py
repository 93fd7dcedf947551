"""`mixhub check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common import options

if TYPE_CHECKING:
    from mixhub.hub.check.run import RunCheck

LoadOption = Annotated[bool, typer.Option("--load", help="Also load the model and generate some text.")]


def check(
    seed: options.SeedsOption = None,
    index: options.IndicesOption = None,
    everything: options.AllOption = False,
    step: options.StepOption = None,
    load: LoadOption = False,
    as_json: options.JsonOption = False,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Check whether a run is ready to publish; exit with 1 if not. Makes no network requests.

    Reads every byte of the export and checks its files, index, shapes, NaN, tokenizer, lineage and recipe. Then
    compares the export with the other runs (repeated weights, initial weights) and with its results, and checks its
    card. Exports that pass are recorded by hash, so neither this command nor push reads them again.
    """
    from mixhub import workflow
    from mixhub.cli.common import console
    from mixhub.findings import exit_status

    console.hide_client_bars()
    checks = []
    workspace = options.find_workspace(workspace_dir)
    names = workflow.RunNames(
        seed=options.seeds(seed),
        index=options.indices(index),
        all=everything,
        family=family_name,
    )
    progress = console.progress(as_json=as_json)
    for checked in workflow.check_each(workspace, step=step, load=load, progress=progress, **names):
        checks.append(checked)
        if not as_json:
            _show(checked)
    findings = [finding for checked in checks for finding in checked.findings]
    if as_json:
        console.say_json({"runs": [_data(checked) for checked in checks]})
    if status := exit_status(findings):
        raise typer.Exit(status)


def _show(checked: RunCheck) -> None:
    """Print the findings in a run, then a summary."""
    from mixhub.cli.common.console import say, show_findings
    from mixhub.phrases import plural, size

    show_findings(checked.findings)
    weights = checked.content.weights_sha256
    facts = [f"weights {weights[:12]}" if weights else "no readable weights"]
    facts += [plural(len(checked.content.hashes), "file"), size(sum(state.size for state in checked.states.values()))]
    facts += ["loads and generates"] if checked.loaded else []
    facts += ["unchanged since it was read"] if checked.was_known else []
    end = plural(len(checked.findings), "finding") if checked.findings else "no findings"
    say(f"{checked.where}: {end} ({', '.join(facts)})")


def _data(checked: RunCheck) -> dict[str, Any]:
    return {
        "repo_id": checked.run.repo_id,
        "branch": checked.branch,
        "step": checked.step,
        "export": str(checked.export),
        "weights_sha256": checked.content.weights_sha256,
        "loaded": checked.loaded,
        "findings": [finding.to_data() for finding in checked.findings],
    }
