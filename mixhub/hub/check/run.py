"""Whether a run may be published: its export, and how it stands beside the family, the other runs and its results.

Nothing here makes a request, so it runs where weights are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import FileState, file_states
from mixhub.findings import Finding, errors
from mixhub.hub.check.card import card_unsound, weights_withdrawn
from mixhub.hub.check.copies import each_pair, initial_weights_repeated, metrics_repeated
from mixhub.hub.check.lineage import lineage_differs, run_wrong, train_config_differs
from mixhub.hub.check.loading import LOADING_HINT, loading_findings
from mixhub.hub.check.receipts import CheckReceipt, valid_receipt, write_receipt
from mixhub.hub.check.recipe import model_differs, recipe_differs
from mixhub.hub.check.results import metrics_differ, results_foreign
from mixhub.hub.check.subject import RunUnderCheck, lineage_of
from mixhub.hub.rules.export import ExportCheck, check_export
from mixhub.hub.rules.revisions import branch_of
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.paths import Workspace

Rule = Callable[[RunUnderCheck], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    run_wrong,
    lineage_differs,
    train_config_differs,
    each_pair,
    initial_weights_repeated,
    metrics_differ,
    metrics_repeated,
    recipe_differs,
    model_differs,
    results_foreign,
)
"""What a run must keep beside what lies around it, in the order in which it is reported."""
CARD_RULES: tuple[Rule, ...] = (card_unsound,)
"""What its card must keep; looked at only if nothing else is wrong, since the card is rendered from the rest."""
NOTES: tuple[Rule, ...] = (weights_withdrawn,)
"""What whoever publishes it should know."""


@dataclass(frozen=True)
class RunCheck:
    """The result of checking a run."""

    run: Run
    step: int
    branch: str
    """Where it goes: the run's branch, or that of an earlier step."""
    export: Path
    content: ExportCheck
    """The folder by itself."""
    states: Mapping[str, FileState]
    """Its files as they were before they were read: what `content` says holds for no others."""
    findings: tuple[Finding, ...]
    """All that was found, in the folder and around it."""
    was_known: bool
    """Whether the folder is as it was when it was read to its last byte before, so that it was not read again."""
    loaded: bool
    """Whether it was loaded and wrote text, now or before."""


def check_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    *,
    step: int | None = None,
    load: bool = False,
    progress: Progress = SILENT,
) -> RunCheck:
    """Checks the export of a run; one without fault gets a receipt, which a push trusts.

    Args:
        workspace: where it lies, beside those that it is compared with.
        family: the family.
        run: the run.
        step: an earlier step; absent: the last.
        load: load it, too, and let it write some words.
        progress: advances with each file of weights that is read.

    Raises:
        RunError: there is no export of that step.
        ExportError: files appeared or disappeared meanwhile.
    """
    step = family.training.steps if step is None else step
    export, branch = workspace.export(run, step), branch_of(family, run, step)
    states, lineage = file_states(export), lineage_of(export)
    receipt = valid_receipt(workspace, export, lineage.weights_sha256) if lineage else None
    content = receipt.content() if receipt else check_export(export, branch, progress)
    if moved := sorted(set(states) ^ set(file_states(export))):
        message = f"{export / moved[0]}: came or went while it was checked"
        raise ExportError(message, code="export-changed", hint="check again", path=export)
    loaded, fault = (receipt.loaded, receipt.fault) if receipt else (False, None)
    if load and not loaded:
        wrong = next(loading_findings(branch, export), None)
        loaded, fault = wrong is None, wrong.message if wrong else None
    found = [*content.findings]
    if fault is not None:  # also if it was loaded before, and is as it was then
        found.append(Finding("load-failed", branch, fault, LOADING_HINT))
    found += _findings(RunUnderCheck(workspace, family, run, step, content), is_sound=not errors(found))
    if not errors(content.findings):
        made = CheckReceipt.of(content, states, loaded=loaded, fault=fault, errors=len(errors(found)))
        found += _note(workspace, branch, made)
    return RunCheck(run, step, branch, export, content, states, tuple(found), receipt is not None, loaded)


def require_sound(findings: Sequence[Finding], what: str, so: str = "nothing was sent") -> None:
    """Raises ExportError, with a line for each finding, if any of them is an error.

    Args:
        findings: what was found.
        what: names what was checked, for the summary.
        so: the consequence, for the summary.
    """
    if wrong := errors(findings):
        lines = [str(finding) for finding in wrong]
        summary = f"{what}: not fit to be published, {len(wrong)} found; {so}"
        raise ExportError(
            "\n".join([*lines, summary]) if len(lines) > 1 else f"{lines[0]}; {so}",
            code="release-unsound",
            hint=next((finding.hint for finding in wrong if finding.hint), None),
            findings=tuple(wrong),
        )


def _findings(run: RunUnderCheck, *, is_sound: bool) -> Iterator[Finding]:
    """What the rules find of a run; `is_sound`: whether nothing is wrong with its export."""
    found = [finding for rule in RULES for finding in rule(run)]
    yield from found
    if is_sound and not errors(found):
        yield from (finding for rule in CARD_RULES for finding in rule(run))
    yield from (finding for rule in NOTES for finding in rule(run))


def _note(workspace: Workspace, where: str, receipt: CheckReceipt) -> Iterator[Finding]:
    try:
        write_receipt(workspace, receipt)
    except PermissionError as error:  # as on a compute node that may only read
        message = f"the receipt of this check cannot be written ({error.filename}), so a push will read it again"
        yield Finding("receipt-unwritable", where, message, level="warning")
