"""Results in the Hub's own format, `.eval_results/*.yaml`, which anybody may add to a repo."""

from __future__ import annotations

from collections.abc import Iterator

from huggingface_hub import parse_eval_result_entries

from mixhub.errors import MixhubError
from mixhub.findings import Finding
from mixhub.hub.remote.eval_results import entry_of, is_eval_result, own_cell
from mixhub.hub.remote.files import MAIN
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.spec.base import parse_yaml

_HINT = "fix the file; the Hub does not show results that it cannot read"


def eval_results_malformed(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Files with results that the Hub cannot read."""
    for branch in repo.branches.values():
        for path in filter(is_eval_result, sorted(branch.tree)):
            if (text := branch.text(path)) is not None and (problem := _problem(text, path)):
                yield Finding("eval-result-malformed", branch.name, f"{path}: {problem}", _HINT, "warning", about=path)


def eval_results_differ(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Results that a push wrote, and that are not those of the cells on the branch; on `main`, of its run's branch."""
    family, facts = branch.repo.family, branch.facts
    if branch.name == MAIN and family is not None and family.main_run is not None:
        facts = branch.repo.facts.get(family.main_run.branch)
    if facts is None:
        return
    cells = {cell.path.stem: cell for cell in facts.cells}
    for path in filter(own_cell, sorted(branch.branch.tree)):
        cell = cells.get(str(own_cell(path)))
        expected, text = entry_of(cell) if cell is not None else None, branch.branch.text(path)
        if text is None or _problem(text, path):  # `eval_results_malformed` reports it
            continue
        for stated in parse_eval_result_entries(parse_yaml(text, path)):
            stated.source_url = stated.source_name = None
            if stated != expected:
                message = (
                    f"{path}: states {stated.value} for {stated.dataset_id}, which is not the result on the branch"
                )
                if expected is not None and expected.value != stated.value:
                    message += f", {expected.value}"
                hint = "delete the file, or push again, which writes it from the results"
                yield Finding("eval-result-differs", branch.name, message, hint, about=path)


def _problem(text: str, path: str) -> str | None:
    """Return what is wrong with a file of results."""
    try:
        data = parse_yaml(text, path)
    except MixhubError as error:
        return error.message.removeprefix(f"{path}: ")
    if not isinstance(data, list) or not data:
        return "must be a list of results"
    for number, entry in enumerate(data, start=1):
        dataset = entry.get("dataset") if isinstance(entry, dict) else None
        if not isinstance(dataset, dict) or not all(isinstance(dataset.get(key), str) for key in ("id", "task_id")):
            return f"result {number}: dataset must have an id and a task_id"
        if isinstance(value := entry.get("value"), bool) or not isinstance(value, int | float):
            return f"result {number}: value = {value!r}: must be a number"
        if not isinstance(source := entry.get("source", {}), dict) or (
            source and not isinstance(source.get("url"), str)
        ):
            return f"result {number}: source must have a url"
        try:
            parse_eval_result_entries([entry])
        except (KeyError, TypeError, ValueError) as error:
            return f"result {number}: {error}"
    return None
