"""The cells of a run as results in the Hub's own format, `.eval_results/*.yaml`.

The Hub shows them on the page of a model, and on the leaderboard of the benchmark that they name
(https://huggingface.co/docs/hub/eval-results).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import quote

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from mixhub.analysis.published.eval_results import FOLDER
from mixhub.endpoint import Endpoint
from mixhub.hub.remote.files import RESULTS
from mixhub.spec.base import to_yaml
from mixhub.workspace.cells import Cell
from mixhub.workspace.records import PLAIN, is_share, main_metric

_LM_EVAL = frozenset({"lm-eval", "lm_eval", "lm-eval-harness", "lm-evaluation-harness", "lm_evaluation_harness"})
"""Names of lm-eval as the framework of a benchmark."""


def entry_of(cell: Cell) -> EvalResultEntry | None:
    """Return a cell as the Hub shows it, with its main metric in percent, without a source.

    None if its dataset defines no benchmark for it, or the metric is not a share of right answers.
    """
    dataset, metric = cell.provenance.dataset, main_metric(cell.metrics)
    if dataset.benchmark is None or metric is None or not is_share(metric, cell.metrics[metric]):
        return None
    framework = dataset.benchmark.framework
    notes = [cell.task, f"{cell.num_fewshot}-shot", f"{metric} in percent"]
    notes += [] if cell.prompting == PLAIN else [cell.prompting]
    scorer = ", scored by mixhub" if cell.provenance.backend == "mixhub" else ""
    notes.append(f"measured with lm-evaluation-harness {cell.harness}{scorer}")
    notes += [] if framework is None or framework in _LM_EVAL else [f"not with {framework}"]
    return EvalResultEntry(
        dataset_id=dataset.path,
        task_id=dataset.benchmark.task_id,
        value=round(100 * cell.metrics[metric], 4),
        dataset_revision=dataset.fingerprint,
        date=_date(cell.date),
        notes=", ".join(notes),
    )


def _date(seconds: float) -> str | None:
    """Return a date in the Hub's form; None for a number that is no date, as others may have written."""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None


def eval_result_files(cells: Iterable[Cell], endpoint: Endpoint, repo_id: str, branch: str) -> dict[str, bytes]:
    """Return by path the files for the cells of a branch that measure benchmarks, one for each cell.

    Their source is the result on the branch, unless the hub is embedded and has no lasting address.
    """
    files = {}
    for cell in cells:
        if (entry := entry_of(cell)) is None:
            continue
        if not endpoint.name:
            place = f"blob/{quote(branch, safe='')}/{RESULTS}/{quote(cell.path.name)}"
            entry.source_url, entry.source_name = f"{endpoint.url}/{repo_id}/{place}", "Results of lm-eval"
        text = to_yaml(eval_result_entries_to_yaml([entry]))
        files[f"{FOLDER}/mixhub-{cell.path.stem}.yaml"] = text.encode()
    return files
