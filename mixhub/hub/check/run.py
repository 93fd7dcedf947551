"""Whether a run may be published: its export, compared with the family, the other runs and its results.

Makes no request, so it runs where weights are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import FileState, file_states
from mixhub.findings import Finding, errors
from mixhub.hub.check.card import card_unsound, weights_withdrawn
from mixhub.hub.check.loading import LOADING_HINT, loading_findings
from mixhub.hub.check.receipts import CheckReceipt, valid_receipt, write_receipt
from mixhub.hub.check.run_rules import RULES
from mixhub.hub.check.subject import RunUnderCheck, lineage_of
from mixhub.hub.rules.export import ExportCheck, check_export
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class RunCheck:
    """The result of checking a run."""

    run: Run
    step: int
    branch: str
    """Its branch: that of the run, or of an earlier step."""
    where: str
    """What findings call it: its branch, with the repo if each run has one of its own."""
    export: Path
    content: ExportCheck
    """The result for the folder alone."""
    states: Mapping[str, FileState]
    """Its files before they were read: `content` holds only for these."""
    findings: tuple[Finding, ...]
    """All findings, in the folder and around it."""
    was_known: bool
    """Whether a receipt saved reading the folder."""
    loaded: bool
    """Whether it was loaded and generated text, now or before."""


def check_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    *,
    step: int | None = None,
    load: bool = False,
    progress: Progress = SILENT,
) -> RunCheck:
    """Check the export of a run; without errors it gets a receipt, which a push trusts.

    Args:
        workspace: holds it, and the exports it is compared with.
        family: the family.
        run: the run.
        step: an earlier step; None: the last.
        load: also load it, and generate some words.
        progress: advances with each file.

    Raises:
        RunError: there is no export of that step.
        ExportError: files appeared or disappeared meanwhile.
    """
    step = family.training.steps if step is None else step
    export, branch = workspace.export(run, step), family.branch(run, step)
    where = family.place(run.repo_id, branch)
    states, lineage = file_states(export), lineage_of(export)
    receipt = valid_receipt(workspace, export, lineage.weights_sha256) if lineage else None
    content = receipt.content() if receipt else check_export(export, where, progress)
    if moved := sorted(set(states) ^ set(file_states(export))):
        message = f"{export / moved[0]}: appeared or disappeared during the check"
        raise ExportError(message, code="export-changed", hint="check again", path=export)
    findings = [*content.findings]
    loaded, fault = (receipt.loaded, receipt.fault) if receipt else (False, None)
    if load and not loaded:
        problem = next(loading_findings(where, export), None)
        loaded, fault = problem is None, problem.message if problem and problem.level == "error" else None
        findings += [problem] if problem and problem.level == "unchecked" else []
    if fault is not None:  # also if a receipt reports it
        findings.append(Finding("load-failed", where, fault, LOADING_HINT))
    subject = RunUnderCheck(workspace, family, run, step, content)
    findings += [finding for rule in RULES for finding in rule(subject)]
    if not errors(findings):  # the card is rendered from the rest
        findings += card_unsound(subject)
    findings += weights_withdrawn(subject)
    if not content.findings:  # a receipt holds no warnings
        receipt_now = CheckReceipt.of(content, states, loaded=loaded, fault=fault, errors=len(errors(findings)))
        try:
            write_receipt(workspace, receipt_now)
        except OSError as error:  # as on a compute node with a read-only disk
            message = f"the receipt of this check cannot be written ({error.filename}); a push will read it again"
            findings.append(Finding("receipt-unwritable", where, message, level="warning"))
    return RunCheck(run, step, branch, where, export, content, states, tuple(findings), receipt is not None, loaded)


def require_sound(findings: Sequence[Finding], what: str, consequence: str = "nothing was sent") -> None:
    """Raise ExportError, with a line per finding, if any is an error; `what` names what was checked."""
    if wrong := errors(findings):
        lines = [str(finding) for finding in wrong]
        summary = f"{what}: cannot be published, {len(wrong)} findings; {consequence}"
        raise ExportError(
            "\n".join([*lines, summary]) if len(lines) > 1 else f"{lines[0]}; {consequence}",
            code="release-unsound",
            hint=next((finding.hint for finding in wrong if finding.hint), None),
            findings=tuple(wrong),
        )
