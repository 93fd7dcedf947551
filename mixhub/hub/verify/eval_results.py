"""Results in the Hub's own format, `.eval_results/*.yaml`, which anybody may add to a repo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from huggingface_hub import EvalResultEntry

from mixhub.analysis.published.eval_results import is_eval_result, own_cell, parse_eval_results
from mixhub.errors import ResultsError
from mixhub.findings import Finding
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.eval_results import entry_of
from mixhub.hub.remote.files import MAIN
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck


def eval_results_malformed(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Files with results that the Hub cannot read."""
    for branch in repo.branches.values():
        for path in filter(is_eval_result, sorted(branch.tree)):
            try:
                _entries(branch, path)
            except ResultsError as error:
                hint = error.hint or ""
                yield Finding("eval-result-malformed", branch.name, error.message, hint, "warning", about=path)


def eval_results_differ(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Results that a push wrote, and that are not those of the cells on the branch; on `main`, of its run's branch."""
    family, facts = branch.repo.family, branch.facts
    if branch.name == MAIN and family is not None and family.main_run is not None:
        facts = branch.repo.facts.get(family.main_run.branch)
    cells = {cell.path.stem: cell for cell in facts.cells} if facts is not None else {}
    for path in filter(own_cell, sorted(branch.branch.tree) if facts is not None else ()):
        cell, entries = cells.get(str(own_cell(path))), list[EvalResultEntry]()
        with suppress(ResultsError):  # `eval_results_malformed` reports it
            entries = _entries(branch.branch, path)
        expected = entry_of(cell) if cell is not None else None
        for stated in entries:
            stated.source_url = stated.source_name = None
            if stated != expected:
                also = "" if expected is None or expected.value == stated.value else f", {expected.value}"
                what = f"{path}: states {stated.value} for {stated.dataset_id}"
                hint = "delete the file, or push again, which writes it from the results"
                message = f"{what}, which is not the result on the branch{also}"
                yield Finding("eval-result-differs", branch.name, message, hint, about=path)


def _entries(branch: Branch, path: str) -> list[EvalResultEntry]:
    """Return the results in a file of a branch; empty if it could not be downloaded."""
    text = branch.text(path)
    return [] if text is None else parse_eval_results(text, path)
